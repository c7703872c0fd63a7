/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a webhook decides without a network: keys, secrets, content, and what an answer means.
 * The network is tests/host/test-webhook.py's. */
#include "core/pcd-json.h"
#include "sinks/webhook/pcd-webhook-answer.h"
#include "sinks/webhook/pcd-webhook-event.h"
#include "sinks/webhook/pcd-webhook-secret.h"
#include "sinks/webhook/pcd-webhook-settings.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define S    G_USEC_PER_SEC
#define DAY  ((gint64)24 * 60 * 60 * S)
#define NOON 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT, of RFC 9110 */

static void
test_judge (void)
{
  static const struct {
    guint status;
    PcdWebhookVerdict verdict;
  } rows[] = {
    { 0, PCD_WEBHOOK_LATER },      { 199, PCD_WEBHOOK_LATER },    { 200, PCD_WEBHOOK_TAKEN },
    { 202, PCD_WEBHOOK_TAKEN },    { 204, PCD_WEBHOOK_TAKEN },    { 301, PCD_WEBHOOK_MEND },
    { 307, PCD_WEBHOOK_MEND },     { 400, PCD_WEBHOOK_UNWANTED }, { 401, PCD_WEBHOOK_MEND },
    { 403, PCD_WEBHOOK_MEND },     { 404, PCD_WEBHOOK_MEND },     { 408, PCD_WEBHOOK_LATER },
    { 409, PCD_WEBHOOK_UNWANTED }, { 410, PCD_WEBHOOK_MEND },     { 413, PCD_WEBHOOK_UNWANTED },
    { 415, PCD_WEBHOOK_MEND },     { 422, PCD_WEBHOOK_UNWANTED }, { 425, PCD_WEBHOOK_LATER },
    { 429, PCD_WEBHOOK_LATER },    { 500, PCD_WEBHOOK_LATER },    { 501, PCD_WEBHOOK_LATER },
    { 503, PCD_WEBHOOK_LATER },    { 599, PCD_WEBHOOK_LATER },    { 999, PCD_WEBHOOK_LATER },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    const char *meaning = NULL;
    g_test_message ("%u", rows[i].status);
    g_assert_cmpint (pcd_webhook_judge (rows[i].status, &meaning), ==, rows[i].verdict);
    g_assert_nonnull (meaning);
  }
}

static void
test_retry_after (void)
{
  static const struct {
    const char *value, *date;
    gint64 usec;
  } rows[] = {
    { NULL, NULL, 0 },
    { "0", NULL, 0 },
    { "7", NULL, 7 * S },
    { "86401", NULL, DAY },
    { "99999999999999999999", NULL, 0 },
    { "-1", NULL, 0 },
    { "soon", NULL, 0 },
    { "Sun, 06 Nov 1994 08:49:47 GMT", NULL, 10 * S },
    { "Sun, 06 Nov 1994 08:49:27 GMT", NULL, 0 },
    { "Mon, 06 Nov 2094 08:49:37 GMT", NULL, DAY },
    /* its clock is an hour behind ours */
    { "Sun, 06 Nov 1994 07:50:07 GMT", "Sun, 06 Nov 1994 07:49:37 GMT", 30 * S },
    { "Sun, 06 Nov 1994 08:49:47 GMT", "nonsense", 10 * S },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_test_message ("%s", rows[i].value ?: "none");
    g_assert_cmpint (pcd_webhook_retry_after (rows[i].value, rows[i].date, NOON), ==, rows[i].usec);
  }
}

static void
test_settings (void)
{
  static const struct {
    const char *keys[8];
    const char *expected; /* NULL: good */
  } rows[] = {
    { { "url", "https://h.example/x" }, NULL },
    { { "url", "http://[::1]:8080/x?y=z", "mode", "batched", "max-batch", "50" }, NULL },
    { { "url", "https://h/", "bearer-token", "t", "signing-key", "/run/k" }, NULL },
    { { "url", "https://h/", "timeout", "1s" }, "timeout: unknown key, expected one of: url, " },
    { { "mode", "structured" }, "url: missing, expected an https or http URL" },
    { { "url", "https://me:SECRET@h/" }, "url: expected an https or http URL without user" },
    { { "url", "https://h/#SECRET" }, "url: expected " },
    { { "url", "ftp://h/" }, "url: expected " },
    { { "url", "SECRET" }, "url: expected " },
    { { "url", "https:///x" }, "url: expected " },
    { { "url", "https://h/", "mode", "binary" }, "mode: expected structured or batched" },
    { { "url", "https://h/", "max-batch", "51" }, "max-batch: expected a number from 1 to 50" },
    { { "url", "https://h/", "max-batch", "0" }, "max-batch: expected" },
    { { "url", "https://h/", "proxy", "https://p/" }, "proxy: expected an http URL" },
    { { "url", "https://h/", "proxy", "http://u:SECRET@p/" }, "proxy: expected an http URL" },
    { { "url", "https://h/", "ca-file", "ca.pem" }, "ca-file: expected the absolute path" },
    { { "url", "https://h/", "bearer-token", "../SECRET" }, "bearer-token: expected the name" },
    { { "url", "https://h/", "signing-key", "a:SECRET" }, "signing-key: expected the name" },
    { { "url", "http://h/", "bearer-token", "t" }, "bearer-token: would be sent in the clear" },
    { { "url", "HTTP://h/", "bearer-token", "t" }, "bearer-token: would be sent in the clear" },
    { { "url", "https://h/", "request-timeout", "61s" }, "request-timeout: expected a duration" },
    { { "url", "https://h/", "connect-timeout", "1us" }, "connect-timeout: expected a duration" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GHashTable) keys = g_hash_table_new (g_str_hash, g_str_equal);
    g_autoptr (GError) error = NULL;
    for (guint k = 0; rows[i].keys[k]; k += 2)
      g_hash_table_insert (keys, (char *)rows[i].keys[k], (char *)rows[i].keys[k + 1]);
    g_autoptr (PcdWebhookSettings) settings = pcd_webhook_settings_new (keys, &error);
    g_test_message ("%u: %s", i, error ? error->message : "good");
    g_assert_true ((settings != NULL) == (rows[i].expected == NULL));
    if (!rows[i].expected)
      continue;
    g_assert_true (g_str_has_prefix (error->message, rows[i].expected));
    g_assert_null (strstr (error->message, "SECRET"));
  }
}

static char *folder;

static char *
write_secret (const char *text, mode_t mode)
{
  char *path = g_build_filename (folder, "key", NULL);

  g_unlink (path);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_cmpint (g_chmod (path, mode), ==, 0);
  return path;
}

static void
test_secret_files (void)
{
  static const struct {
    const char *text;
    mode_t mode;
    const char *expected; /* NULL: good */
  } rows[] = {
    { "SECRET\n", 0600, NULL },
    { "SECRET", 0400, NULL },
    { "SECRET\n", 0644, "mode 0644 lets others read or write it, expected 0600 or 0400" },
    { "SECRET\n", 0640, "mode 0640 lets others" },
    { "SECRET\n", 0602, "mode 0602 lets others" },
    { "\n\n", 0600, "expected a line of text" },
    { "", 0600, "expected a line of text" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *path = write_secret (rows[i].text, rows[i].mode);
    g_autoptr (GError) error = NULL;
    g_autoptr (PcdSecret) secret = pcd_secret_read (path, &error);
    g_test_message ("%s", error ? error->message : "good");
    g_assert_true ((secret != NULL) == (rows[i].expected == NULL));
    if (!error)
      continue;
    g_assert_nonnull (strstr (error->message, path));
    g_assert_nonnull (strstr (error->message, rows[i].expected));
    g_assert_null (strstr (error->message, "SECRET"));
  }

  if (geteuid () == 0) {
    g_autofree char *path = write_secret ("SECRET\n", 0600);
    g_autoptr (GError) error = NULL;

    g_assert_cmpint (chown (path, 65534, 0), ==, 0);
    g_assert_null (pcd_secret_read (path, &error));
    g_assert_nonnull (strstr (error->message, "belongs to uid 65534, expected root"));
  }

  static const char *const others[] = { "/proc/version", "/dev/zero", "/", "/nowhere/at/all",
                                        "no-such-credential" };
  for (guint i = 0; i < G_N_ELEMENTS (others); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (pcd_secret_read (others[i], &error));
    g_assert_nonnull (strstr (error->message, others[i]));
  }
}

static void
test_secret_too_long (void)
{
  g_autofree char *text = g_strnfill (4097, 'x');
  g_autofree char *path = write_secret (text, 0600);
  g_autoptr (GError) error = NULL;

  g_assert_null (pcd_secret_read (path, &error));
  text[4096] = 0;
  g_autofree char *again = write_secret (text, 0600);
  g_autoptr (PcdSecret) secret = pcd_secret_read (again, NULL);
  g_assert_nonnull (secret);
}

/* By name it is in the folder that systemd says. */
static void
test_secret_by_name (void)
{
  g_autofree char *path = write_secret ("a.Token-1\n", 0400);
  g_autoptr (GError) error = NULL;

  g_setenv ("CREDENTIALS_DIRECTORY", folder, TRUE);
  g_autoptr (PcdSecret) secret = pcd_secret_read ("key", &error);
  g_unsetenv ("CREDENTIALS_DIRECTORY");
  g_assert_no_error (error);
  g_autofree char *header = pcd_secret_authorization (secret, "key", &error);
  g_assert_cmpstr (header, ==, "Bearer a.Token-1");
}

/* A second line would be a header of its own. */
static void
test_secret_not_a_token (void)
{
  static const char *const texts[] = { "SECRET\r\nX-Evil: yes", "SECRET two", "caf\xc3\xa9" };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autofree char *path = write_secret (texts[i], 0600);
    g_autoptr (GError) error = NULL;
    g_autoptr (PcdSecret) secret = pcd_secret_read (path, NULL);
    g_assert_null (pcd_secret_authorization (secret, path, &error));
    g_assert_null (strstr (error->message, "SECRET"));
  }
}

#define FIRST  "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define SECOND "v1,vB/RcK3DsQmBfdulwjqHua0e/e4naSfxEXJYPP7Oxtk="

/* The first is the example of the specification's own reference libraries. */
static void
test_sign (void)
{
  static const struct {
    const char *key, *expected;
  } rows[] = {
    { "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", FIRST },
    { "sixteen bytes or more", SECOND },
    { " sixteen bytes or more \r\n\nwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", SECOND " " FIRST },
    { "too short", NULL },
    { "whsec_dG9vIHNob3J0", NULL },
    { "sixteen bytes or more\ntoo short", NULL },
    { "1234567890123456\n2234567890123456\n3234567890123456\n4234567890123456\n5234567890123456",
      NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *path = write_secret (rows[i].key, 0600);
    g_autoptr (GError) error = NULL;
    g_autoptr (PcdSecret) key = pcd_secret_read (path, NULL);
    g_autofree char *signature = pcd_secret_sign (key, path, "msg_p5jXN8AQM9LWM0D4loKWxJek",
                                                  1614265330, "{\"test\": 2432232314}", &error);
    g_assert_cmpstr (signature, ==, rows[i].expected);
    g_assert_true ((error == NULL) == (signature != NULL));
  }
}

static const PostcopydNote first = { sizeof first,         "n-1",
                                     "0a1b/source",        "phase",
                                     NOON *(gint64)S + 42, "{\"seq\":1,\"x\":[null,1.5]}" };
static const PostcopydNote second = { sizeof second, "n-2",           "",
                                      "libvirt",     NOON *(gint64)S, "{\"seq\":2}" };
static const PostcopydNote broken = { sizeof broken, "n-3", "", "libvirt", NOON *(gint64)S, "[]" };

static void
test_body (void)
{
  const PostcopydNote *notes[] = { &first, &second };
  g_autofree char *one = pcd_webhook_body ("a host", FALSE, notes, 1);
  g_autofree char *both = pcd_webhook_body ("b", TRUE, notes, 2);

  g_assert_cmpstr (one, ==,
                   "{\"specversion\":\"1.0\",\"id\":\"n-1\",\"source\":\"//a%20host/postcopyd\","
                   "\"type\":\"org.postcopyd.phase.v1\",\"subject\":\"0a1b/source\","
                   "\"time\":\"1994-11-06T08:49:37.000042Z\","
                   "\"datacontenttype\":\"application/json\","
                   "\"dataschema\":\"" PCD_WEBHOOK_DATA_SCHEMA "event\","
                   "\"data\":{\"seq\":1,\"x\":[null,1.5]}}");
  g_assert_true (g_str_has_prefix (both, "[{\"specversion\""));
  g_assert_nonnull (strstr (both, "},{\"specversion\":\"1.0\",\"id\":\"n-2\""));
  /* about no domain: no attribute rather than an empty one */
  g_assert_null (strstr (strstr (both, "n-2"), "subject"));

  const PostcopydNote *bad[] = { &first, &broken };
  g_assert_null (pcd_webhook_body ("b", TRUE, bad, 2));
}

/* A receiver may drop a request whose webhook-id it has seen: only the same notes have the same. */
static void
test_message_id (void)
{
  const PostcopydNote *notes[] = { &first, &second, &broken };
  g_autofree char *one = pcd_webhook_message_id (notes, 1);
  g_autofree char *two = pcd_webhook_message_id (notes, 2);
  g_autofree char *again = pcd_webhook_message_id (notes, 2);
  g_autofree char *three = pcd_webhook_message_id (notes, 3);

  g_assert_cmpstr (one, ==, "n-1");
  g_assert_cmpstr (two, ==, again);
  g_assert_cmpstr (two, !=, three);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("pcd-webhook-XXXXXX", NULL);
  g_unsetenv ("CREDENTIALS_DIRECTORY");
  g_test_add_func ("/webhook/judge", test_judge);
  g_test_add_func ("/webhook/retry-after", test_retry_after);
  g_test_add_func ("/webhook/settings", test_settings);
  g_test_add_func ("/webhook/secret/files", test_secret_files);
  g_test_add_func ("/webhook/secret/too-long", test_secret_too_long);
  g_test_add_func ("/webhook/secret/by-name", test_secret_by_name);
  g_test_add_func ("/webhook/secret/not-a-token", test_secret_not_a_token);
  g_test_add_func ("/webhook/secret/sign", test_sign);
  g_test_add_func ("/webhook/body", test_body);
  g_test_add_func ("/webhook/message-id", test_message_id);
  int result = g_test_run ();
  g_autofree char *path = g_build_filename (folder, "key", NULL);
  g_unlink (path);
  g_rmdir (folder);
  g_free (folder);
  return result;
}
