/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a veto hook said: from its exit status and its first line to a verdict.
 * Pure. docs/postcopyd-veto.rst tells the same to those who write hooks. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* sysexits.h has the same numbers and means the same by them. An exit status of 1 would not do: a
 * script that breaks has it, too. */
#define PCD_VETO_EXIT_DELAY 75 /* EX_TEMPFAIL */
#define PCD_VETO_EXIT_DENY  77 /* EX_NOPERM */

#define PCD_VETO_DELAY_MAX_USEC (24 * 3600 * (gint64)G_USEC_PER_SEC)

/**
 * PcdVetoVerdict:
 * @PCD_VETO_ALLOW: nothing against it
 * @PCD_VETO_DENY: not now; to be asked again after `[veto] retry`
 * @PCD_VETO_DELAY: not before a time that the hook names
 */
typedef enum {
  PCD_VETO_ALLOW,
  PCD_VETO_DENY,
  PCD_VETO_DELAY,
} PcdVetoVerdict;

/**
 * PcdVetoAnswer:
 * @delay_usec: of %PCD_VETO_DELAY; 0: the hook named no time
 * @reason: (nullable): the hook's, printable, on one line
 */
typedef struct {
  PcdVetoVerdict verdict;
  gint64 delay_usec;
  char *reason;
} PcdVetoAnswer;

void pcd_veto_answer_clear (PcdVetoAnswer *answer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PcdVetoAnswer, pcd_veto_answer_clear)

/**
 * pcd_veto_answer_parse:
 * @status: as of waitpid ()
 * @output: what the hook wrote; only the first line counts
 * @ret_answer: (out): cleared by pcd_veto_answer_clear ()
 *
 * Exit status 0 and nothing, or `allow`, allow; `deny [REASON]` and `delay SECONDS [REASON]` do
 * what they say, and so does {"verdict": "allow" | "deny" | "delay", "seconds": N, "reason":
 * "..."}. Exit status 77 denies and 75 delays whatever is written, the line being the reason then,
 * unless it is an answer itself.
 *
 * Returns: %FALSE for everything else: that is no answer, and @error says why
 */
gboolean
pcd_veto_answer_parse (int status, const char *output, PcdVetoAnswer *ret_answer, GError **error);

G_END_DECLS
