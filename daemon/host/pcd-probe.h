/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a signal does to a vCPU that waits for a missing page on this very kernel: measured, not
 * looked up. Must not know what postcopyd does with the answer. */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include "host/pcd-probe-guest.h"

G_BEGIN_DECLS

/**
 * PcdProbeOutcome:
 * @PCD_PROBE_FAILED: could not be measured, see the detail
 * @PCD_PROBE_INTERRUPTIBLE: KVM_RUN returned EINTR while the page was still missing
 * @PCD_PROBE_NOT_INTERRUPTIBLE: the signal stayed pending until the page came
 * @PCD_PROBE_NOT_APPLICABLE: this architecture has no such fault
 */
typedef enum {
  PCD_PROBE_FAILED,
  PCD_PROBE_INTERRUPTIBLE,
  PCD_PROBE_NOT_INTERRUPTIBLE,
  PCD_PROBE_NOT_APPLICABLE,
  PCD_N_PROBE_OUTCOMES,
} PcdProbeOutcome;

/**
 * PcdProbeVerdict:
 * @PCD_PROBE_VERDICT_UNKNOWN: not measured; to be treated as none
 * @PCD_PROBE_VERDICT_NONE: at least one of load, store and fetch is not interruptible
 * @PCD_PROBE_VERDICT_SLOW_PATH: those are, but not a read by the kernel on behalf of the guest.
 * What Linux >= 6.2 gives on x86 (commits 93c5c61d9e58, fe5ed56c7973, 766576874b97)
 * @PCD_PROBE_VERDICT_FULL: every kind that this architecture has is interruptible
 *
 * In rising order of what may be done to a blocked vCPU.
 */
typedef enum {
  PCD_PROBE_VERDICT_UNKNOWN,
  PCD_PROBE_VERDICT_NONE,
  PCD_PROBE_VERDICT_SLOW_PATH,
  PCD_PROBE_VERDICT_FULL,
  PCD_N_PROBE_VERDICTS,
} PcdProbeVerdict;

/**
 * PcdProbeHow:
 * @PCD_PROBE_HOW_INFERRED: not from a measurement, see the reason. A kernel's release is never a
 *   ground: distributions backport, and KVM back ends differ. The only ground for more than unknown
 *   is that there is no KVM: a TCG guest's kick is only a flag, which a blocked thread never sees
 * @PCD_PROBE_HOW_MEASURED: by running into missing pages
 */
typedef enum {
  PCD_PROBE_HOW_INFERRED,
  PCD_PROBE_HOW_MEASURED,
} PcdProbeHow;

/**
 * PcdProbeFault:
 * @outcome: what the signal did
 * @usec: from the signal to the return of KVM_RUN; -1 unless interruptible
 * @retry_completed: whether the guest went on as if nothing had been once the page was supplied
 * @detail: (nullable): evidence, or why it could not be measured
 */
typedef struct {
  PcdProbeOutcome outcome;
  gint64 usec;
  gboolean retry_completed;
  char *detail;
} PcdProbeFault;

/**
 * PcdProbeTrouble:
 * @step: what failed, %PCD_PROBE_STEP_NONE if nothing did
 * @err: its errno, or 0
 * @seccomp: whether a seccomp filter was active
 */
typedef struct {
  PcdProbeStep step;
  int err;
  gboolean seccomp;
} PcdProbeTrouble;

/**
 * PcdProbeEvidence: a blocked vCPU thread some time after it was signalled.
 * @state: the letter of /proc/PID/status
 * @wchan: (nullable): where it sleeps, %NULL if that may not be read
 * @pending: the signal has not been delivered yet
 * @cpu_usec: CPU time it used since the signal
 */
typedef struct {
  char state;
  const char *wchan;
  gboolean pending;
  gint64 cpu_usec;
} PcdProbeEvidence;

/**
 * PcdProbeResult:
 * @kernel: release of the running kernel, for reports only
 * @reason: (nullable): why it is not measured, or not all of it
 * @faults: by #PcdProbeKind
 * @total_usec: how long it all took
 */
typedef struct {
  char *kernel;
  PcdProbeVerdict verdict;
  PcdProbeHow how;
  char *reason;
  PcdProbeFault faults[PCD_N_PROBE_KINDS];
  gint64 total_usec;
} PcdProbeResult;

/**
 * PcdProbeOptions:
 * @kvm_path: (nullable): instead of /dev/kvm
 * @uffd_path: (nullable): instead of /dev/userfaultfd
 * @bound_usec: how long a signal may take before the evidence is looked at; 0 is 400 ms
 * @deadline_usec: for everything but the last reaping; 0 is 4 s, negative has passed already
 * (tests)
 * @sabotage: for tests
 */
typedef struct {
  const char *kvm_path;
  const char *uffd_path;
  gint64 bound_usec;
  gint64 deadline_usec;
  PcdProbeSabotage sabotage;
} PcdProbeOptions;

/**
 * pcd_probe_run:
 * @options: (nullable): %NULL for the defaults
 * @error: only for what is wrong with this process: no descriptors, no processes left
 *
 * Runs the probe. Blocks for about 0.1 s where every fault is interruptible, 2 s where none is, and
 * never longer than the deadline plus one second. To be called from a worker thread or a
 * short-lived program, not from the main loop; the thread must live until it returns, since the
 * probe's process dies with it (PR_SET_PDEATHSIG is about the thread). Safe to call from several
 * threads.
 *
 * Each kind of fault runs in a process of its own, which is killed and reaped before the next. If
 * one outlives SIGKILL and the closing of its userfaultfd, a detached thread goes on waiting for it
 * and its kind's detail says so.
 *
 * That something could not be measured is a result, not an error.
 *
 * Returns: (transfer full): the result, or %NULL
 */
PcdProbeResult *pcd_probe_run (const PcdProbeOptions *options, GError **error);

void pcd_probe_result_free (PcdProbeResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdProbeResult, pcd_probe_result_free)

/* The pure part: pcd-probe-verdict.c */

/**
 * pcd_probe_judge:
 * @faults: PCD_N_PROBE_KINDS outcomes
 * @trouble: the first failure
 * @ret_how: (out): measured or inferred
 * @ret_reason: (out) (transfer full) (nullable): why it is not measured, or not all of it
 *
 * A fault that is interruptible but does not complete when retried counts as not measured: whatever
 * it is, the guest would not survive a stop.
 */
PcdProbeVerdict pcd_probe_judge (const PcdProbeFault *faults,
                                 const PcdProbeTrouble *trouble,
                                 PcdProbeHow *ret_how,
                                 char **ret_reason);

/**
 * pcd_probe_evidence_is_conclusive:
 *
 * Returns: %TRUE if the thread had its chance and did not leave the kernel: it cannot be woken by a
 *   signal (state D), or it was, had enough CPU time to leave, and faulted again instead. A thread
 *   that just did not get to run on a loaded host gives %FALSE
 */
gboolean pcd_probe_evidence_is_conclusive (const PcdProbeEvidence *evidence);

/* Returns: (transfer full): one line for people, saying what to do about it where that is known */
char *pcd_probe_trouble_to_string (const PcdProbeTrouble *trouble);

/* Static strings, owned by the library; "?" for a value out of range. */
const char *pcd_probe_kind_to_string (PcdProbeKind kind);
const char *pcd_probe_outcome_to_string (PcdProbeOutcome outcome);
const char *pcd_probe_verdict_to_string (PcdProbeVerdict verdict);
const char *pcd_probe_how_to_string (PcdProbeHow how);
/* One sentence: what the verdict means for QMP stop and debuggers. */
const char *pcd_probe_verdict_meaning (PcdProbeVerdict verdict);

/**
 * pcd_probe_result_to_json:
 *
 * Stable: kernel, verdict, how, reason (string or null), faults: [ { kind, outcome, interruptible
 * (true, false or null), usec (null unless interruptible), retry-completed, detail (string or
 * null) } ].
 *
 * Returns: (transfer full): an object node
 */
JsonNode *pcd_probe_result_to_json (const PcdProbeResult *result);

G_END_DECLS
