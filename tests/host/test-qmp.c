/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control-monitor client on real QEMUs, the monitor found and opened as the daemon does it;
 * also while QEMU's main loop really hangs: a postcopy pair, its source stopped, then `stop`. */
#include "core/pcd-qmp-safe.h"
#include "qmp/pcd-monitor.h"
#include "qmp/pcd-qmp.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
  GPid pid;
  PcdQmp *qmp;
  char *path;
  GString *events; /* the status words of MIGRATION events, each behind a space */
  guint closed;
} Qemu;

typedef struct {
  char *folder;
  Qemu one;
  Qemu two;
} Fixture;

/* One call, waited for in the test's own loop. */
typedef struct {
  gboolean is_done;
  gpointer value;
  GError *error;
} Call;

static void
on_event (PcdQmp *qmp, const char *name, JsonObject *data, gint64 time, gpointer user_data)
{
  Qemu *qemu = user_data;

  if (g_str_equal (name, "MIGRATION") && data)
    g_string_append_printf (qemu->events, " %s", json_object_get_string_member (data, "status"));
}

static void
on_closed (PcdQmp *qmp, const GError *why, gpointer user_data)
{
  ((Qemu *)user_data)->closed++;
}

static const PcdQmpListener listener = { on_event, on_closed };

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  Call *call = data;

  call->value = pcd_qmp_connect_finish (result, &call->error);
  call->is_done = TRUE;
}

static void
on_executed (GObject *source, GAsyncResult *result, gpointer data)
{
  Call *call = data;

  call->value = pcd_qmp_execute_finish (result, &call->error);
  call->is_done = TRUE;
}

static gboolean
spin_while (const gboolean *flag, gboolean value, guint ms)
{
  gint64 end = g_get_monotonic_time () + ms * 1000;

  while (*flag == value && g_get_monotonic_time () < end)
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (100);
  return *flag != value;
}

static void
spin_ms (guint ms)
{
  gboolean never = FALSE;

  spin_while (&never, FALSE, ms);
}

/* Connecting is given its own deadline; that it keeps to it is part of the test. */
static PcdQmp *
connect_to (const char *path, Qemu *qemu, guint deadline_ms, GError **error)
{
  Call call = { 0 };

  pcd_qmp_connect_async (path, deadline_ms, qemu ? &listener : NULL, qemu, NULL, on_connected,
                         &call);
  g_assert_true (spin_while (&call.is_done, FALSE, deadline_ms + 2000));
  if (call.error)
    g_propagate_error (error, call.error);
  return call.value;
}

static JsonNode *
execute (PcdQmp *qmp,
         const char *command,
         JsonObject *arguments,
         PcdQmpFlags flags,
         guint deadline_ms,
         GError **error)
{
  Call call = { 0 };

  pcd_qmp_execute_async (qmp, command, arguments, flags, deadline_ms, NULL, on_executed, &call);
  if (arguments)
    json_object_unref (arguments);
  g_assert_true (spin_while (&call.is_done, FALSE, deadline_ms + 2000));
  if (call.error)
    g_propagate_error (error, call.error);
  return call.value;
}

static void
must (PcdQmp *qmp, const char *command, JsonObject *arguments, PcdQmpFlags flags)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = execute (qmp, command, arguments, flags, 5000, &error);

  g_assert_no_error (error);
  g_assert_nonnull (value);
}

static char *
status_of (PcdQmp *qmp, const char *command)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = execute (qmp, command, NULL, 0, 5000, &error);

  g_assert_no_error (error);
  return g_strdup (
      json_object_get_string_member_with_default (json_node_get_object (value), "status", ""));
}

static void
wait_status (PcdQmp *qmp, const char *command, const char *wanted)
{
  for (guint i = 0; i < 100; i++) {
    g_autofree char *status = status_of (qmp, command);

    if (g_str_equal (status, wanted))
      return;
    spin_ms (100);
  }
  g_error ("%s did not become %s within 10 s", command, wanted);
}

static JsonObject *
object (const char *json)
{
  g_autoptr (JsonNode) node = json_from_string (json, NULL);

  g_assert_nonnull (node);
  return json_object_ref (json_node_get_object (node));
}

/* QEMU */

static void
die_with_parent (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

static void
spawn (Fixture *f, Qemu *qemu, const char *chardev, const char *more)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) argv = NULL;
  g_autofree char *line = g_strdup_printf (
      "qemu-system-x86_64 -accel tcg -m 128 -nodefaults -display none -drive "
      "file=%s,format=raw,if=ide,file.locking=off,snapshot=on -chardev %s -mon %s %s",
      g_getenv ("GUEST"), chardev, PCD_MONITOR_MON, more);

  qemu->events = g_string_new (NULL);
  g_assert_true (g_shell_parse_argv (line, NULL, &argv, &error));
  g_assert_true (g_spawn_async (f->folder, argv, NULL,
                                G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
                                    G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                                die_with_parent, NULL, &qemu->pid, &error));
}

static void
find_and_connect (Qemu *qemu)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 100 && !qemu->path; i++) {
    g_clear_error (&error);
    qemu->path = pcd_monitor_find (qemu->pid, NULL, &error);
    if (!qemu->path)
      spin_ms (100);
  }
  g_assert_no_error (error);
  qemu->qmp = connect_to (qemu->path, qemu, 5000, &error);
  g_assert_no_error (error);
  g_assert_true (pcd_qmp_has_oob (qemu->qmp));
}

static void
start (Fixture *f, Qemu *qemu, const char *more)
{
  spawn (f, qemu, PCD_MONITOR_CHARDEV, more);
  find_and_connect (qemu);
}

static void
end (Qemu *qemu)
{
  g_clear_pointer (&qemu->qmp, pcd_qmp_unref);
  if (qemu->pid) {
    kill (qemu->pid, SIGKILL);
    waitpid (qemu->pid, NULL, 0);
  }
  if (qemu->events)
    g_string_free (qemu->events, TRUE);
  g_free (qemu->path);
}

static void
fixture_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("pcd-qmp-XXXXXX", NULL);
}

static void
fixture_down (Fixture *f, gconstpointer data)
{
  g_autoptr (GDir) dir = g_dir_open (f->folder, 0, NULL);
  const char *name;

  end (&f->one);
  end (&f->two);
  while ((name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (f->folder, name, NULL);
    g_unlink (path);
  }
  g_rmdir (f->folder);
  g_free (f->folder);
}

/* Tests */

/* What QEMU itself says about the chardev of that id. */
static char *
own_word_for_path (PcdQmp *qmp)
{
  g_autoptr (JsonNode) value = execute (qmp, "query-chardev", NULL, 0, 4000, NULL);
  JsonArray *all = json_node_get_array (value);

  for (guint i = 0; i < json_array_get_length (all); i++) {
    JsonObject *one = json_array_get_object_element (all, i);

    if (g_str_equal (json_object_get_string_member (one, "label"), PCD_MONITOR_ID))
      return g_strdup (json_object_get_string_member (one, "filename"));
  }
  return NULL;
}

/* With a serial port on a pty beside it, as libvirt makes them. Without the domain's XML that is
 * doubt; with it, the right one. */
static void
test_find_among_ptys (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  spawn (f, &f->one, PCD_MONITOR_CHARDEV, "-serial pty");
  for (guint i = 0; i < 100 && !g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_INVAL); i++) {
    g_autofree char *path = NULL;

    g_clear_error (&error);
    spin_ms (100);
    path = pcd_monitor_find (f->one.pid, NULL, &error);
    g_clear_pointer (&path, g_free); /* the serial port's pty may not be there yet */
  }
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL);
  for (guint pts = 0; pts < 256 && !f->one.qmp; pts++) {
    g_autofree char *xml = g_strdup_printf ("<source path='/dev/pts/%u'/>", pts);
    g_autofree char *said = NULL, *found = pcd_monitor_find (f->one.pid, xml, NULL);

    if (!found) /* @pts is neither */
      continue;
    f->one.qmp = connect_to (found, &f->one, 4000, NULL);
    if (!f->one.qmp) /* @pts is the monitor, so it found the serial port, as it was told */
      continue;
    said = own_word_for_path (f->one.qmp);
    g_assert_cmpstr (said + strlen ("pty:"), ==, strstr (found, "/dev/pts/"));
  }
  g_assert_nonnull (f->one.qmp);
}

static void
test_private (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  struct stat st;

  start (f, &f->one, "");
  g_assert_cmpint (chown (f->one.path, 65534, 65534), ==, 0);
  g_assert_true (pcd_monitor_make_private (f->one.path, &error));
  g_assert_cmpint (stat (f->one.path, &st), ==, 0);
  g_assert_cmpint (st.st_uid + st.st_gid, ==, 0);
  g_assert_cmpint (st.st_mode & 0777, ==, 0600);
  g_assert_false (pcd_monitor_make_private (f->folder, &error));
  g_clear_error (&error);
  g_assert_null (pcd_monitor_find (getpid (), NULL, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
}

static gboolean
on_tick (gpointer data)
{
  gint64 *state = data; /* last tick, longest gap */
  gint64 now = g_get_monotonic_time ();

  state[1] = MAX (state[1], now - state[0]);
  state[0] = now;
  return G_SOURCE_CONTINUE;
}

/* The longest answer there is, while the loop goes on turning. */
static void
test_long_answer (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = NULL;
  gint64 tick[2] = { g_get_monotonic_time (), 0 };
  guint ticking;
  gint64 began;

  start (f, &f->one, "");
  tick[0] = began = g_get_monotonic_time ();
  ticking = g_timeout_add (1, on_tick, tick);
  value = execute (f->one.qmp, "query-qmp-schema", NULL, 0, 10000, &error);
  g_source_remove (ticking);
  g_assert_no_error (error);
  g_assert_cmpint (json_array_get_length (json_node_get_array (value)), >, 300);
  g_test_message ("query-qmp-schema in %.0f ms; the loop's longest gap %.0f ms",
                  (g_get_monotonic_time () - began) / 1000.0, tick[1] / 1000.0);
  g_assert_cmpint (tick[1], <, 250 * 1000);
}

static void
test_one_client (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  start (f, &f->one, "");
  g_assert_null (connect_to (f->one.path, NULL, 1000, &error));
  g_assert_error (error, PCD_QMP_ERROR, PCD_QMP_ERROR_BUSY);
  g_clear_error (&error);
  /* At once, and after QEMU has noticed: both ways in are good. */
  for (guint i = 0; i < 4; i++) {
    g_clear_pointer (&f->one.qmp, pcd_qmp_unref);
    if (i % 2)
      spin_ms (300);
    f->one.qmp = connect_to (f->one.path, &f->one, 5000, &error);
    g_assert_no_error (error);
    g_assert_true (pcd_qmp_has_oob (f->one.qmp));
    must (f->one.qmp, "query-status", NULL, 0);
    must (f->one.qmp, "query-yank", NULL, PCD_QMP_OOB);
  }
}

static void
test_socket (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (f->folder, "q", NULL);

  spawn (f, &f->one, "socket,id=pcd-monitor,path=q,server=on,wait=off", "");
  for (guint i = 0; i < 100 && !g_file_test (path, G_FILE_TEST_EXISTS); i++)
    spin_ms (100);
  f->one.qmp = connect_to (path, &f->one, 5000, &error);
  g_assert_no_error (error);
  g_assert_true (pcd_qmp_has_oob (f->one.qmp));
  g_assert_null (connect_to (path, NULL, 500, &error));
  g_assert_error (error, PCD_QMP_ERROR, PCD_QMP_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "another client"));
  must (f->one.qmp, "query-yank", NULL, PCD_QMP_OOB);
}

static void
test_qemu_dies (Fixture *f, gconstpointer data)
{
  Call call = { 0 };

  start (f, &f->one, "");
  kill (f->one.pid, SIGSTOP);
  pcd_qmp_execute_async (f->one.qmp, "query-status", NULL, 0, 20000, NULL, on_executed, &call);
  spin_ms (20);
  kill (f->one.pid, SIGKILL);
  g_assert_true (spin_while (&call.is_done, FALSE, 2000));
  g_assert_error (call.error, PCD_QMP_ERROR, PCD_QMP_ERROR_CLOSED);
  g_assert_cmpint (f->one.closed, ==, 1);
  g_clear_error (&call.error);
}

static void
into_postcopy (Fixture *f)
{
  static const char caps[] =
      "{\"capabilities\": [{\"capability\": \"postcopy-ram\", \"state\": true},"
      "{\"capability\": \"events\", \"state\": true}]}";

  start (f, &f->one, "");
  start (f, &f->two, "-incoming defer");
  must (f->one.qmp, "migrate-set-capabilities", object (caps), 0);
  must (f->two.qmp, "migrate-set-capabilities", object (caps), 0);
  must (f->one.qmp, "migrate-set-parameters",
        object ("{\"max-bandwidth\": 4000000, \"max-postcopy-bandwidth\": 100000}"), 0);
  spin_ms (1500); /* the guest touches its memory */
  must (f->two.qmp, "migrate-incoming", pcd_qmp_arguments ("uri", "unix:m1", NULL), 0);
  must (f->one.qmp, "migrate", pcd_qmp_arguments ("uri", "unix:m1", NULL), 0);
  wait_status (f->one.qmp, "query-migrate", "active");
  spin_ms (500);
  must (f->one.qmp, "migrate-start-postcopy", NULL, 0);
  wait_status (f->two.qmp, "query-status", "running");
  wait_status (f->one.qmp, "query-migrate", "postcopy-active");
}

/* The measurement behind the table: with a vCPU blocked, each is answered, be it by an error. */
static void
safe_ones_answer (Qemu *qemu)
{
  static const char *const plain[] = {
    "query-status",  "query-cpus-fast", "query-block", "query-blockstats",
    "query-migrate", "query-chardev",   "query-name",  "query-named-block-nodes",
    "query-uuid",    "query-version",   "query-yank",  "qmp_capabilities"
  };
  static const char *const hmp[] = { "info ramblock", "info mtree -f", "gpa2hva 0x100000" };

  for (guint i = 0; i < G_N_ELEMENTS (plain); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (JsonNode) value = execute (qemu->qmp, plain[i], NULL, 0, 5000, &error);

    g_assert_cmpint (pcd_qmp_safety (plain[i], NULL), >=, PCD_QMP_SAFE);
    g_assert_true (value || g_error_matches (error, PCD_QMP_ERROR, PCD_QMP_ERROR_REFUSED));
  }
  for (guint i = 0; i < G_N_ELEMENTS (hmp); i++) {
    g_assert_cmpint (pcd_qmp_safety ("human-monitor-command", hmp[i]), ==, PCD_QMP_SAFE);
    must (qemu->qmp, "human-monitor-command", pcd_qmp_arguments ("command-line", hmp[i], NULL), 0);
  }
}

/* `stop` waits for a vCPU that waits for a page that nobody sends. */
static void
hang (Fixture *f, Call *stop)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = NULL;

  kill (f->one.pid, SIGSTOP);
  spin_ms (500);
  safe_ones_answer (&f->two);
  pcd_qmp_execute_async (f->two.qmp, "stop", NULL, 0, 1000, NULL, on_executed, stop);
  g_assert_true (spin_while (&stop->is_done, FALSE, 3000));
  g_assert_error (stop->error, PCD_QMP_ERROR, PCD_QMP_ERROR_TIMEOUT);
  g_clear_error (&stop->error);
  value = execute (f->two.qmp, "query-status", NULL, 0, 500, &error);
  g_assert_error (error, PCD_QMP_ERROR, PCD_QMP_ERROR_TIMEOUT);
}

static gint64
oob_us (PcdQmp *qmp)
{
  gint64 worst = 0;

  for (guint i = 0; i < 20; i++) {
    gint64 began = g_get_monotonic_time ();

    must (qmp, "query-yank", NULL, PCD_QMP_OOB);
    worst = MAX (worst, g_get_monotonic_time () - began);
  }
  return worst;
}

/* A restarted daemon gets the descriptor back and goes on, the main loop still hanging. */
static void
adopt (Qemu *qemu)
{
  Call call = { 0 };
  int fd = dup (pcd_qmp_get_fd (qemu->qmp));

  g_clear_pointer (&qemu->qmp, pcd_qmp_unref);
  pcd_qmp_adopt_async (fd, 2000, &listener, qemu, NULL, on_connected, &call);
  g_assert_true (spin_while (&call.is_done, FALSE, 4000));
  g_assert_no_error (call.error);
  qemu->qmp = call.value;
  g_assert_true (pcd_qmp_has_oob (qemu->qmp));
}

static void
test_main_loop_hangs (Fixture *f, gconstpointer data)
{
  Call stop = { 0 };
  gint64 worst;

  into_postcopy (f);
  hang (f, &stop);
  worst = oob_us (f->two.qmp);
  g_test_message ("main loop hung: OOB answers within %.1f ms", worst / 1000.0);
  g_assert_cmpint (worst, <, 100 * 1000);
  adopt (&f->two);
  must (f->two.qmp, "migrate-pause", NULL, PCD_QMP_OOB);
  for (guint i = 0; i < 50 && !strstr (f->two.events->str, " postcopy-paused"); i++)
    spin_ms (100);
  g_assert_nonnull (strstr (f->two.events->str, " postcopy-paused"));
  must (f->two.qmp, "migrate-recover", pcd_qmp_arguments ("uri", "unix:m2", NULL), PCD_QMP_OOB);

  kill (f->one.pid, SIGCONT);
  wait_status (f->one.qmp, "query-migrate", "postcopy-paused");
  must (f->one.qmp, "migrate-set-parameters", object ("{\"max-postcopy-bandwidth\": 0}"), 0);
  must (f->one.qmp, "migrate", object ("{\"uri\": \"unix:m2\", \"resume\": true}"), 0);
  wait_status (f->one.qmp, "query-migrate", "completed");
  /* The late `stop` was carried out, its answer discarded; the guest goes on when told to. */
  wait_status (f->two.qmp, "query-status", "paused");
  g_assert_cmpint (pcd_qmp_get_discarded (f->two.qmp), >=, 1);
  must (f->two.qmp, "cont", NULL, 0);
  wait_status (f->two.qmp, "query-status", "running");
}

#define ADD(path, function) g_test_add (path, Fixture, NULL, fixture_up, function, fixture_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!g_getenv ("GUEST"))
    g_error ("GUEST must name a boot sector that keeps its memory dirty");
  ADD ("/qmp/qemu/find-among-ptys", test_find_among_ptys);
  ADD ("/qmp/qemu/private", test_private);
  ADD ("/qmp/qemu/one-client", test_one_client);
  ADD ("/qmp/qemu/socket", test_socket);
  ADD ("/qmp/qemu/long-answer", test_long_answer);
  ADD ("/qmp/qemu/dies", test_qemu_dies);
  ADD ("/qmp/qemu/rule-1/main-loop-hangs", test_main_loop_hangs);
  return g_test_run ();
}
