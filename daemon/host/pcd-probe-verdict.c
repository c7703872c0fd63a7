/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the outcomes of the probe amount to, and their words. Pure: no clock, no I/O. */
#include "host/pcd-probe.h"

#include "core/pcd-json.h"

#include <errno.h>
#include <glib/gi18n.h>

/* KVM_RUN returns within microseconds of CPU time once it is on its way out (5.6 ms was seen in a
 * nested guest under TCG); one that was given ten times that is not on its way out. */
#define ENOUGH_CPU_USEC (50 * 1000)

static const char *const kind_words[PCD_N_PROBE_KINDS] = {
  [PCD_PROBE_LOAD] = "load",
  [PCD_PROBE_STORE] = "store",
  [PCD_PROBE_FETCH] = "fetch",
  [PCD_PROBE_KERNEL_READ] = "kernel-read",
};

static const char *const outcome_words[PCD_N_PROBE_OUTCOMES] = {
  [PCD_PROBE_FAILED] = "failed",
  [PCD_PROBE_INTERRUPTIBLE] = "interruptible",
  [PCD_PROBE_NOT_INTERRUPTIBLE] = "not-interruptible",
  [PCD_PROBE_NOT_APPLICABLE] = "not-applicable",
};

static const struct {
  const char *word;
  const char *meaning;
} verdicts[PCD_N_PROBE_VERDICTS] = {
  [PCD_PROBE_VERDICT_UNKNOWN] = { "unknown", N_ ("Treated as none: postcopyd refuses QMP stop and "
                                                 "gdb on a blocked vCPU and uses freeze.") },
  [PCD_PROBE_VERDICT_NONE] = { "none", N_ ("QMP stop and gdb will hang on a blocked vCPU here; "
                                           "postcopyd refuses them and uses freeze.") },
  [PCD_PROBE_VERDICT_SLOW_PATH] = { "slow-path",
                                    N_ ("QMP stop and gdb work on a vCPU blocked by its own "
                                        "access, but hang on one that the kernel reads for; "
                                        "postcopyd looks at each thread first.") },
  [PCD_PROBE_VERDICT_FULL] = { "full", N_ ("QMP stop and gdb work on a blocked vCPU here.") },
};

static const char *const step_words[PCD_N_PROBE_STEPS] = {
  [PCD_PROBE_STEP_NONE] = N_ ("nothing failed"),
  [PCD_PROBE_STEP_ARCH] = N_ ("the probe has no guest for this architecture"),
  [PCD_PROBE_STEP_OPEN_KVM] = N_ ("cannot open /dev/kvm"),
  [PCD_PROBE_STEP_USERFAULTFD] = N_ ("cannot get a userfaultfd"),
  [PCD_PROBE_STEP_REGISTER] = N_ ("cannot register memory with userfaultfd"),
  [PCD_PROBE_STEP_MEMORY] = N_ ("cannot allocate the guest's memory"),
  [PCD_PROBE_STEP_VM] = N_ ("cannot create a KVM guest"),
  [PCD_PROBE_STEP_VCPU] = N_ ("cannot set up a vCPU"),
  [PCD_PROBE_STEP_RUN] = N_ ("the guest did not run as it must"),
  [PCD_PROBE_STEP_DIED] = N_ ("the probe's process ended before it answered"),
  [PCD_PROBE_STEP_TIMEOUT] = N_ ("timeout: no answer within the deadline"),
};

const char *
pcd_probe_kind_to_string (PcdProbeKind kind)
{
  return kind < PCD_N_PROBE_KINDS ? kind_words[kind] : "?";
}

const char *
pcd_probe_outcome_to_string (PcdProbeOutcome outcome)
{
  return outcome < PCD_N_PROBE_OUTCOMES ? outcome_words[outcome] : "?";
}

const char *
pcd_probe_verdict_to_string (PcdProbeVerdict verdict)
{
  return verdict < PCD_N_PROBE_VERDICTS ? verdicts[verdict].word : "?";
}

const char *
pcd_probe_verdict_meaning (PcdProbeVerdict verdict)
{
  return verdict < PCD_N_PROBE_VERDICTS ? _ (verdicts[verdict].meaning) : "?";
}

const char *
pcd_probe_how_to_string (PcdProbeHow how)
{
  return how == PCD_PROBE_HOW_MEASURED ? "measured" : "inferred";
}

static gboolean
there_is_no_kvm (const PcdProbeTrouble *trouble)
{
  return trouble->step == PCD_PROBE_STEP_OPEN_KVM &&
         (trouble->err == ENOENT || trouble->err == ENODEV || trouble->err == ENXIO);
}

/* What to do about it, or what else follows. */
static const char *
hint (const PcdProbeTrouble *trouble)
{
  gboolean denied = trouble->err == EPERM || trouble->err == EACCES;

  if (there_is_no_kvm (trouble))
    return _ ("; guests here can only run under TCG, whose kick never reaches a blocked thread");
  if (trouble->step == PCD_PROBE_STEP_OPEN_KVM && denied)
    return _ ("; run as root or as a member of the group that owns it");
  if (trouble->step != PCD_PROBE_STEP_USERFAULTFD)
    return "";
  if (trouble->err == ENOSYS)
    return _ ("; the kernel was built without it, or a seccomp filter denies it");
  if (denied && trouble->seccomp)
    return _ ("; a seccomp filter is active and may deny it (containers do), else it takes "
              "/dev/userfaultfd or CAP_SYS_PTRACE");
  if (denied)
    return _ (
        "; it takes access to /dev/userfaultfd, CAP_SYS_PTRACE or vm.unprivileged_userfaultfd=1: "
        "what anyone may have (user-mode faults only) cannot see KVM's");
  return "";
}

char *
pcd_probe_trouble_to_string (const PcdProbeTrouble *trouble)
{
  const char *what = trouble->step < PCD_N_PROBE_STEPS ? _ (step_words[trouble->step]) : "?";

  if (!trouble->err)
    return g_strconcat (what, hint (trouble), NULL);
  return g_strconcat (what, ": ", g_strerror (trouble->err), hint (trouble), NULL);
}

gboolean
pcd_probe_evidence_is_conclusive (const PcdProbeEvidence *evidence)
{
  if (!evidence->pending)
    return FALSE; /* delivered: KVM_RUN has returned, or is about to */
  if (evidence->state == 'D')
    return !evidence->wchan || g_str_equal (evidence->wchan, "handle_userfault");
  return evidence->cpu_usec >= ENOUGH_CPU_USEC;
}

static gboolean
is_unmeasured (const PcdProbeFault *fault)
{
  return fault->outcome == PCD_PROBE_FAILED ||
         (fault->outcome == PCD_PROBE_INTERRUPTIBLE && !fault->retry_completed);
}

static char *
why_unmeasured (const PcdProbeFault *faults, PcdProbeKind kind, const PcdProbeTrouble *trouble)
{
  const char *detail = faults[kind].detail;
  g_autofree char *text = NULL;

  if (faults[kind].outcome == PCD_PROBE_INTERRUPTIBLE)
    return g_strdup_printf (
        _ ("%s: interruptible, but the guest did not finish when its page came"), kind_words[kind]);
  if (!detail && trouble->step != PCD_PROBE_STEP_NONE)
    detail = text = pcd_probe_trouble_to_string (trouble);
  return g_strdup_printf ("%s: %s", kind_words[kind], detail ? detail : _ ("not measured"));
}

/* Load, store and fetch: what every guest does all the time. */
static PcdProbeVerdict
judge_guest_faults (const PcdProbeFault *faults, PcdProbeKind *ret_unmeasured)
{
  gboolean all = TRUE;

  for (PcdProbeKind kind = PCD_PROBE_LOAD; kind <= PCD_PROBE_FETCH; kind++)
    if (faults[kind].outcome == PCD_PROBE_NOT_INTERRUPTIBLE)
      return PCD_PROBE_VERDICT_NONE; /* one is enough, whatever the others are */
  for (PcdProbeKind kind = PCD_PROBE_LOAD; all && kind <= PCD_PROBE_FETCH; kind++)
    if (faults[kind].outcome == PCD_PROBE_NOT_APPLICABLE || is_unmeasured (&faults[kind])) {
      *ret_unmeasured = kind;
      all = FALSE;
    }
  return all ? PCD_PROBE_VERDICT_FULL : PCD_PROBE_VERDICT_UNKNOWN;
}

PcdProbeVerdict
pcd_probe_judge (const PcdProbeFault *faults,
                 const PcdProbeTrouble *trouble,
                 PcdProbeHow *ret_how,
                 char **ret_reason)
{
  const PcdProbeFault *kernel_read = &faults[PCD_PROBE_KERNEL_READ];
  PcdProbeKind unmeasured = PCD_PROBE_LOAD;
  PcdProbeVerdict verdict = judge_guest_faults (faults, &unmeasured);

  *ret_reason = NULL;
  *ret_how = verdict == PCD_PROBE_VERDICT_UNKNOWN ? PCD_PROBE_HOW_INFERRED : PCD_PROBE_HOW_MEASURED;
  if (verdict == PCD_PROBE_VERDICT_UNKNOWN) {
    gboolean nothing_ran = trouble->step != PCD_PROBE_STEP_NONE && unmeasured == PCD_PROBE_LOAD &&
                           faults[PCD_PROBE_LOAD].outcome != PCD_PROBE_INTERRUPTIBLE;
    *ret_reason = nothing_ran ? pcd_probe_trouble_to_string (trouble)
                              : why_unmeasured (faults, unmeasured, trouble);
    return there_is_no_kvm (trouble) ? PCD_PROBE_VERDICT_NONE : verdict;
  }
  if (verdict == PCD_PROBE_VERDICT_NONE || kernel_read->outcome == PCD_PROBE_NOT_APPLICABLE)
    return verdict;
  if (is_unmeasured (kernel_read)) {
    g_autofree char *why = why_unmeasured (faults, PCD_PROBE_KERNEL_READ, trouble);
    *ret_reason = g_strdup_printf (_ ("%s; counted as not interruptible"), why);
    return PCD_PROBE_VERDICT_SLOW_PATH;
  }
  return kernel_read->outcome == PCD_PROBE_INTERRUPTIBLE ? PCD_PROBE_VERDICT_FULL
                                                         : PCD_PROBE_VERDICT_SLOW_PATH;
}

static void
add_fault (JsonBuilder *builder, PcdProbeKind kind, const PcdProbeFault *fault)
{
  gboolean interruptible = fault->outcome == PCD_PROBE_INTERRUPTIBLE;

  json_builder_begin_object (builder);
  pcd_json_add_string (builder, "kind", pcd_probe_kind_to_string (kind));
  pcd_json_add_string (builder, "outcome", pcd_probe_outcome_to_string (fault->outcome));
  json_builder_set_member_name (builder, "interruptible");
  if (interruptible || fault->outcome == PCD_PROBE_NOT_INTERRUPTIBLE)
    json_builder_add_boolean_value (builder, interruptible);
  else
    json_builder_add_null_value (builder);
  json_builder_set_member_name (builder, "usec");
  if (interruptible)
    json_builder_add_int_value (builder, fault->usec);
  else
    json_builder_add_null_value (builder);
  json_builder_set_member_name (builder, "retry-completed");
  json_builder_add_boolean_value (builder, fault->retry_completed);
  pcd_json_add_string (builder, "detail", fault->detail);
  json_builder_end_object (builder);
}

JsonNode *
pcd_probe_result_to_json (const PcdProbeResult *result)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  pcd_json_add_string (builder, "kernel", result->kernel);
  pcd_json_add_string (builder, "verdict", pcd_probe_verdict_to_string (result->verdict));
  pcd_json_add_string (builder, "how", pcd_probe_how_to_string (result->how));
  pcd_json_add_string (builder, "reason", result->reason);
  json_builder_set_member_name (builder, "faults");
  json_builder_begin_array (builder);
  for (PcdProbeKind kind = 0; kind < PCD_N_PROBE_KINDS; kind++)
    add_fault (builder, kind, &result->faults[kind]);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  return json_builder_get_root (builder);
}

void
pcd_probe_result_free (PcdProbeResult *result)
{
  if (!result)
    return;
  for (guint i = 0; i < PCD_N_PROBE_KINDS; i++)
    g_free (result->faults[i].detail);
  g_free (result->kernel);
  g_free (result->reason);
  g_free (result);
}
