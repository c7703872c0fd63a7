/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the probe makes of what it measured, by tables. Nothing is measured here. */
#include "host/pcd-probe.h"

/* One letter per kind: y interruptible, b interruptible but the retry broke, n not interruptible,
 * f failed, - not applicable. */
static PcdProbeFault
fault_from_letter (char letter)
{
  PcdProbeFault fault = { .usec = -1 };

  if (letter == 'y' || letter == 'b')
    fault = (PcdProbeFault){ PCD_PROBE_INTERRUPTIBLE, 17, letter == 'y', NULL };
  else if (letter == 'n')
    fault = (PcdProbeFault){ PCD_PROBE_NOT_INTERRUPTIBLE, -1, TRUE, NULL };
  else if (letter == '-')
    fault.outcome = PCD_PROBE_NOT_APPLICABLE;
  return fault;
}

static void
test_verdict (void)
{
  static const struct {
    const char *faults; /* load, store, fetch, kernel-read */
    PcdProbeTrouble trouble;
    PcdProbeVerdict verdict;
    PcdProbeHow how;
    const char *reason; /* a part of it; NULL: there must be none */
  } rows[] = {
    { "yyyy", { 0 }, PCD_PROBE_VERDICT_FULL, PCD_PROBE_HOW_MEASURED, NULL },
    { "yyyn", { 0 }, PCD_PROBE_VERDICT_SLOW_PATH, PCD_PROBE_HOW_MEASURED, NULL },
    { "yyy-", { 0 }, PCD_PROBE_VERDICT_FULL, PCD_PROBE_HOW_MEASURED, NULL },
    { "nnnn", { 0 }, PCD_PROBE_VERDICT_NONE, PCD_PROBE_HOW_MEASURED, NULL },
    { "nnn-", { 0 }, PCD_PROBE_VERDICT_NONE, PCD_PROBE_HOW_MEASURED, NULL },
    { "nnny", { 0 }, PCD_PROBE_VERDICT_NONE, PCD_PROBE_HOW_MEASURED, NULL },
    /* One that hangs is enough to hang the monitor. */
    { "ynyy", { 0 }, PCD_PROBE_VERDICT_NONE, PCD_PROBE_HOW_MEASURED, NULL },
    { "yyny", { 0 }, PCD_PROBE_VERDICT_NONE, PCD_PROBE_HOW_MEASURED, NULL },
    { "nyyy", { 0 }, PCD_PROBE_VERDICT_NONE, PCD_PROBE_HOW_MEASURED, NULL },
    { "nfff", { PCD_PROBE_STEP_TIMEOUT }, PCD_PROBE_VERDICT_NONE, PCD_PROBE_HOW_MEASURED, NULL },
    { "fyyn",
      { PCD_PROBE_STEP_TIMEOUT },
      PCD_PROBE_VERDICT_UNKNOWN,
      PCD_PROBE_HOW_INFERRED,
      "timeout" },
    { "yfyn", { 0 }, PCD_PROBE_VERDICT_UNKNOWN, PCD_PROBE_HOW_INFERRED, "store: not measured" },
    { "yyfy",
      { PCD_PROBE_STEP_DIED },
      PCD_PROBE_VERDICT_UNKNOWN,
      PCD_PROBE_HOW_INFERRED,
      "fetch: the probe's process ended" },
    /* The kernel's own read was not measured: the lesser promise, and it says so. */
    { "yyyf",
      { PCD_PROBE_STEP_TIMEOUT },
      PCD_PROBE_VERDICT_SLOW_PATH,
      PCD_PROBE_HOW_MEASURED,
      "kernel-read: timeout" },
    { "yyyb",
      { 0 },
      PCD_PROBE_VERDICT_SLOW_PATH,
      PCD_PROBE_HOW_MEASURED,
      "counted as not interruptible" },
    /* Interruptible, but a guest would not survive it. */
    { "byyy",
      { 0 },
      PCD_PROBE_VERDICT_UNKNOWN,
      PCD_PROBE_HOW_INFERRED,
      "load: interruptible, but" },
    { "ybyn", { 0 }, PCD_PROBE_VERDICT_UNKNOWN, PCD_PROBE_HOW_INFERRED, "store: interruptible" },
    { "bnyy", { 0 }, PCD_PROBE_VERDICT_NONE, PCD_PROBE_HOW_MEASURED, NULL },
    { "----",
      { PCD_PROBE_STEP_ARCH },
      PCD_PROBE_VERDICT_UNKNOWN,
      PCD_PROBE_HOW_INFERRED,
      "architecture" },
    { "----", { 0 }, PCD_PROBE_VERDICT_UNKNOWN, PCD_PROBE_HOW_INFERRED, "load" },
    { "yy-n", { 0 }, PCD_PROBE_VERDICT_UNKNOWN, PCD_PROBE_HOW_INFERRED, "fetch" },
    /* Without KVM, TCG is what is left; without permission nothing follows. */
    { "ffff",
      { PCD_PROBE_STEP_OPEN_KVM, ENOENT },
      PCD_PROBE_VERDICT_NONE,
      PCD_PROBE_HOW_INFERRED,
      "TCG" },
    { "ffff",
      { PCD_PROBE_STEP_OPEN_KVM, ENODEV },
      PCD_PROBE_VERDICT_NONE,
      PCD_PROBE_HOW_INFERRED,
      "TCG" },
    { "ffff",
      { PCD_PROBE_STEP_OPEN_KVM, EACCES },
      PCD_PROBE_VERDICT_UNKNOWN,
      PCD_PROBE_HOW_INFERRED,
      "group that owns it" },
    { "ffff",
      { PCD_PROBE_STEP_USERFAULTFD, ENOENT },
      PCD_PROBE_VERDICT_UNKNOWN,
      PCD_PROBE_HOW_INFERRED,
      "userfaultfd" },
    { "ffff",
      { PCD_PROBE_STEP_USERFAULTFD, EPERM, TRUE },
      PCD_PROBE_VERDICT_UNKNOWN,
      PCD_PROBE_HOW_INFERRED,
      "seccomp" },
    { "ffff",
      { PCD_PROBE_STEP_USERFAULTFD, EPERM, FALSE },
      PCD_PROBE_VERDICT_UNKNOWN,
      PCD_PROBE_HOW_INFERRED,
      "CAP_SYS_PTRACE" },
    { "ffff",
      { PCD_PROBE_STEP_USERFAULTFD, ENOSYS },
      PCD_PROBE_VERDICT_UNKNOWN,
      PCD_PROBE_HOW_INFERRED,
      "built without" },
    { "ffff",
      { PCD_PROBE_STEP_VM, ENOMEM },
      PCD_PROBE_VERDICT_UNKNOWN,
      PCD_PROBE_HOW_INFERRED,
      "cannot create a KVM guest: " },
    { "ffff",
      { PCD_PROBE_STEP_TIMEOUT },
      PCD_PROBE_VERDICT_UNKNOWN,
      PCD_PROBE_HOW_INFERRED,
      "timeout" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    PcdProbeFault faults[PCD_N_PROBE_KINDS];
    g_autofree char *reason = NULL;
    PcdProbeHow how;

    for (guint kind = 0; kind < PCD_N_PROBE_KINDS; kind++)
      faults[kind] = fault_from_letter (rows[i].faults[kind]);
    g_test_message ("row %u: %s, step %d", i, rows[i].faults, rows[i].trouble.step);
    g_assert_cmpstr (
        pcd_probe_verdict_to_string (pcd_probe_judge (faults, &rows[i].trouble, &how, &reason)), ==,
        pcd_probe_verdict_to_string (rows[i].verdict));
    g_assert_cmpint (how, ==, rows[i].how);
    if (!rows[i].reason)
      g_assert_null (reason);
    else if (!reason || !strstr (reason, rows[i].reason))
      g_error ("row %u: reason '%s' lacks '%s'", i, reason, rows[i].reason);
  }
}

/* No combination of outcomes may promise more than each of them allows. */
static void
test_verdict_never_promises_too_much (void)
{
  static const char letters[] = "ybnf-";
  const PcdProbeTrouble none = { 0 };

  for (guint i = 0; i < 5 * 5 * 5 * 5; i++) {
    const char word[] = { letters[i % 5], letters[i / 5 % 5], letters[i / 25 % 5],
                          letters[i / 125 % 5], '\0' };
    PcdProbeFault faults[PCD_N_PROBE_KINDS];
    g_autofree char *reason = NULL;
    PcdProbeHow how;
    PcdProbeVerdict verdict;

    for (guint kind = 0; kind < PCD_N_PROBE_KINDS; kind++)
      faults[kind] = fault_from_letter (word[kind]);
    verdict = pcd_probe_judge (faults, &none, &how, &reason);
    g_test_message ("%s: %s", word, pcd_probe_verdict_to_string (verdict));
    if (verdict >= PCD_PROBE_VERDICT_SLOW_PATH)
      g_assert_true (g_str_has_prefix (word, "yyy"));
    if (verdict == PCD_PROBE_VERDICT_FULL)
      g_assert_true (word[3] == 'y' || word[3] == '-');
    if (how == PCD_PROBE_HOW_INFERRED)
      g_assert_nonnull (reason);
  }
}

static void
test_evidence (void)
{
  static const struct {
    PcdProbeEvidence evidence;
    gboolean conclusive;
  } rows[] = {
    { { 'D', "handle_userfault", TRUE, 0 }, TRUE },      /* Linux < 6.2: killable wait */
    { { 'D', NULL, TRUE, 0 }, TRUE },                    /* the same, wchan not readable */
    { { 'D', "io_schedule", TRUE, 0 }, FALSE },          /* swapping on a loaded host */
    { { 'R', NULL, TRUE, 300000 }, TRUE },               /* spins in the fault handler */
    { { 'S', "handle_userfault", TRUE, 300000 }, TRUE }, /* the same, seen between two rounds */
    { { 'R', NULL, TRUE, 0 }, FALSE },                   /* woken, but others have the CPU */
    { { 'R', NULL, TRUE, 6000 }, FALSE },                /* 5.6 ms was a slow interruptible one */
    { { 'S', "handle_userfault", TRUE, 0 }, FALSE },     /* the signal is blocked */
    { { 'T', NULL, TRUE, 0 }, FALSE },                   /* someone stopped it */
    { { 'R', NULL, FALSE, 300000 }, FALSE },             /* it is in user space */
    { { 'S', "unix_stream_read", FALSE, 0 }, FALSE },    /* it has answered */
    { { '?', NULL, FALSE, 0 }, FALSE },                  /* gone */
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_test_message ("row %u", i);
    g_assert_cmpint (pcd_probe_evidence_is_conclusive (&rows[i].evidence), ==, rows[i].conclusive);
  }
}

static void
test_json (void)
{
  const PcdProbeResult result = {
    .kernel = (char *)"6.12.0",
    .verdict = PCD_PROBE_VERDICT_SLOW_PATH,
    .how = PCD_PROBE_HOW_MEASURED,
    .faults = { { PCD_PROBE_INTERRUPTIBLE, 17, TRUE, NULL },
                { PCD_PROBE_NOT_INTERRUPTIBLE, -1, TRUE, (char *)"state D" },
                { PCD_PROBE_FAILED, -1, FALSE, (char *)"timeout" },
                { PCD_PROBE_NOT_APPLICABLE, -1, FALSE, NULL } },
  };
  g_autoptr (JsonNode) node = pcd_probe_result_to_json (&result);
  g_autofree char *text = json_to_string (node, FALSE);

  g_assert_cmpstr (
      text, ==,
      "{\"kernel\":\"6.12.0\",\"verdict\":\"slow-path\",\"how\":\"measured\",\"reason\":null,"
      "\"faults\":["
      "{\"kind\":\"load\",\"outcome\":\"interruptible\",\"interruptible\":true,\"usec\":17,"
      "\"retry-completed\":true,\"detail\":null},"
      "{\"kind\":\"store\",\"outcome\":\"not-interruptible\",\"interruptible\":false,\"usec\":null,"
      "\"retry-completed\":true,\"detail\":\"state D\"},"
      "{\"kind\":\"fetch\",\"outcome\":\"failed\",\"interruptible\":null,\"usec\":null,"
      "\"retry-completed\":false,\"detail\":\"timeout\"},"
      "{\"kind\":\"kernel-read\",\"outcome\":\"not-applicable\",\"interruptible\":null,"
      "\"usec\":null,\"retry-completed\":false,\"detail\":null}]}");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/probe-verdict/verdict", test_verdict);
  g_test_add_func ("/probe-verdict/never-too-much", test_verdict_never_promises_too_much);
  g_test_add_func ("/probe-verdict/evidence", test_evidence);
  g_test_add_func ("/probe-verdict/json", test_json);
  return g_test_run ();
}
