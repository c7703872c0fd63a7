/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* At most a few commands, the one that helps most first. */
#include "ctl/pcd-show-advice.h"

#include "core/pcd-text.h"
#include "ctl/pcd-show.h"

#include <glib/gi18n.h>
#include <string.h>

static void
advise (PcdShowAdvice *advice,
        guint *n,
        const char *verb,
        const char *options,
        const char *name,
        const char *why)
{
  g_autofree char *safe = pcd_text_printable (name);
  const gboolean plain = strspn (safe, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789._-+:@") == strlen (safe);
  g_autofree char *quoted = plain ? g_strdup (safe) : g_shell_quote (safe);

  if (*n >= PCD_SHOW_MAX_ADVICE)
    return;
  advice[*n].command = g_strconcat ("postcopyctl ", verb, " ", quoted, options, NULL);
  advice[(*n)++].why = why;
}

static void
advise_trouble (const PcdClientMigration *m,
                const PcdShowLook *look,
                PcdShowAdvice *advice,
                guint *n)
{
  if (pcd_show_is_phase (m, PCD_PHASE_PAUSED) && pcd_show_is_source (m))
    advise (advice, n, "recover", " --wait", m->name, _ ("try now, and wait for the end"));
  else if (pcd_show_is_phase (m, PCD_PHASE_PAUSED) && pcd_show_held_still_by (m))
    advise (advice, n, "resume", "", m->name, _ ("let the guest go on before it is recovered"));
  else if (pcd_show_is_phase (m, PCD_PHASE_PAUSED) && look && look->kickable == PCD_ANSWER_YES)
    advise (advice, n, "stop", "", m->name, _ ("hold the guest until it is recovered"));
  else if (pcd_show_is_phase (m, PCD_PHASE_PAUSED))
    advise (advice, n, "freeze", "", m->name, _ ("hold the guest until it is recovered"));
  else if (pcd_show_is_flow (m, PCD_FLOW_STALLED))
    advise (advice, n, "force-pause", "", m->name,
            _ ("give the connection up, so that it can recover"));
  else
    advise (advice, n, "status", " --watch", m->name, _ ("see it go on"));
  if (pcd_show_is_phase (m, PCD_PHASE_PAUSED))
    advise (advice, n, "snapshot", "", m->name, _ ("keep this host's half of memory"));
  if (m->held)
    advise (advice, n, "release", "", m->name, _ ("let the policy act again"));
  else if (*m->next_action || *m->doing)
    advise (advice, n, "hold", "", m->name, _ ("no automatic action from now on"));
}

guint
pcd_show_advise (const PcdClientMigration *migration,
                 const PcdShowLook *look,
                 PcdShowAdvice advice[PCD_SHOW_MAX_ADVICE])
{
  guint n = 0;

  if (!pcd_show_has_ended (migration))
    advise_trouble (migration, look, advice, &n);
  else if (pcd_show_held_still_by (migration))
    advise (advice, &n, "resume", "", migration->name, _ ("let the guest go on"));
  if (migration->incident) {
    g_autofree char *id = g_strdup_printf ("%" G_GINT64_FORMAT, migration->incident);
    advise (advice, &n, "incident show", "", id, _ ("all that happened"));
  }
  return n;
}
