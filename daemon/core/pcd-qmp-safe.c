/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table behind safety rule 1, and the rule itself.
 * Pure: no I/O; must not know how threads are inspected. */
#include "core/pcd-qmp-safe.h"

#include <string.h>

/* What is not here hangs, as far as we know: `memsave`, `inject-nmi`, `pmemsave`,
 * `dump-guest-memory`, HMP's `info registers`, `xp`, `gpa2hpa` (all seen), and what was not tried.
 * tests/host/test-qmp sends the others to a destination whose vCPU is blocked. */
static const struct {
  const char *command;
  const char *hmp;
  PcdQmpSafety safety;
} commands[] = {
  /* QAPI `allow-oob`, the same four in every version since 4.0 (yank: 6.0) */
  { "migrate-pause", NULL, PCD_QMP_SAFE_OOB },
  { "migrate-recover", NULL, PCD_QMP_SAFE_OOB },
  { "query-yank", NULL, PCD_QMP_SAFE_OOB },
  { "yank", NULL, PCD_QMP_SAFE_OOB },
  /* answered from QEMU's own structures */
  { "qmp_capabilities", NULL, PCD_QMP_SAFE },
  { "query-block", NULL, PCD_QMP_SAFE },
  { "query-blockstats", NULL, PCD_QMP_SAFE },
  { "query-chardev", NULL, PCD_QMP_SAFE },
  { "query-cpus-fast", NULL, PCD_QMP_SAFE },
  { "query-jobs", NULL, PCD_QMP_SAFE },
  { "query-migrate", NULL, PCD_QMP_SAFE },
  { "query-name", NULL, PCD_QMP_SAFE },
  { "query-named-block-nodes", NULL, PCD_QMP_SAFE },
  { "query-status", NULL, PCD_QMP_SAFE },
  { "query-uuid", NULL, PCD_QMP_SAFE },
  { "query-version", NULL, PCD_QMP_SAFE },
  { "blockdev-add", NULL, PCD_QMP_SAFE },
  { "human-monitor-command", "info ramblock", PCD_QMP_SAFE },
  { "human-monitor-command", "info mtree -f", PCD_QMP_SAFE },
  { "human-monitor-command", "gpa2hva", PCD_QMP_SAFE },
  { "human-monitor-command", "gdbserver none", PCD_QMP_SAFE },
  /* drain the block layer: they wait for requests, not for vCPUs */
  { "blockdev-backup", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  { "blockdev-del", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  { "blockdev-snapshot", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  { "blockdev-snapshot-internal-sync", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  { "blockdev-snapshot-sync", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  { "job-cancel", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  { "job-dismiss", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  { "job-finalize", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  { "transaction", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  /* a property of a device that is no vCPU's: `share-rw` is all that is asked for */
  { "qom-get", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  /* waits for every vCPU to leave KVM_RUN, then drains the block layer */
  { "stop", NULL, PCD_QMP_SAFE_IF_KICKABLE },
  { "human-monitor-command", "gdbserver", PCD_QMP_SAFE_IF_KICKABLE },
};

/* `gpa2hva 0x1000` is the command `gpa2hva`; `info mtree` is not `info mtree -f`. */
static gboolean
hmp_matches (const char *known, const char *line)
{
  gsize n = strlen (known);

  return line && strncmp (line, known, n) == 0 && (line[n] == 0 || line[n] == ' ') &&
         !strpbrk (line, "\n\r;");
}

PcdQmpSafety
pcd_qmp_safety (const char *command, const char *hmp)
{
  for (guint i = 0; command && i < G_N_ELEMENTS (commands); i++) {
    if (!g_str_equal (commands[i].command, command))
      continue;
    if (!commands[i].hmp || hmp_matches (commands[i].hmp, hmp))
      return commands[i].safety;
  }
  return PCD_QMP_HANGS;
}

static const char *
why_not (PcdQmpSafety safety, const PcdQmpBlocked *blocked)
{
  gboolean any = blocked->vcpus || blocked->others || blocked->frozen_vcpus;

  if (safety >= PCD_QMP_SAFE)
    return NULL;
  if (!blocked->is_known)
    return "the threads of QEMU could not be inspected";
  if (blocked->others)
    return "a thread other than a vCPU waits for a missing page";
  if (safety == PCD_QMP_SAFE_FROM_VCPUS)
    return NULL;
  if (safety == PCD_QMP_HANGS)
    return any ? "it may wait for a thread that waits for a missing page or is frozen" : NULL;
  if (blocked->frozen_vcpus)
    return "a vCPU is frozen";
  return blocked->unkickable_vcpus ? "a vCPU waits for a missing page and no signal gets it out"
                                   : NULL;
}

gboolean
pcd_qmp_may_send (const char *command,
                  const char *hmp,
                  gboolean oob,
                  const PcdQmpBlocked *blocked,
                  const char **ret_why_not)
{
  PcdQmpSafety safety = pcd_qmp_safety (command, hmp);
  const char *why = oob && safety != PCD_QMP_SAFE_OOB ? "it cannot be sent out of band"
                                                      : why_not (safety, blocked);

  if (why && ret_why_not)
    *ret_why_not = why;
  return why == NULL;
}
