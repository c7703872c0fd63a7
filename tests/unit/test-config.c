/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every way to get postcopyd.conf wrong is told with its line, key and what was expected. */
#include "engine/pcd-config.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *
temp_dir (void)
{
  g_autoptr (GError) error = NULL;
  char *dir = g_dir_make_tmp ("pcd-config-XXXXXX", &error);

  g_assert_no_error (error);
  return dir;
}

/* Loads @text from a file; errors come back with the file's name taken off. */
static gboolean
load_text (const char *text, gssize length, PcdConfig *config, char **ret_message)
{
  g_autofree char *dir = temp_dir ();
  g_autofree char *path = g_build_filename (dir, "postcopyd.conf", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_set_contents (path, text, length, NULL));
  gboolean ok = pcd_config_load (path, config, &error);
  g_assert_true (ok == (error == NULL));
  if (error) {
    g_assert_true (g_str_has_prefix (error->message, path));
    *ret_message = g_strdup (error->message + strlen (path));
  }
  g_unlink (path);
  g_rmdir (dir);
  return ok;
}

static void
test_duration (void)
{
  static const struct {
    const char *text;
    gint64 usec; /* -1: refused */
  } rows[] = {
    { "0", 0 },
    { "0s", 0 },
    { "1us", 1 },
    { "200ms", 200000 },
    { "2s", 2000000 },
    { "2 s", 2000000 },
    { "2sec", 2000000 },
    { "1.5s", 1500000 },
    { "0.1s", 100000 },
    { "0.000001s", 1 },
    { "0.0000019s", 1 },
    { "5min", 300000000 },
    { "5m", 300000000 },
    { "24h", G_GINT64_CONSTANT (86400000000) },
    { "106751990d", G_GINT64_CONSTANT (9223371936000000000) },
    { "106751992d", -1 },
    { "9223372036854775807h", -1 },
    { "99999999999999999999us", -1 },
    { "", -1 },
    { " ", -1 },
    { "2", -1 },
    { "s", -1 },
    { "-1s", -1 },
    { "+1s", -1 },
    { "1e3s", -1 },
    { "0x10s", -1 },
    { ".5s", -1 },
    { "1.s", -1 },
    { "1.2.3s", -1 },
    { "2 s 3", -1 },
    { "2S", -1 },
    { "2fortnights", -1 },
    { "\xff", -1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    gint64 usec = -42;
    gboolean ok = pcd_duration_parse (rows[i].text, &usec, &error);

    g_test_message ("row %u", i);
    g_assert_cmpint (usec, ==, rows[i].usec < 0 ? -42 : rows[i].usec);
    g_assert_cmpint (ok, ==, rows[i].usec >= 0);
    if (!ok)
      g_assert_nonnull (strstr (error->message, "expected a number with a unit"));
  }
}

static void
test_duration_text (void)
{
  static const struct {
    gint64 usec;
    const char *rough, *exact;
  } rows[] = {
    { -5, "0.0 s", "0.0 ms" },
    { 4200, "0.0 s", "4.2 ms" },
    { 10000, "0.0 s", "0.01 s" },
    { 1500000, "1.5 s", "1.50 s" },
    { 45310000, "45 s", "45.31 s" },
    { 60 * G_USEC_PER_SEC, "1 min 0 s", "1 min 0 s" },
    { 725 * G_USEC_PER_SEC, "12 min 5 s", "12 min 5 s" },
    { 12000 * G_TIME_SPAN_SECOND, "3 h 20 min", "3 h 20 min" },
    { 47 * G_TIME_SPAN_HOUR, "47 h 0 min", "47 h 0 min" },
    { 50 * G_TIME_SPAN_HOUR, "2 days", "2 days" },
    { G_MAXINT64, "24855 days", "24855 days" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *rough = pcd_duration_to_text (rows[i].usec, FALSE);
    g_autofree char *exact = pcd_duration_to_text (rows[i].usec, TRUE);

    g_assert_cmpstr (rough, ==, rows[i].rough);
    g_assert_cmpstr (exact, ==, rows[i].exact);
  }
}

static void
test_good (void)
{
  static const struct {
    const char *text;
    PcdConfig config;
  } rows[] = {
    { "", { 2000000, 15000000, TRUE, 200000, 300000000 } },
    { "\n\n# nothing\n; here\n[arm]\n[watch]", { 2000000, 15000000, TRUE, 200000, 300000000 } },
    { "[arm]\r\nnetwork-timeout = 500ms\r\nbackstop=off\r\nenabled=no\r\n",
      { 500000, 0, FALSE, 200000, 300000000 } },
    { "[arm]\nbackstop=0\n", { 2000000, 0, TRUE, 200000, 300000000 } },
    { "[arm]\n  network-timeout\t=\t60s  \nbackstop=1h\n[watch]\nsample-interval=10s\nkeep-ended=0",
      { 60000000, G_GINT64_CONSTANT (3600000000), TRUE, 10000000, 0 } },
    { "[watch]\nkeep-ended = 24h\nsample-interval=50ms\n[arm]\nenabled = true\n",
      { 2000000, 15000000, TRUE, 50000, G_GINT64_CONSTANT (86400000000) } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *message = NULL;
    g_auto (PcdConfig) config = { 0 };

    if (!load_text (rows[i].text, -1, &config, &message))
      g_error ("row %u: %s", i, message);
    g_assert_cmpint (config.network_timeout_usec, ==, rows[i].config.network_timeout_usec);
    g_assert_cmpint (config.backstop_usec, ==, rows[i].config.backstop_usec);
    g_assert_cmpint (config.arm, ==, rows[i].config.arm);
    g_assert_cmpint (config.sample_usec, ==, rows[i].config.sample_usec);
    g_assert_cmpint (config.keep_ended_usec, ==, rows[i].config.keep_ended_usec);
    g_assert_cmpuint (config.matches->len, ==, 0);
    g_assert_false (config.allow_destroy);
  }
}

/* "PATTERN=POLICY" of each, in the order in which they are asked. */
static char *
show_matches (const PcdConfig *config)
{
  g_autoptr (GString) text = g_string_new (NULL);
  guint n;
  const PcdPolicyMatch *matches = pcd_config_matches (config, &n);

  for (guint i = 0; i < n; i++)
    g_string_append_printf (text, "%s%s=%s", i ? ", " : "", matches[i].pattern, matches[i].policy);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
test_policy (void)
{
  static const struct {
    const char *text;
    const char *matches;
    gboolean has_default;
    gboolean allow_destroy;
  } rows[] = {
    { "", "", FALSE, FALSE },
    { "[policy]\n[host]\n", "", FALSE, FALSE },
    { "[policy]\ndefault = observe\n", "*=observe", TRUE, FALSE },
    { "[policy]\nmatch = web-* protect\nmatch=* observe\n", "web-*=protect, *=observe", FALSE,
      FALSE },
    { "[policy]\nmatch = * observe\nmatch = web-* protect\n", "*=observe, web-*=protect", FALSE,
      FALSE },
    { "[policy]\nmatch=b x\ndefault=d\nmatch=a x\n[host]\nallow-destroy=yes\n", "b=x, a=x, *=d",
      TRUE, TRUE },
    { "[policy]\nmatch = * x\ndefault = d\n", "*=x, *=d", TRUE, FALSE },
    { "[policy]\nmatch = my old  domain \t x-1\n[host]\nallow-destroy = no\n", "my old  domain=x-1",
      FALSE, FALSE },
    { "[policy]\nmatch = caf\xc3\xa9-? protect\n", "caf\xc3\xa9-?=protect", FALSE, FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *message = NULL, *matches = NULL;
    g_auto (PcdConfig) config = { 0 }, copy = { 0 };

    if (!load_text (rows[i].text, -1, &config, &message))
      g_error ("row %u: %s", i, message);
    copy = pcd_config_copy (&config);
    pcd_config_clear (&config);
    matches = show_matches (&copy);
    g_assert_cmpstr (matches, ==, rows[i].matches);
    g_assert_cmpint (copy.has_default_policy, ==, rows[i].has_default);
    g_assert_cmpint (copy.allow_destroy, ==, rows[i].allow_destroy);
  }
}

static void
test_peers (void)
{
  g_auto (PcdConfig) config = { 0 };
  g_autofree char *message = NULL;

  if (!load_text ("[peer b]\naddresses = 10.9.0.2, 10.9.1.2\n[recover]\nparallel = 5\n"
                  "libvirt-uri = qemu+tcp://{address}/system\n[peer c]\naddresses=fe80:0::1\n"
                  "libvirt-uri=qemu+ssh://root@c.example/system\n",
                  -1, &config, &message))
    g_error ("%s", message);
  g_assert_cmpuint (config.recover_parallel, ==, 5);
  g_assert_cmpstr (config.peers->libvirt_uri, ==, "qemu+tcp://{address}/system");
  g_assert_cmpuint (config.peers->peers->len, ==, 2);
  g_assert_cmpstr (pcd_peers_find (config.peers, "10.9.1.2")->name, ==, "b");
  g_assert_null (pcd_peers_find (config.peers, "10.9.1.2")->libvirt_uri);
  g_assert_cmpstr (pcd_peers_find (config.peers, "fe80::1")->libvirt_uri, ==,
                   "qemu+ssh://root@c.example/system");
  g_assert_null (pcd_peers_find (config.peers, "10.9.0.3"));
}

static void
test_bad (void)
{
#define URI_EXPECTED                                                                               \
  ", expected a libvirt URI of QEMU on another host, such as qemu+tls://{address}/system"
#define ADDRESSES_EXPECTED ", expected numeric addresses, each once, such as 10.9.0.2 10.9.1.2"
#define POLICY_EXPECTED                                                                            \
  ", expected a policy's name (up to 32 lower case letters, digits and dashes, a letter first)"
#define MATCH_EXPECTED                                                                             \
  ", expected a pattern of domain names (* and ? stand for others) and a policy's name, such as "  \
  "web-* protect"
#define TIMEOUT_EXPECTED ", expected a duration such as 2s (500ms to 60s)"
  static const struct {
    const char *text;
    const char *message; /* after the file's name; the whole of it */
  } rows[] = {
    { "[arm]\nnetwork-timeout=x\n", ":2: [arm] network-timeout: got \"x\"" TIMEOUT_EXPECTED },
    { "[arm]\nnetwork-timeout=\n", ":2: [arm] network-timeout: got \"\"" TIMEOUT_EXPECTED },
    { "[arm]\nnetwork-timeout=2\n", ":2: [arm] network-timeout: got \"2\"" TIMEOUT_EXPECTED },
    { "[arm]\nnetwork-timeout=2s # two\n",
      ":2: [arm] network-timeout: got \"2s # two\"" TIMEOUT_EXPECTED },
    { "#\n#\n[arm]\n\nnetwork-timeout=499ms",
      ":5: [arm] network-timeout: got \"499ms\"" TIMEOUT_EXPECTED },
    { "[arm]\nnetwork-timeout=61s", ":2: [arm] network-timeout: got \"61s\"" TIMEOUT_EXPECTED },
    { "[arm]\nnetwork-timeout=off", ":2: [arm] network-timeout: got \"off\"" TIMEOUT_EXPECTED },
    { "[arm]\nnetwork-timeout=\001\033[31m\xc3\xa9",
      ":2: [arm] network-timeout: got \"\\001\\033[31m\\303\\251\"" TIMEOUT_EXPECTED },
    { "[arm]\nbackstop=999ms", ":2: [arm] backstop: got \"999ms\", expected a duration such as 15s "
                               "(1s to 1h, and more than network-timeout), or off" },
    { "[arm]\nbackstop=2s",
      ":2: [arm] backstop: got 2 s, expected more than network-timeout, which "
      "is 2 s (the default), or off" },
    { "[arm]\nnetwork-timeout=20s\n",
      ":2: [arm] backstop: got 15 s (the default), expected more than network-timeout, which is "
      "20 s, or off" },
    { "[arm]\nbackstop=5s\nnetwork-timeout=6s\n",
      ":3: [arm] backstop: got 5 s, expected more than network-timeout, which is 6 s, or off" },
    { "[watch]\nsample-interval=1001ms\n", ":2: [watch] sample-interval: got 1.001 s, expected at "
                                           "most half of network-timeout, which is "
                                           "2 s (the default)" },
    { "[arm]\nenabled=maybe", ":2: [arm] enabled: got \"maybe\", expected yes or no" },
    { "[watch]\nkeep-ended=25h",
      ":2: [watch] keep-ended: got \"25h\", expected a duration such as 5min (0 to 24h)" },
    { "[arm]\nnetwork-timeout=2s\n[watch]\n[arm]\n",
      ":4: group [arm] again, first seen in line 1, expected each group once" },
    { "[arm]\nenabled=yes\nenabled=yes\n",
      ":3: [arm] enabled: again, first seen in line 2, expected each key once" },
    { "[Arm]\n", ":1: unknown group \"Arm\", expected one of: arm, watch, recover, peer NAME, "
                 "policy, veto, host, sinks, plugin NAME, sink NAME" },
    { "[]\n", ":1: unknown group \"\", expected one of: arm, watch, recover, peer NAME, "
              "policy, veto, host, sinks, plugin NAME, sink NAME" },
    { "[plugin]\n", ":1: unknown group \"plugin\", expected one of: arm, watch, recover, "
                    "peer NAME, policy, veto, host, sinks, plugin NAME, sink NAME" },
    { "[plugin beacon]\n", ":1: plugin name \"beacon\", expected lower case letters, digits and "
                           "dashes with a dot, such as [plugin example.beacon]" },
    { "[plugin A.b]\n", ":1: plugin name \"A.b\", expected lower case letters, digits and "
                        "dashes with a dot, such as [plugin example.beacon]" },
    { "[plugin a..b]\n", ":1: plugin name \"a..b\", expected lower case letters, digits and "
                         "dashes with a dot, such as [plugin example.beacon]" },
    { "[plugin a.b]\n[arm]\n[plugin a.b]\n",
      ":3: group [plugin a.b] again, first seen in line 1, expected each group once" },
    { "[plugin a.b]\npath=b.so\n",
      ":2: [plugin a.b] path: got \"b.so\", expected an absolute path" },
    { "[plugin a.b]\nkey=1\nkey=2\n", ":3: [plugin a.b] \"key\" again, expected each key once" },
    { "[veto]\ncommand = veto\n", ":2: [veto] command: got \"veto\", expected the absolute path of "
                                  "a program, or of a folder of "
                                  "them, such as /etc/postcopyd/veto.d" },
    { "[veto]\nactions = recover notify\n",
      ":2: [veto] actions: got \"recover notify\", expected actions, each once, such as recover "
      "destroy" },
    { "[veto]\ndefault = yes\n", ":2: [veto] default: got \"yes\", expected allow or deny" },
    { "[arm\n", ":1: got \"[arm\", expected [group]" },
    { "[", ":1: got \"[\", expected [group]" },
    { "[arm] # x", ":1: got \"[arm] # x\", expected [group]" },
    { "[arm]\nkeep-ended=1s\n", ":2: [arm]: unknown key \"keep-ended\", expected one of: "
                                "network-timeout, backstop, enabled" },
    { "[watch]\nsample=1s\n",
      ":2: [watch]: unknown key \"sample\", expected one of: sample-interval, keep-ended" },
    { "[policy]\ndefault=\n", ":2: [policy] default: got \"\"" POLICY_EXPECTED },
    { "[policy]\ndefault=Fence\n", ":2: [policy] default: got \"Fence\"" POLICY_EXPECTED },
    { "[policy]\ndefault=web-* x\n", ":2: [policy] default: got \"web-* x\"" POLICY_EXPECTED },
    { "[policy]\ndefault=a\ndefault=a\n",
      ":3: [policy] default: again, first seen in line 2, expected each key once" },
    { "[policy]\nmatch=\n", ":2: [policy] match: got \"\"" MATCH_EXPECTED },
    { "[policy]\nmatch=protect\n", ":2: [policy] match: got \"protect\"" MATCH_EXPECTED },
    { "[policy]\nmatch=* Protect\n", ":2: [policy] match: got \"* Protect\"" MATCH_EXPECTED },
    { "[policy]\nmatch=a* x\ndefault=d\nmatch=b x\nmatch=a*  y\n",
      ":5: [policy] match: \"a*\" has policy x already, expected each pattern once" },
    { "[policy]\npolicy=x\n",
      ":2: [policy]: unknown key \"policy\", expected one of: default, match" },
    { "[host]\nallow-destroy=\n", ":2: [host] allow-destroy: got \"\", expected yes or no" },
    { "[policy]\nallow-destroy=yes\n",
      ":2: [policy]: unknown key \"allow-destroy\", expected one of: default, match" },
    { "enabled=yes\n",
      ":1: key \"enabled\" before any group, expected a line such as [arm] above it" },
    { "[arm]\nenabled\n", ":2: got \"enabled\", expected key = value" },
    { "[arm]\n=yes\n", ":2: got \"=yes\", expected key = value" },
    { "[arm]\nthis-is-a-very-long-line-that-goes-on-and-on-and-on\n",
      ":2: got \"this-is-a-very-long-line-that-goes-on-an...\", expected key = value" },
    { "[recover]\nparallel=0\n",
      ":2: [recover] parallel: got \"0\", expected a number from 1 to 64" },
    { "[recover]\nparallel=two\n",
      ":2: [recover] parallel: got \"two\", expected a number from 1 to 64" },
    { "[recover]\nlibvirt-uri=qemu:///system\n",
      ":2: [recover] libvirt-uri: got \"qemu:///system\"" URI_EXPECTED },
    { "[recover]\nlibvirt-uri=http://a/system\n",
      ":2: [recover] libvirt-uri: got \"http://a/system\"" URI_EXPECTED },
    { "[peer b]\n[arm]\n",
      ":1: [peer b]: no addresses, expected a line such as addresses = 10.9.0.2 10.9.1.2" },
    { "\n[peer b]\nlibvirt-uri=qemu+tls://b/system\n",
      ":2: [peer b]: no addresses, expected a line such as addresses = 10.9.0.2 10.9.1.2" },
    { "[peer b]\naddresses=\n", ":2: [peer b] addresses: got \"\"" ADDRESSES_EXPECTED },
    { "[peer b]\naddresses=10.9.0.2 host-b\n",
      ":2: [peer b] addresses: got \"10.9.0.2 host-b\"" ADDRESSES_EXPECTED },
    { "[peer b]\naddresses=10.9.0.2 10.9.0.2\n",
      ":2: [peer b] addresses: got \"10.9.0.2 10.9.0.2\"" ADDRESSES_EXPECTED },
    { "[peer b]\naddresses=fe80::1\n[peer c]\naddresses=fe80:0::1\n",
      ":4: [peer c] addresses: fe80::1 is [peer b]'s already, expected each address once" },
    { "[peer b]\naddresses=10.9.0.2\n[peer b]\naddresses=10.9.0.3\n",
      ":3: group [peer b] again, expected each group once" },
    { "[peer b]\naddresses=10.9.0.2\naddresses=10.9.0.3\n",
      ":3: [peer b] addresses: again, first seen in line 2, expected each key once" },
    { "[peer b]\naddress=10.9.0.2\n",
      ":2: [peer b]: unknown key \"address\", expected one of: addresses, libvirt-uri" },
    { "[peer]\n", ":1: peer name \"\", expected a word of up to 64 characters, such as "
                  "[peer host-b]" },
    { "[peer b c]\n", ":1: peer name \"b c\", expected a word of up to 64 characters, such as "
                      "[peer host-b]" },
    { "# caf\xe9\n", ":1: not UTF-8 text, expected [group], key = value, or # comment" },
    { "[arm]\n\x7f"
      "ELF\x02\x01\xff\n",
      ":2: not UTF-8 text, expected [group], key = value, or # comment" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *message = NULL;
    PcdConfig config = { .sample_usec = 42 };

    g_test_message ("row %u", i);
    g_assert_false (load_text (rows[i].text, -1, &config, &message));
    g_assert_cmpstr (message, ==, rows[i].message);
    g_assert_cmpint (config.sample_usec, ==, 42);
  }
}

static void
test_nul_byte (void)
{
  static const char text[] = "[arm]\nenabled=yes\0no\n";
  g_autofree char *message = NULL;
  PcdConfig config;

  g_assert_false (load_text (text, sizeof text - 1, &config, &message));
  g_assert_true (g_str_has_prefix (message, ":2: not UTF-8"));
}

static void
test_not_a_file (void)
{
  g_autofree char *dir = temp_dir ();
  g_autofree char *missing = g_build_filename (dir, "missing.conf", NULL);
  g_autofree char *fifo = g_build_filename (dir, "fifo", NULL);
  g_autofree char *huge = g_build_filename (dir, "huge", NULL);
  g_autofree char *comments = g_strnfill (70000, '#');
  const struct {
    const char *path;
    GFileError code;
    const char *says;
  } rows[] = {
    { missing, G_FILE_ERROR_NOENT, "No such file or directory" },
    { dir, G_FILE_ERROR_ISDIR, "is a directory, expected a file" },
    { fifo, G_FILE_ERROR_INVAL, "expected a file" },
    { huge, G_FILE_ERROR_INVAL, "more than 64 KiB" },
    { "/dev/zero", G_FILE_ERROR_INVAL, "more than 64 KiB" },
    { "", G_FILE_ERROR_NOENT, "No such file or directory" },
  };
  g_auto (PcdConfig) config = { 0 };

  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  g_assert_true (g_file_set_contents (huge, comments, -1, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_false (pcd_config_load (rows[i].path, &config, &error));
    g_assert_error (error, G_FILE_ERROR, (int)rows[i].code);
    g_assert_true (g_str_has_prefix (error->message, rows[i].path));
    g_assert_nonnull (strstr (error->message, rows[i].says));
  }
  g_assert_true (pcd_config_load ("/dev/null", &config, NULL));
  g_assert_cmpint (config.sample_usec, ==, 200000);
  g_unlink (fifo);
  g_unlink (huge);
  g_rmdir (dir);
}

/* Nothing that a file may hold crashes or hangs the parser, and a refusal always has a message. */
static void
test_random_bytes (void)
{
  static const char alphabet[] = "[]arm=\n#; 0125sx.\xff\x01network-timeout=[peer ]\naddresses=";

  for (guint round = 0; round < 300; round++) {
    char text[200];
    g_autofree char *message = NULL;
    g_auto (PcdConfig) config = { 0 };
    guint length = g_test_rand_int_range (0, sizeof text);

    for (guint i = 0; i < length; i++)
      text[i] = alphabet[g_test_rand_int_range (0, sizeof alphabet)];
    if (!load_text (text, length, &config, &message))
      g_assert_nonnull (strstr (message, "expected"));
  }
}

/* Who can write it can have root run programs. */
static void
test_untrusted (void)
{
  static const struct {
    const char *name;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    const char *says; /* NULL: is read */
  } rows[] = {
    { "postcopyd.conf", 0644, 0, 0, NULL },
    { "postcopyd.conf", 0600, 0, 1, NULL },
    { "postcopyd.conf", 0664, 0, 0, NULL },
    { "postcopyd.conf", 0666, 0, 0,
      "is writable by everyone (mode 0666), expected a file that only root can write: chmod "
      "go-w " },
    { "postcopyd.conf", 0602, 0, 0, "is writable by everyone (mode 0602), expected a file that " },
    { "a b.conf", 0666, 0, 0, "can write: chmod go-w '" },
    { "postcopyd.conf", 0664, 0, 1, "is writable by its group (mode 0664), expected a file that " },
    { "postcopyd.conf", 0644, 65534, 0,
      "belongs to user 65534, expected a file that only root can write: chown root " },
  };
  g_autofree char *dir = temp_dir (), *link = g_build_filename (dir, "link", NULL);

  if (geteuid () != 0) {
    g_test_skip ("needs root");
    g_rmdir (dir);
    return;
  }
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *path = g_build_filename (dir, rows[i].name, NULL);

    g_assert_true (g_file_set_contents (path, "[arm]\nbackstop = 30s\n", -1, NULL));
    g_assert_cmpint (chown (path, rows[i].uid, rows[i].gid), ==, 0);
    g_assert_cmpint (chmod (path, rows[i].mode), ==, 0);
    g_assert_cmpint (symlink (path, link), ==, 0);
    for (guint by_link = 0; by_link < 2; by_link++) {
      g_auto (PcdConfig) config = { 0 };
      g_autoptr (GError) error = NULL;
      const char *name = by_link ? link : path;

      g_assert_true (pcd_config_load (name, &config, &error) == !rows[i].says);
      if (!rows[i].says)
        continue;
      g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM);
      g_assert_true (g_str_has_prefix (error->message, name));
      if (!by_link)
        g_assert_nonnull (strstr (error->message, rows[i].says));
    }
    g_unlink (link);
    g_unlink (path);
  }
  g_rmdir (dir);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/config/duration", test_duration);
  g_test_add_func ("/config/duration-text", test_duration_text);
  g_test_add_func ("/config/good", test_good);
  g_test_add_func ("/config/peers", test_peers);
  g_test_add_func ("/config/policy", test_policy);
  g_test_add_func ("/config/bad", test_bad);
  g_test_add_func ("/config/nul-byte", test_nul_byte);
  g_test_add_func ("/config/not-a-file", test_not_a_file);
  g_test_add_func ("/config/untrusted", test_untrusted);
  g_test_add_func ("/config/random-bytes", test_random_bytes);
  return g_test_run ();
}
