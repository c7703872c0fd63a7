/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gdb's protocol, and a session on a real process: by hand, and by gdb itself; a guest's page
 * tables. No QEMU. */
#include "core/pcd-page-walk.h"
#include "debug/pcd-debug-file.h"
#include "debug/pcd-gdb-link.h"
#include "debug/pcd-gdb-process.h"
#include "debug/pcd-rsp.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_USEC (20 * G_USEC_PER_SEC)

static gint64
soon (void)
{
  return g_get_monotonic_time () + LIMIT_USEC;
}

static void
test_packets (void)
{
  static const struct {
    const char *bytes;
    guint size;
    PcdRspKind kind;
    const char *content;
    guint left;
  } rows[] = {
    { "", 0, PCD_RSP_NONE, NULL, 0 },        { "+", 1, PCD_RSP_ACK, NULL, 0 },
    { "-$", 2, PCD_RSP_NAK, NULL, 1 },       { "\003", 1, PCD_RSP_INTERRUPT, NULL, 0 },
    { "$g#67", 5, PCD_RSP_PACKET, "g", 0 },  { "$g#67+", 6, PCD_RSP_PACKET, "g", 1 },
    { "$#00", 4, PCD_RSP_PACKET, "", 0 },    { "$g#68", 5, PCD_RSP_DAMAGED, "g", 0 },
    { "$g#zz", 5, PCD_RSP_DAMAGED, "g", 0 }, { "$g#6", 4, PCD_RSP_NONE, NULL, 4 },
    { "$g", 2, PCD_RSP_NONE, NULL, 2 },      { "$a}\003b#43", 8, PCD_RSP_PACKET, "a#b", 0 },
    { "x", 1, PCD_RSP_NONSENSE, NULL, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GByteArray) stream = g_byte_array_new ();
    g_autoptr (GString) packet = g_string_new (NULL);

    g_byte_array_append (stream, (const guint8 *)rows[i].bytes, rows[i].size);
    g_test_message ("row %u", i);
    g_assert_cmpint (pcd_rsp_take (stream, packet), ==, rows[i].kind);
    if (rows[i].content)
      g_assert_cmpstr (packet->str, ==, rows[i].content);
    g_assert_cmpuint (stream->len, ==, rows[i].left);
  }
}

static void
test_long_packet (void)
{
  g_autoptr (GByteArray) stream = g_byte_array_new ();
  g_autoptr (GString) packet = g_string_new (NULL);
  g_autofree guint8 *bytes = g_malloc0 (PCD_RSP_MAX + 2);

  bytes[0] = '$';
  g_byte_array_append (stream, bytes, PCD_RSP_MAX + 2);
  g_assert_cmpint (pcd_rsp_take (stream, packet), ==, PCD_RSP_NONSENSE);
}

/* What is made is what is read, whatever it is. */
static void
test_round_trip (void)
{
  char all[256];
  g_autoptr (GString) bytes = g_string_new (NULL);
  g_autoptr (GString) packet = g_string_new (NULL);
  g_autoptr (GByteArray) stream = g_byte_array_new ();

  for (guint i = 0; i < sizeof all; i++)
    all[i] = (char)i;
  pcd_rsp_add (bytes, all, sizeof all);
  g_byte_array_append (stream, (const guint8 *)bytes->str, (guint)bytes->len);
  g_assert_cmpint (pcd_rsp_take (stream, packet), ==, PCD_RSP_PACKET);
  g_assert_cmpmem (packet->str, packet->len, all, sizeof all);
}

static void
test_parts (void)
{
  static const struct {
    const char *range;
    const char *answer;
  } rows[] = {
    { "0,3", "mabc" }, { "3,3", "ldef" },         { "3,ff", "ldef" },
    { "6,1", "l" },    { "ffffffffffff,1", "l" }, { "x", "E01" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GString) answer = g_string_new (NULL);
    pcd_rsp_add_part (answer, "abcdef", 6, rows[i].range);
    g_assert_cmpstr (answer->str, ==, rows[i].answer);
  }
}

typedef struct {
  char *state_dir;
  char *log_path;
  char *path;
  int log_fd;
  pid_t pid;
} Fixture;

/* A no by a wish of the test's. */
static gint refuse;

static char *
refuses (pid_t pid)
{
  return g_atomic_int_get (&refuse) ? g_strdup ("thread 7 'CPU 0/KVM' waits") : NULL;
}

/* `State`, and how often traced, and whether a signal waits. */
static char *
status_of (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", (int)pid);
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return g_strdup ("gone");
  return g_strdup_printf (
      "%c %d %d", strstr (text, "\nState:\t")[8], atoi (strstr (text, "\nTracerPid:\t") + 12) > 0,
      !strstr (text, "\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n"));
}

static void
wait_for_status (pid_t pid, const char *expected)
{
  g_autofree char *status = NULL;

  for (gint64 until = soon (); g_get_monotonic_time () < until; g_usleep (5000)) {
    g_clear_pointer (&status, g_free);
    status = status_of (pid);
    if (g_str_equal (status, expected))
      return;
  }
  g_assert_cmpstr (status, ==, expected);
}

static void
wait_for_no_socket (const Fixture *f)
{
  gint64 until = soon ();

  while (g_file_test (f->path, G_FILE_TEST_EXISTS) && g_get_monotonic_time () < until)
    g_usleep (5000);
  g_assert_false (g_file_test (f->path, G_FILE_TEST_EXISTS));
}

static void
start (Fixture *f, gint64 session_usec, gint64 idle_usec)
{
  char program[] = "sleep", seconds[] = "120";
  char *argv[] = { program, seconds, NULL };
  g_autoptr (GError) error = NULL;
  GPid pid;

  g_spawn_async (NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                 &pid, &error);
  g_assert_no_error (error);
  wait_for_status (pid, "S 0 0");
  f->pid = pid;
  f->state_dir = g_dir_make_tmp (NULL, NULL);
  f->log_fd = pcd_debug_file_create (f->state_dir, 3, "gdbserver", "txt", 1, &f->log_path, &error);
  g_assert_no_error (error);
  const PcdGdbTerms terms = { f->state_dir, 3, "gdbserver", g_get_monotonic_time () + session_usec,
                              idle_usec };
  g_assert_true (pcd_gdb_session_start (&terms, f->log_fd, &pcd_gdb_process_target,
                                        pcd_gdb_process_new (f->pid, refuses, &error), &f->path,
                                        &error));
  g_assert_no_error (error);
}

/* Ends the session by ending what it looks at, whatever it is doing. */
static void
stop (Fixture *f)
{
  g_autofree char *folder = g_path_get_dirname (f->path);

  kill (f->pid, SIGKILL);
  /* The tracer, a thread of this very process here, may have taken notice first. */
  g_assert_true (waitpid (f->pid, NULL, 0) == f->pid || errno == ECHILD);
  wait_for_no_socket (f);
  close (f->log_fd);
  g_unlink (f->log_path);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
  g_assert_cmpint (g_rmdir (f->state_dir), ==, 0);
  g_free (f->state_dir);
  g_free (f->log_path);
  g_free (f->path);
}

/* @ret_fd: for what is no packet. %NULL if the session has ended. */
static PcdGdbLink *
connect_raw (const Fixture *f, int *ret_fd)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (ret_fd)
    *ret_fd = fd;

  g_strlcpy (address.sun_path, f->path, sizeof address.sun_path);
  if (connect (fd, (const struct sockaddr *)&address, sizeof address) == 0)
    return pcd_gdb_link_new (fd, TRUE);
  close (fd);
  return NULL;
}

static PcdGdbLink *
connect_to (const Fixture *f)
{
  PcdGdbLink *link = connect_raw (f, NULL);

  g_assert_nonnull (link);
  return link;
}

static char *
ask (PcdGdbLink *link, const char *packet)
{
  g_autoptr (GString) answer = g_string_new (NULL);

  g_assert_true (pcd_gdb_link_send (link, packet, strlen (packet)));
  g_assert_cmpint (pcd_gdb_link_next (link, soon (), answer), ==, PCD_GDB_PACKET);
  return g_string_free (g_steal_pointer (&answer), FALSE);
}

#define ASSERT_ASK(link, packet, expected)                                                         \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_autofree char *said_ = ask (link, packet);                                                   \
    g_assert_cmpstr (said_, ==, expected);                                                         \
  }                                                                                                \
  G_STMT_END

static void
test_session (void)
{
  Fixture f;
  struct stat st;
  int fd = -1;
  g_autoptr (GString) came = g_string_new (NULL);

  start (&f, 4 * LIMIT_USEC, 4 * LIMIT_USEC);
  g_assert_cmpint (stat (f.path, &st), ==, 0);
  g_assert_cmpint (st.st_mode, ==, S_IFSOCK | 0600);
  g_autoptr (PcdGdbLink) link = connect_raw (&f, &fd);
  g_autofree char *stands = ask (link, "?");
  g_autofree char *expected = g_strdup_printf ("T00thread:%x;", (guint)f.pid);
  g_assert_cmpstr (stands, ==, expected);
  wait_for_status (f.pid, "t 1 0");
  g_autofree char *all = ask (link, "g");
  g_assert_cmpuint (strlen (all), >, 200);
  /* Nothing of it can be changed, and what is not there is no memory. */
  ASSERT_ASK (link, "M1000,1:00", "E01");
  ASSERT_ASK (link, "s", "E01");
  ASSERT_ASK (link, "G00", "E01");
  ASSERT_ASK (link, "vCont;c", "");
  ASSERT_ASK (link, "m0,8", "E14");
  ASSERT_ASK (link, "mfffffffffffffff0,8", "E14");
  ASSERT_ASK (link, "nonsense", "");
  ASSERT_ASK (link, "QStartNoAckMode", "OK");
  /* It goes on, and stands again, as often as one likes. */
  for (guint i = 0; i < 20; i++) {
    g_autofree char *goes_on = ask (link, "c");
    g_assert_cmpint (goes_on[0], ==, 'O');
    wait_for_status (f.pid, "S 0 0");
    g_atomic_int_set (&refuse, i % 4 == 3);
    g_assert_cmpint (write (fd, "\003", 1), ==, 1);
    g_assert_cmpint (pcd_gdb_link_next (link, soon (), came), ==, PCD_GDB_PACKET);
    g_assert_cmpint (came->str[0], ==, i % 4 == 3 ? 'O' : 'T');
    wait_for_status (f.pid, i % 4 == 3 ? "S 0 0" : "t 1 0");
    if (i % 4 != 3)
      continue;
    g_atomic_int_set (&refuse, 0);
    g_assert_cmpint (write (fd, "\003", 1), ==, 1);
    g_assert_cmpint (pcd_gdb_link_next (link, soon (), came), ==, PCD_GDB_PACKET);
    g_assert_cmpint (came->str[0], ==, 'T');
  }
  ASSERT_ASK (link, "D", "OK");
  wait_for_status (f.pid, "S 0 0");
  stop (&f);
}

/* Clients that go without a word, that want to kill, and one that comes while another is there. */
static void
test_clients (void)
{
  Fixture f;

  start (&f, 4 * LIMIT_USEC, 4 * LIMIT_USEC);
  for (guint i = 0; i < 20; i++) {
    PcdGdbLink *link = connect_to (&f);

    wait_for_status (f.pid, "t 1 0");
    if (i % 2)
      g_assert_true (pcd_gdb_link_send (link, "k", 1));
    else if (i % 3)
      g_assert_true (pcd_gdb_link_send (link, "vKill;1", 7));
    pcd_gdb_link_free (link);
    wait_for_status (f.pid, "S 0 0");
  }
  g_autoptr (PcdGdbLink) link = connect_to (&f);
  g_autoptr (PcdGdbLink) waits = connect_to (&f);
  ASSERT_ASK (link, "qAttached", "1");
  g_clear_pointer (&link, pcd_gdb_link_free);
  ASSERT_ASK (waits, "qAttached", "1");
  stop (&f); /* killed under it */
}

static void
test_refused (void)
{
  Fixture f;

  start (&f, 4 * LIMIT_USEC, 4 * LIMIT_USEC);
  g_atomic_int_set (&refuse, 1);
  g_autoptr (PcdGdbLink) link = connect_to (&f);
  g_autofree char *features = ask (link, "qSupported:xmlRegisters=i386");
  g_assert_true (g_str_has_prefix (features, "PacketSize="));
  ASSERT_ASK (link, "?", "E.it is not held: thread 7 'CPU 0/KVM' waits");
  wait_for_status (f.pid, "S 0 0");
  g_atomic_int_set (&refuse, 0);
  stop (&f);
}

/* The time is over, and nobody says anything: with a client and without. */
static void
test_ends (void)
{
  static const struct {
    gint64 session, idle;
    gboolean connect;
    const char *why;
  } rows[] = {
    { 500000, LIMIT_USEC, TRUE, "the time is over" },
    { LIMIT_USEC, 500000, TRUE, "nobody said anything" },
    { 300000, LIMIT_USEC, FALSE, "the time is over" },
    { LIMIT_USEC, 300000, FALSE, "nobody said anything" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    Fixture f;
    g_autofree char *log = NULL;

    start (&f, rows[i].session, rows[i].idle);
    /* On a busy machine that may be too late. */
    PcdGdbLink *link = rows[i].connect ? connect_raw (&f, NULL) : NULL;
    wait_for_no_socket (&f);
    wait_for_status (f.pid, "S 0 0");
    g_assert_true (g_file_get_contents (f.log_path, &log, NULL, NULL));
    g_assert_nonnull (strstr (log, rows[i].why));
    g_clear_pointer (&link, pcd_gdb_link_free);
    stop (&f);
  }
}

static void
test_one_at_a_time (void)
{
  Fixture f;
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;

  start (&f, 4 * LIMIT_USEC, 4 * LIMIT_USEC);
  g_assert_cmpint (pcd_debug_socket_listen (f.state_dir, 3, "guest", &path, &error), ==, -1);
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_EXIST);
  g_clear_error (&error);
  /* of another incident, and left by a daemon that was killed */
  int fd = pcd_debug_socket_listen (f.state_dir, 4, "guest", &path, &error);
  g_assert_no_error (error);
  close (fd);
  g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
  pcd_debug_tidy (f.state_dir);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_test (f.log_path, G_FILE_TEST_EXISTS));
  stop (&f);
}

/* As a person would. */
static void
test_gdb (void)
{
  Fixture f;
  g_autofree char *gdb = g_find_program_in_path ("gdb");
  g_autofree char *target = NULL, *out = NULL, *err = NULL, *thread = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  if (!gdb) {
    g_test_skip ("no gdb");
    return;
  }
  start (&f, 4 * LIMIT_USEC, 4 * LIMIT_USEC);
  target = g_strdup_printf ("target remote %s", f.path);
  thread = g_strdup_printf ("Thread %d.%d \"sleep\"", (int)f.pid, (int)f.pid);
  const char *const argv[] = { gdb,    "-nx",
                               "-nh",  "-batch",
                               "-iex", "set sysroot /",
                               "-iex", "set auto-load no",
                               "-ex",  target,
                               "-ex",  "info threads",
                               "-ex",  "printf \"argc %d\\n\", *(long *)$rsp >= 0",
                               "-ex",  "printf \"fs %d\\n\", $fs_base != 0",
                               "-ex",  "bt",
                               "-ex",  "kill",
                               NULL };
  g_spawn_sync (NULL, (char **)argv, NULL, 0, NULL, NULL, &out, &err, &status, &error);
  g_assert_no_error (error);
  g_test_message ("%s%s", out, err);
  g_assert_nonnull (strstr (out, "sleep"));
#if defined(__x86_64__)
  g_assert_nonnull (strstr (out, "fs 1"));
#endif
  g_assert_nonnull (strstr (out, "nanosleep"));
  wait_for_status (f.pid, "S 0 0");
  stop (&f);
}

/* Entry I of the table at page P is at P * 4096 + I * 8: (P, I) -> entry. */
static gboolean
read_entry (guint64 gpa, guint64 *ret_value, gpointer data)
{
  static const struct {
    guint64 gpa, entry;
  } entries[] = {
    { 0x1000 + 0 * 8, 0x2003 },             /* level 4 */
    { 0x1000 + 511 * 8, 0x2003 },           /* the upper half, the same */
    { 0x2000 + 0 * 8, 0x3003 },             /* level 3 */
    { 0x2000 + 1 * 8, 0x40000083 },         /* 1 GiB */
    { 0x2000 + 511 * 8, 0x3003 },           /* */
    { 0x3000 + 0 * 8, 0x4003 },             /* level 2 */
    { 0x3000 + 1 * 8, 0x80000000004000e3 }, /* 2 MiB, not executable */
    { 0x3000 + 2 * 8, 0x99000 },            /* not present */
    { 0x3000 + 3 * 8, 0x77003 },            /* a table that is missing */
    { 0x4000 + 5 * 8, 0x8000000000123003 }, /* a page */
    { 0x5000 + 0 * 8, 0x1003 },             /* level 5 */
  };

  for (guint i = 0; i < G_N_ELEMENTS (entries); i++)
    if (entries[i].gpa == gpa) {
      *ret_value = entries[i].entry;
      return TRUE;
    }
  return FALSE;
}

static void
test_page_walk (void)
{
  static const PcdPageWalk off = { .cr0 = 0x11 };
  static const PcdPageWalk narrow = { .cr0 = 0x80000011, .cr3 = 0x1000 };
  static const PcdPageWalk four = { .cr0 = 0x80000011, .cr3 = 0x1018, .cr4 = 0x20, .efer = 0x500 };
  static const PcdPageWalk five = {
    .cr0 = 0x80000011, .cr3 = 0x5000, .cr4 = 0x1020, .efer = 0x500
  };
  static const struct {
    const PcdPageWalk *walk;
    guint64 address;
    gboolean found;
    guint64 gpa;
  } rows[] = {
    { &off, 0x7c00, TRUE, 0x7c00 },
    { &narrow, 0x5abc, FALSE, 0 },
    { &four, 0x5abc, TRUE, 0x123abc },
    { &four, 0x6000, FALSE, 0 },
    { &four, 0x40012345, TRUE, 0x40012345 },
    { &four, 0x2abcde, TRUE, 0x4abcde },
    { &four, 0x400000, FALSE, 0 },
    { &four, 0x600000, FALSE, 0 },
    { &four, 0xffffff8000005abc, TRUE, 0x123abc },
    { &four, 0xffffffffc0005abc, TRUE, 0x123abc },
    { &five, 0x5abc, TRUE, 0x123abc },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    guint64 gpa = 0;
    g_test_message ("row %u", i);
    g_assert_cmpint (pcd_page_walk (rows[i].walk, rows[i].address, read_entry, NULL, &gpa), ==,
                     rows[i].found);
    g_assert_cmphex (gpa, ==, rows[i].gpa);
  }
}

static void
test_mark (void)
{
  g_autofree char *dir = g_dir_make_tmp (NULL, NULL);
  g_autofree char *folder = g_build_filename (dir, "debug", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (pcd_debug_file_is_marked (dir, 3));
  for (guint i = 0; i < 4; i++) {
    g_assert_true (pcd_debug_file_mark (dir, 3, i < 2, &error));
    g_assert_no_error (error);
    pcd_debug_tidy (dir);
    g_assert_cmpint (pcd_debug_file_is_marked (dir, 3), ==, i < 2);
    g_assert_false (pcd_debug_file_is_marked (dir, 4));
  }
  g_assert_cmpint (g_rmdir (folder), ==, 0);
  g_assert_cmpint (g_rmdir (dir), ==, 0);
}

/* The oldest go, by number and by size. */
static void
test_prune (void)
{
  g_autofree char *dir = g_dir_make_tmp (NULL, NULL);
  g_autofree char *folder = g_build_filename (dir, "debug", NULL);
  g_autofree char *first = NULL, *last = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) listing = NULL;
  const char *name;
  guint n = 0;

  for (guint i = 0; i < PCD_DEBUG_KEEP_FILES + 5; i++) {
    g_autofree char *path = NULL;
    int fd = pcd_debug_file_create (dir, 1 + i % 3, "stacks", "txt", 1000 + i, &path, &error);
    const struct timespec times[2] = { { 1000 + i, 0 }, { 1000 + i, 0 } };

    g_assert_no_error (error);
    g_assert_cmpint (futimens (fd, times), ==, 0);
    close (fd);
    if (i == 0)
      first = g_steal_pointer (&path);
    g_free (last);
    last = g_steal_pointer (&path);
  }
  g_assert_false (g_file_test (first, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_test (last, G_FILE_TEST_EXISTS));
  listing = g_dir_open (folder, 0, &error);
  for (; (name = g_dir_read_name (listing)); n++) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_unlink (path);
  }
  g_assert_cmpuint (n, ==, PCD_DEBUG_KEEP_FILES);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
  g_assert_cmpint (g_rmdir (dir), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/gdb/packets", test_packets);
  g_test_add_func ("/gdb/long-packet", test_long_packet);
  g_test_add_func ("/gdb/round-trip", test_round_trip);
  g_test_add_func ("/gdb/parts", test_parts);
  g_test_add_func ("/gdb/session", test_session);
  g_test_add_func ("/gdb/clients", test_clients);
  g_test_add_func ("/gdb/refused", test_refused);
  g_test_add_func ("/gdb/ends", test_ends);
  g_test_add_func ("/gdb/one-at-a-time", test_one_at_a_time);
  g_test_add_func ("/gdb/gdb", test_gdb);
  g_test_add_func ("/gdb/page-walk", test_page_walk);
  g_test_add_func ("/gdb/mark", test_mark);
  g_test_add_func ("/gdb/prune", test_prune);
  return g_test_run ();
}
