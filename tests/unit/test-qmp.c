/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control-monitor client against a server that behaves, misbehaves and talks nonsense; and the
 * table of safety rule 1. */
#include "core/pcd-qmp-safe.h"
#include "qmp/pcd-qmp.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"

/* The server: a listening socket in a folder of its own, played by the test in the same thread. */

typedef struct {
  char *folder;
  char *path;
  int listener;
  int peer; /* the accepted client */
  PcdQmp *qmp;
  GError *error;
  JsonNode *value;
  guint answered;
  GString *events;
  guint closed;
} Fixture;

static void
fixture_up (Fixture *f, gconstpointer data)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  f->folder = g_dir_make_tmp ("pcd-qmp-XXXXXX", NULL);
  f->path = g_build_filename (f->folder, "s", NULL);
  f->events = g_string_new (NULL);
  f->peer = -1;
  f->listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_strlcpy (address.sun_path, f->path, sizeof address.sun_path);
  g_assert_cmpint (bind (f->listener, (struct sockaddr *)&address, sizeof address), ==, 0);
  g_assert_cmpint (listen (f->listener, 1), ==, 0);
}

static void
fixture_down (Fixture *f, gconstpointer data)
{
  g_clear_pointer (&f->qmp, pcd_qmp_unref);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  if (f->peer >= 0)
    close (f->peer);
  close (f->listener);
  g_unlink (f->path);
  g_rmdir (f->folder);
  g_clear_error (&f->error);
  g_clear_pointer (&f->value, json_node_unref);
  g_string_free (f->events, TRUE);
  g_free (f->path);
  g_free (f->folder);
}

static void
on_event (PcdQmp *qmp, const char *name, JsonObject *data, gint64 time, gpointer user_data)
{
  g_string_append_printf (((Fixture *)user_data)->events, "%s@%" G_GINT64_FORMAT "%s ", name, time,
                          data ? "+" : "");
}

static void
on_closed (PcdQmp *qmp, const GError *why, gpointer user_data)
{
  Fixture *f = user_data;

  f->closed++;
  g_clear_error (&f->error);
  f->error = g_error_copy (why);
}

static const PcdQmpListener listener = { on_event, on_closed };

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  Fixture *f = data;

  g_clear_error (&f->error);
  f->qmp = pcd_qmp_connect_finish (result, &f->error);
  f->answered++;
}

static void
on_executed (GObject *source, GAsyncResult *result, gpointer data)
{
  Fixture *f = data;

  g_clear_error (&f->error);
  g_clear_pointer (&f->value, json_node_unref);
  f->value = pcd_qmp_execute_finish (result, &f->error);
  f->answered++;
}

/* Five seconds are far more than anything here needs. */
static void
spin_until (Fixture *f, guint answered)
{
  gint64 end = g_get_monotonic_time () + 5 * G_TIME_SPAN_SECOND;

  while (f->answered < answered) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (200);
  }
}

static void
spin_ms (guint ms)
{
  gint64 end = g_get_monotonic_time () + ms * 1000;

  while (g_get_monotonic_time () < end)
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (200);
}

/* The main loop has to run while the client's or our own buffer is full. */
static void
say_bytes (Fixture *f, const void *bytes, gsize length)
{
  const char *at = bytes;

  while (length > 0) {
    gssize n = send (f->peer, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
      spin_ms (1);
    else if (n <= 0)
      return; /* the client hung up; the test will see it */
    else {
      at += n;
      length -= n;
    }
  }
}

static void
say (Fixture *f, const char *text)
{
  say_bytes (f, text, strlen (text));
}

/* One line from the client; returns its id. */
static char *
hear (Fixture *f, const char *expect)
{
  g_autoptr (GString) line = g_string_new (NULL);
  gint64 end = g_get_monotonic_time () + 5 * G_TIME_SPAN_SECOND;
  const char *id;
  char c = 0;

  while (c != '\n') {
    gssize n = recv (f->peer, &c, 1, MSG_DONTWAIT);

    g_assert_cmpint (g_get_monotonic_time (), <, end);
    if (n == 1)
      g_string_append_c (line, c);
    else if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (200);
  }
  g_assert_nonnull (strstr (line->str, expect));
  id = strstr (line->str, "\"id\":\"");
  g_assert_nonnull (id);
  id += strlen ("\"id\":\"");
  return g_strndup (id, strcspn (id, "\""));
}

static void
answer (Fixture *f, const char *id, const char *member)
{
  g_autofree char *line = g_strdup_printf ("{%s, \"id\": \"%s\"}\r\n", member, id);
  say (f, line);
}

static void
dial (Fixture *f, guint deadline_ms)
{
  pcd_qmp_connect_async (f->path, deadline_ms, &listener, f, NULL, on_connected, f);
  f->peer = accept (f->listener, NULL, NULL);
  g_assert_cmpint (f->peer, >=, 0);
}

static void
shake (Fixture *f)
{
  g_autofree char *id = NULL;

  dial (f, 2000);
  say (f, GREETING);
  id = hear (f, "\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}");
  answer (f, id, "\"return\": {}");
  spin_until (f, 1);
  g_assert_no_error (f->error);
  g_assert_true (pcd_qmp_has_oob (f->qmp));
}

static void
execute (Fixture *f, const char *command, PcdQmpFlags flags, guint deadline_ms)
{
  pcd_qmp_execute_async (f->qmp, command, NULL, flags, deadline_ms, NULL, on_executed, f);
}

/* Handshake */

static void
test_handshake (Fixture *f, gconstpointer data)
{
  shake (f);
  g_assert_true (pcd_qmp_is_open (f->qmp));
  g_assert_cmpint (pcd_qmp_get_discarded (f->qmp), ==, 0);
}

static void
test_without_oob (Fixture *f, gconstpointer data)
{
  g_autofree char *id = NULL;

  dial (f, 2000);
  say (f, "{\"QMP\": {\"capabilities\": []}}\n");
  id = hear (f, "\"enable\":[]");
  answer (f, id, "\"return\": {}");
  spin_until (f, 1);
  g_assert_no_error (f->error);
  g_assert_false (pcd_qmp_has_oob (f->qmp));
  execute (f, "migrate-pause", PCD_QMP_OOB, 1000);
  spin_until (f, 2);
  g_assert_error (f->error, PCD_QMP_ERROR, PCD_QMP_ERROR_NO_OOB);
}

static void
test_oob_refused (Fixture *f, gconstpointer data)
{
  g_autofree char *first = NULL, *second = NULL;

  dial (f, 2000);
  say (f, GREETING);
  first = hear (f, "\"enable\":[\"oob\"]");
  answer (f, first, "\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}");
  second = hear (f, "\"enable\":[]");
  answer (f, second, "\"return\": {}");
  spin_until (f, 1);
  g_assert_no_error (f->error);
  g_assert_false (pcd_qmp_has_oob (f->qmp));
}

static void
test_another_client (Fixture *f, gconstpointer data)
{
  dial (f, 100);
  spin_until (f, 1);
  g_assert_null (f->qmp);
  g_assert_error (f->error, PCD_QMP_ERROR, PCD_QMP_ERROR_BUSY);
  g_assert_nonnull (strstr (f->error->message, "another client holds the control monitor"));
  g_assert_cmpint (f->closed, ==, 0);
}

static void
test_greeting_only (Fixture *f, gconstpointer data)
{
  dial (f, 100);
  say (f, GREETING);
  spin_until (f, 1);
  g_assert_error (f->error, PCD_QMP_ERROR, PCD_QMP_ERROR_TIMEOUT);
}

static void
test_closed_in_handshake (Fixture *f, gconstpointer data)
{
  dial (f, 2000);
  say (f, "{\"QMP\": {");
  close (f->peer);
  f->peer = -1;
  spin_until (f, 1);
  g_assert_error (f->error, PCD_QMP_ERROR, PCD_QMP_ERROR_CLOSED);
}

static void
test_no_such_file (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_strconcat (f->path, "x", NULL);

  pcd_qmp_connect_async (path, 1000, NULL, NULL, NULL, on_connected, f);
  spin_until (f, 1);
  g_assert_error (f->error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  pcd_qmp_connect_async (f->folder, 1000, NULL, NULL, NULL, on_connected, f);
  spin_until (f, 2);
  g_assert_nonnull (f->error);
  pcd_qmp_connect_async ("/dev/null", 1000, NULL, NULL, NULL, on_connected, f);
  spin_until (f, 3);
  g_assert_nonnull (f->error);
}

static void
test_cancelled_handshake (Fixture *f, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  pcd_qmp_connect_async (f->path, 5000, &listener, f, cancellable, on_connected, f);
  spin_ms (10);
  g_cancellable_cancel (cancellable);
  spin_until (f, 1);
  g_assert_error (f->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* Another self of ours had the connection and left an answer half read. */
static void
test_adopt (Fixture *f, gconstpointer data)
{
  int ends[2];
  g_autofree char *id = NULL;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), ==, 0);
  f->peer = ends[1];
  pcd_qmp_adopt_async (ends[0], 2000, &listener, f, NULL, on_connected, f);
  say (f, "urn\": {}, \"id\": \"pcd-00000000-3\"}\r\n{\"return\": {}, \"id\": \"pcd-0-4\"}\r\n");
  id = hear (f, "\"exec-oob\":\"query-yank\"");
  answer (f, id, "\"return\": []");
  spin_until (f, 1);
  g_assert_no_error (f->error);
  g_assert_true (pcd_qmp_has_oob (f->qmp));
  g_assert_cmpint (pcd_qmp_get_fd (f->qmp), ==, ends[0]);
  g_assert_cmpint (pcd_qmp_get_discarded (f->qmp), ==, 2);
}

/* Commands */

static void
test_answers_by_id (Fixture *f, gconstpointer data)
{
  g_autofree char *first = NULL, *second = NULL;
  g_autoptr (JsonObject) uri = pcd_qmp_arguments ("uri", "tcp:[::]:0", NULL);

  shake (f);
  execute (f, "query-status", PCD_QMP_IN_BAND, 2000);
  first = hear (f, "{\"execute\":\"query-status\",\"id\"");
  pcd_qmp_execute_async (f->qmp, "migrate-recover", uri, PCD_QMP_OOB, 2000, NULL, on_executed, f);
  second =
      hear (f, "{\"exec-oob\":\"migrate-recover\",\"arguments\":{\"uri\":\"tcp:[::]:0\"},\"id\"");
  g_assert_cmpstr (first, !=, second);
  answer (f, second, "\"return\": {\"n\": 2}");
  spin_until (f, 2);
  g_assert_cmpint (json_object_get_int_member (json_node_get_object (f->value), "n"), ==, 2);
  answer (f, first, "\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"gone\"}");
  spin_until (f, 3);
  g_assert_error (f->error, PCD_QMP_ERROR, PCD_QMP_ERROR_REFUSED);
  g_assert_cmpstr (f->error->message, ==, "DeviceNotFound: gone");
}

static void
test_late_answer (Fixture *f, gconstpointer data)
{
  g_autofree char *late = NULL, *next = NULL;
  gint64 began = 0;

  shake (f);
  began = g_get_monotonic_time ();
  execute (f, "stop", PCD_QMP_IN_BAND, 50);
  late = hear (f, "\"stop\"");
  spin_until (f, 2);
  g_assert_error (f->error, PCD_QMP_ERROR, PCD_QMP_ERROR_TIMEOUT);
  g_assert_cmpint (g_get_monotonic_time () - began, >=, 50 * 1000);
  execute (f, "query-status", PCD_QMP_IN_BAND, 2000);
  next = hear (f, "\"query-status\"");
  answer (f, late, "\"return\": {\"late\": true}");
  answer (f, next, "\"return\": {\"status\": \"paused\"}");
  spin_until (f, 3);
  g_assert_true (json_object_has_member (json_node_get_object (f->value), "status"));
  answer (f, next, "\"return\": {\"twice\": true}");
  spin_ms (20);
  g_assert_cmpint (f->answered, ==, 3);
  g_assert_cmpint (pcd_qmp_get_discarded (f->qmp), ==, 2);
}

/* QEMU stops reading when its queue is full: there must be room for out-of-band commands. */
static void
test_rule_1_the_queue_is_never_full (Fixture *f, gconstpointer data)
{
  g_autofree char *ids[PCD_QMP_MAX_IN_BAND] = { 0 };
  g_autofree char *oob = NULL, *again = NULL;

  shake (f);
  for (guint i = 0; i < PCD_QMP_MAX_IN_BAND; i++) {
    execute (f, "query-status", PCD_QMP_IN_BAND, 20);
    ids[i] = hear (f, "\"query-status\"");
  }
  spin_until (f, 1 + PCD_QMP_MAX_IN_BAND); /* all given up, none answered */
  execute (f, "query-status", PCD_QMP_IN_BAND, 1000);
  spin_until (f, 2 + PCD_QMP_MAX_IN_BAND);
  g_assert_error (f->error, PCD_QMP_ERROR, PCD_QMP_ERROR_BUSY);
  execute (f, "migrate-pause", PCD_QMP_OOB, 1000);
  oob = hear (f, "\"exec-oob\":\"migrate-pause\"");
  answer (f, oob, "\"return\": {}");
  spin_until (f, 3 + PCD_QMP_MAX_IN_BAND);
  g_assert_no_error (f->error);
  answer (f, ids[0], "\"return\": {}");
  spin_ms (20);
  execute (f, "query-status", PCD_QMP_IN_BAND, 1000);
  again = hear (f, "\"query-status\"");
  for (guint i = 1; i < G_N_ELEMENTS (ids); i++)
    g_clear_pointer (&ids[i], g_free);
}

static void
test_cancelled_command (Fixture *f, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *id = NULL;

  shake (f);
  pcd_qmp_execute_async (f->qmp, "query-status", NULL, 0, 5000, cancellable, on_executed, f);
  id = hear (f, "\"query-status\"");
  g_cancellable_cancel (cancellable);
  spin_until (f, 2);
  g_assert_error (f->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  answer (f, id, "\"return\": {}");
  spin_ms (20);
  g_assert_cmpint (f->answered, ==, 2);
}

static void
test_events (Fixture *f, gconstpointer data)
{
  shake (f);
  say (f, "{\"timestamp\": {\"seconds\": 7, \"microseconds\": 42}, \"event\": \"MIGRATION\", "
          "\"data\": {\"status\": \"postcopy-paused\"}}\r\n"
          "{\"timestamp\": {\"seconds\": -1, \"microseconds\": -1}, \"event\": \"STOP\"}\r\n"
          "{\"timestamp\": {\"seconds\": 9e99}, \"event\": \"RESUME\", \"data\": 3}\r\n");
  spin_ms (20);
  g_assert_cmpstr (f->events->str, ==, "MIGRATION@7000042+ STOP@0 RESUME@0 ");
}

static void
test_end_in_a_line (Fixture *f, gconstpointer data)
{
  g_autofree char *id = NULL;

  shake (f);
  execute (f, "query-status", PCD_QMP_IN_BAND, 5000);
  id = hear (f, "\"query-status\"");
  say (f, "{\"return\": {\"sta");
  close (f->peer);
  f->peer = -1;
  spin_until (f, 2);
  g_assert_error (f->error, PCD_QMP_ERROR, PCD_QMP_ERROR_CLOSED);
  g_assert_cmpint (f->closed, ==, 1);
  g_assert_false (pcd_qmp_is_open (f->qmp));
  execute (f, "query-status", PCD_QMP_IN_BAND, 5000);
  spin_until (f, 3);
  g_assert_error (f->error, PCD_QMP_ERROR, PCD_QMP_ERROR_CLOSED);
}

static void
test_close (Fixture *f, gconstpointer data)
{
  shake (f);
  execute (f, "query-status", PCD_QMP_IN_BAND, 5000);
  pcd_qmp_close (f->qmp);
  pcd_qmp_close (f->qmp);
  spin_until (f, 2);
  g_assert_error (f->error, PCD_QMP_ERROR, PCD_QMP_ERROR_CLOSED);
  g_assert_cmpint (f->closed, ==, 0);
  g_assert_cmpint (pcd_qmp_get_fd (f->qmp), ==, -1);
}

/* Nonsense */

static void
test_endless_line (Fixture *f, gconstpointer data)
{
  g_autofree char *block = g_strnfill (65536, 'x');

  shake (f);
  for (guint i = 0; i < 2 * PCD_QMP_MAX_LINE / 65536 && f->closed == 0; i++) {
    say_bytes (f, block, 65536);
    spin_ms (1);
  }
  g_assert_cmpint (f->closed, ==, 1);
  g_assert_error (f->error, PCD_QMP_ERROR, PCD_QMP_ERROR_PROTOCOL);
}

static void
test_deep_line (Fixture *f, gconstpointer data)
{
  g_autofree char *deep = g_strnfill (PCD_QMP_MAX_LINE - 16, '[');
  g_autofree char *id = NULL;

  shake (f);
  say (f, deep);
  say (f, "\n/*\"*/");
  say_bytes (f, deep, 500000);
  say (f, "\n");
  execute (f, "query-status", PCD_QMP_IN_BAND, 5000);
  id = hear (f, "\"query-status\"");
  answer (f, id, "\"return\": {}");
  spin_until (f, 2);
  g_assert_no_error (f->error);
  g_assert_cmpint (pcd_qmp_get_discarded (f->qmp), ==, 2);
}

static const char *const nonsense[] = {
  "",
  "\r",
  " ",
  "{}",
  "[]",
  "null",
  "7",
  "\"QMP\"",
  "{\"return\": {}}",
  "{\"return\": {}, \"id\": 3}",
  "{\"return\": {}, \"id\": null}",
  "{\"return\": {}, \"id\": {\"id\": \"x\"}}",
  "{\"return\": {}, \"id\": \"pcd-\"}",
  "{\"error\": 3, \"id\": \"x\"}",
  "{\"error\": {}, \"id\": \"x\"}",
  "{\"error\": {\"class\": 1, \"desc\": []}}",
  "{\"event\": 3}",
  "{\"event\": {}}",
  "{\"QMP\": null}",
  "{\"QMP\": {\"capabilities\": {\"oob\": 1}}}",
  "{\"return\": {}, \"id\": \"x\"} trailing",
  "{\"return\": ",
  "{\"a\": \"\\u0000\"}",
  "{\"a\": \"\\ud800\"}",
  "{'return': {}, 'id': 'x'}",
  "{\"return\": 1e999999, \"id\": \"x\"}",
  "{\"return\": 99999999999999999999999, \"id\": \"x\"}",
  "\xff\xfe{}",
  "HTTP/1.1 400 Bad Request",
};

/* Every message that is not ours is discarded, and the next good one is understood all the same. */
static void
test_nonsense (Fixture *f, gconstpointer data)
{
  g_autofree char *id = NULL;

  shake (f);
  for (guint i = 0; i < G_N_ELEMENTS (nonsense); i++) {
    say (f, nonsense[i]);
    say (f, "\n");
  }
  say_bytes (f, "{\"return\": {}\0}\n", 16);
  execute (f, "query-status", PCD_QMP_IN_BAND, 5000);
  id = hear (f, "\"query-status\"");
  answer (f, id, "\"return\": {}");
  spin_until (f, 2);
  g_assert_no_error (f->error);
  g_assert_cmpstr (f->events->str, ==, "");
  g_assert_cmpint (pcd_qmp_get_discarded (f->qmp), ==, G_N_ELEMENTS (nonsense) + 1);
}

/* Good lines damaged at random, split at random. A deadline or an answer, never a wrong one. */
static void
test_fuzz (Fixture *f, gconstpointer data)
{
  guint rounds = g_test_thorough () ? 20000 : 1500;

  shake (f);
  for (guint i = 0; i < rounds; i++) {
    const char *base =
        i % 3 ? nonsense[g_test_rand_int_range (0, G_N_ELEMENTS (nonsense))] : GREETING;
    g_autoptr (GString) line = g_string_new (base);
    guint changes = g_test_rand_int_range (0, 6);

    while (changes-- && line->len > 0) {
      gsize at = g_test_rand_int_range (0, line->len);

      if (g_test_rand_bit ())
        line->str[at] = g_test_rand_int_range (0, 256);
      else
        g_string_insert_len (line, at, "{[\"\\,:\n", g_test_rand_int_range (0, 7));
    }
    if (i % 100 == 0)
      execute (f, "query-status", PCD_QMP_IN_BAND, 1);
    say_bytes (f, line->str, line->len / 2);
    while (i % 7 == 0 && g_main_context_iteration (NULL, FALSE))
      ;
    say_bytes (f, line->str + line->len / 2, line->len - line->len / 2);
    if (i % 2)
      say (f, "\n");
  }
  say (f, "\n");
  spin_ms (20);
  g_assert_cmpint (f->closed, ==, 0);
  g_assert_true (pcd_qmp_is_open (f->qmp));
  g_assert_null (f->value);
  g_assert_cmpint (pcd_qmp_get_discarded (f->qmp), >, rounds / 3);
}

/* Rule 1 */

typedef struct {
  const char *command;
  const char *hmp;
  PcdQmpSafety want;
} Safety;

/* Both lists of what was measured, and what nobody measured. */
static const Safety safeties[] = {
  { "migrate-pause", NULL, PCD_QMP_SAFE_OOB },
  { "migrate-recover", NULL, PCD_QMP_SAFE_OOB },
  { "yank", NULL, PCD_QMP_SAFE_OOB },
  { "query-yank", NULL, PCD_QMP_SAFE_OOB },
  { "query-status", NULL, PCD_QMP_SAFE },
  { "query-cpus-fast", NULL, PCD_QMP_SAFE },
  { "query-block", NULL, PCD_QMP_SAFE },
  { "query-blockstats", NULL, PCD_QMP_SAFE },
  { "query-migrate", NULL, PCD_QMP_SAFE },
  { "blockdev-add", NULL, PCD_QMP_SAFE },
  { "human-monitor-command", "info ramblock", PCD_QMP_SAFE },
  { "human-monitor-command", "info mtree -f", PCD_QMP_SAFE },
  { "human-monitor-command", "gpa2hva 0x1000", PCD_QMP_SAFE },
  { "blockdev-backup", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  { "transaction", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  { "blockdev-snapshot", NULL, PCD_QMP_SAFE_FROM_VCPUS },
  { "stop", NULL, PCD_QMP_SAFE_IF_KICKABLE },
  { "human-monitor-command", "info registers", PCD_QMP_HANGS },
  { "human-monitor-command", "xp /8 0", PCD_QMP_HANGS },
  { "human-monitor-command", "gpa2hpa 0", PCD_QMP_HANGS },
  { "human-monitor-command", "info mtree", PCD_QMP_HANGS },
  { "human-monitor-command", "gpa2hva2", PCD_QMP_HANGS },
  { "human-monitor-command", "gpa2hva 0\nstop", PCD_QMP_HANGS },
  { "human-monitor-command", "stop", PCD_QMP_HANGS },
  { "human-monitor-command", NULL, PCD_QMP_HANGS },
  { "memsave", NULL, PCD_QMP_HANGS },
  { "inject-nmi", NULL, PCD_QMP_HANGS },
  { "pmemsave", NULL, PCD_QMP_HANGS },
  { "dump-guest-memory", NULL, PCD_QMP_HANGS },
  { "gdbserver", NULL, PCD_QMP_HANGS },
  { "query-something-new", NULL, PCD_QMP_HANGS },
  { "", NULL, PCD_QMP_HANGS },
  { NULL, NULL, PCD_QMP_HANGS },
};

static const PcdQmpBlocked situations[] = {
  { .is_known = FALSE },
  { .is_known = TRUE },
  { .is_known = TRUE, .vcpus = 2 },
  { .is_known = TRUE, .vcpus = 2, .unkickable_vcpus = 1 },
  { .is_known = TRUE, .others = 1 },
  { .is_known = TRUE, .frozen_vcpus = 1 },
  { .is_known = FALSE, .vcpus = 0 },
};

/* One string per class, one digit per situation. */
static const char *const allowed[] = {
  [PCD_QMP_HANGS] = "0100000",           [PCD_QMP_SAFE_IF_KICKABLE] = "0110000",
  [PCD_QMP_SAFE_FROM_VCPUS] = "0111010", [PCD_QMP_SAFE] = "1111111",
  [PCD_QMP_SAFE_OOB] = "1111111",
};

static void
test_rule_1_table (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (safeties); i++) {
    const Safety *s = &safeties[i];

    g_assert_cmpint (pcd_qmp_safety (s->command, s->hmp), ==, s->want);
    for (guint k = 0; k < G_N_ELEMENTS (situations); k++) {
      const char *why = NULL;
      gboolean may = pcd_qmp_may_send (s->command, s->hmp, FALSE, &situations[k], &why);

      g_assert_cmpint (may, ==, allowed[s->want][k] == '1');
      g_assert_true (may == (why == NULL));
      g_assert_cmpint (pcd_qmp_may_send (s->command, s->hmp, TRUE, &situations[k], NULL), ==,
                       s->want == PCD_QMP_SAFE_OOB);
    }
  }
}

#define ADD(path, function) g_test_add (path, Fixture, NULL, fixture_up, function, fixture_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/qmp/handshake/oob", test_handshake);
  ADD ("/qmp/handshake/without-oob", test_without_oob);
  ADD ("/qmp/handshake/oob-refused", test_oob_refused);
  ADD ("/qmp/handshake/another-client", test_another_client);
  ADD ("/qmp/handshake/greeting-only", test_greeting_only);
  ADD ("/qmp/handshake/closed", test_closed_in_handshake);
  ADD ("/qmp/handshake/no-such-file", test_no_such_file);
  ADD ("/qmp/handshake/cancelled", test_cancelled_handshake);
  ADD ("/qmp/handshake/adopt", test_adopt);
  ADD ("/qmp/command/by-id", test_answers_by_id);
  ADD ("/qmp/command/late-answer", test_late_answer);
  ADD ("/qmp/command/rule-1/the-queue-is-never-full", test_rule_1_the_queue_is_never_full);
  ADD ("/qmp/command/cancelled", test_cancelled_command);
  ADD ("/qmp/events", test_events);
  ADD ("/qmp/end-in-a-line", test_end_in_a_line);
  ADD ("/qmp/close", test_close);
  ADD ("/qmp/nonsense/endless-line", test_endless_line);
  ADD ("/qmp/nonsense/deep-line", test_deep_line);
  ADD ("/qmp/nonsense/known", test_nonsense);
  ADD ("/qmp/nonsense/fuzz", test_fuzz);
  g_test_add_func ("/qmp/rule-1/table", test_rule_1_table);
  return g_test_run ();
}
