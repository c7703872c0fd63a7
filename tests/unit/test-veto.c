/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a veto hook says, and the section [veto]. */
#include "engine/pcd-veto-answer.h"
#include "engine/pcd-veto-config.h"

#include <gio/gio.h>
#include <signal.h>

#define EXITED(n) ((n) << 8)
#define NONE      (-1)
#define S         G_USEC_PER_SEC

typedef struct {
  int status;
  const char *output;
  int verdict; /* NONE: no answer */
  gint64 delay_usec;
  const char *reason; /* of NONE: in the error */
} Answer;

static const Answer answers[] = {
  { 0, "", PCD_VETO_ALLOW, 0, NULL },
  { 0, "allow\n", PCD_VETO_ALLOW, 0, NULL },
  { 0, "  allow  \n", PCD_VETO_ALLOW, 0, NULL },
  { 0, "\n", PCD_VETO_ALLOW, 0, NULL },
  { 0, "deny\n", PCD_VETO_DENY, 0, NULL },
  { 0, "deny this host is being fenced\nand more\n", PCD_VETO_DENY, 0,
    "this host is being fenced" },
  { 0, "deny a\tb\x1b[31m", PCD_VETO_DENY, 0, "a?b?[31m" },
  { 0, "deny \xff\xfe", PCD_VETO_DENY, 0, "\xef\xbf\xbd\xef\xbf\xbd" },
  { 0, "delay 30\n", PCD_VETO_DELAY, 30 * S, NULL },
  { 0, "delay 1.5 soon done", PCD_VETO_DELAY, 3 * S / 2, "soon done" },
  { 0, "delay  2min waits", PCD_VETO_DELAY, 120 * S, "waits" },
  { 0, "{\"verdict\": \"allow\"}", PCD_VETO_ALLOW, 0, NULL },
  { 0, "{\"verdict\": \"deny\", \"reason\": \"no\", \"more\": [1]}", PCD_VETO_DENY, 0, "no" },
  { 0, "{\"verdict\": \"delay\", \"seconds\": 7, \"reason\": \"x\"}", PCD_VETO_DELAY, 7 * S, "x" },
  { 0, "{\"verdict\": \"delay\", \"seconds\": 0.5}", PCD_VETO_DELAY, S / 2, NULL },
  { EXITED (77), "", PCD_VETO_DENY, 0, NULL },
  { EXITED (77), "fenced\n", PCD_VETO_DENY, 0, "fenced" },
  { EXITED (77), "delay 5 wait\n", PCD_VETO_DELAY, 5 * S, "wait" },
  { EXITED (75), "not yet\n", PCD_VETO_DELAY, 0, "not yet" },
  { EXITED (75), "delay 5\n", PCD_VETO_DELAY, 5 * S, NULL },
  { EXITED (75), "deny never\n", PCD_VETO_DENY, 0, "never" },
  /* No answers. */
  { EXITED (77), "allow\n", NONE, 0, "the opposite" },
  { EXITED (1), "", NONE, 0, "status 1" },
  { EXITED (1), "deny\n", NONE, 0, "status 1" },
  { EXITED (127), "", NONE, 0, "status 127" },
  { SIGSEGV, "deny\n", NONE, 0, "signal 11" },
  { 0, "no", NONE, 0, "expected allow, deny" },
  { 0, "denied", NONE, 0, "expected" },
  { 0, "DENY", NONE, 0, "expected" },
  { 0, "delay", NONE, 0, "expected" },
  { 0, "delay x", NONE, 0, "expected" },
  { 0, "delay -1", NONE, 0, "expected" },
  { 0, "delay 0", NONE, 0, "expected" },
  { 0, "delay nan", NONE, 0, "expected" },
  { 0, "delay inf", NONE, 0, "expected" },
  { 0, "delay 86401", NONE, 0, "expected" },
  { 0, "{\"verdict\": \"delay\"}", NONE, 0, "expected" },
  { 0, "{\"verdict\": \"delay\", \"seconds\": \"5\"}", NONE, 0, "expected" },
  { 0, "{\"verdict\": 3}", NONE, 0, "expected" },
  { 0, "{\"verdict\": \"deny\"", NONE, 0, "expected" },
  { 0, "[\"deny\"]", NONE, 0, "expected" },
};

static void
test_answers (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++) {
    const Answer *a = &answers[i];
    g_auto (PcdVetoAnswer) got = { 0 };
    g_autoptr (GError) error = NULL;

    g_test_message ("answer %u", i);
    if (!pcd_veto_answer_parse (a->status, a->output, &got, &error)) {
      g_assert_cmpint (a->verdict, ==, NONE);
      g_assert_nonnull (strstr (error->message, a->reason));
      continue;
    }
    g_assert_cmpint (got.verdict, ==, a->verdict);
    g_assert_cmpint (got.delay_usec, ==, a->delay_usec);
    g_assert_cmpstr (got.reason, ==, a->reason);
  }
}

static void
test_long_reason (void)
{
  g_auto (PcdVetoAnswer) got = { 0 };
  g_autofree char *x = g_strnfill (4000, 'x');
  g_autofree char *line = g_strconcat ("deny ", x, NULL);

  g_assert_true (pcd_veto_answer_parse (0, line, &got, NULL));
  g_assert_cmpuint (strlen (got.reason), ==, 200);
}

static void
test_config (void)
{
  static const struct {
    const char *key, *text;
    gboolean good;
  } values[] = {
    { "command", "/etc/postcopyd/veto.d", TRUE },
    { "command", "veto", FALSE },
    { "command", "", FALSE },
    { "actions", "recover destroy", TRUE },
    { "actions", "  recover\tdestroy ", TRUE },
    { "actions", "recover recover", FALSE },
    { "actions", "notify", FALSE },
    { "actions", "recover, destroy", FALSE },
    { "actions", "", FALSE },
    { "timeout", "100ms", TRUE },
    { "timeout", "99ms", FALSE },
    { "timeout", "61s", FALSE },
    { "timeout", "5", FALSE },
    { "retry", "1h", TRUE },
    { "retry", "10ms", FALSE },
    { "default", "allow", TRUE },
    { "default", "deny", TRUE },
    { "default", "yes", FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++) {
    g_autoptr (PcdVetoConfig) config = pcd_veto_config_new ();

    g_test_message ("%s = %s", values[i].key, values[i].text);
    g_assert_cmpint (pcd_veto_config_parse (config, values[i].key, values[i].text), ==,
                     values[i].good);
  }
}

static void
test_covers (void)
{
  g_autoptr (PcdVetoConfig) config = pcd_veto_config_new ();

  g_assert_false (pcd_veto_config_covers (NULL, PCD_ACTION_RECOVER));
  g_assert_false (pcd_veto_config_covers (config, PCD_ACTION_RECOVER));
  g_assert_true (pcd_veto_config_parse (config, "command", "/x"));
  for (guint a = 0; a < PCD_N_ACTIONS; a++)
    g_assert_cmpint (pcd_veto_config_covers (config, a), ==, a != PCD_ACTION_NOTIFY);
  g_assert_true (pcd_veto_config_parse (config, "actions", "recover"));
  for (guint a = 0; a < PCD_N_ACTIONS; a++)
    g_assert_cmpint (pcd_veto_config_covers (config, a), ==, a == PCD_ACTION_RECOVER);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/veto/answers", test_answers);
  g_test_add_func ("/veto/long-reason", test_long_reason);
  g_test_add_func ("/veto/config", test_config);
  g_test_add_func ("/veto/covers", test_covers);
  return g_test_run ();
}
