/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One thread per watched QEMU: looks when it is time, when a connection ends, when asked, and posts
 * what it saw to the main thread. Keeps no opinion about phases. */
#include "engine/pcd-watch.h"

#include "engine/pcd-lines.h"
#include "host/pcd-process.h"
#include "host/pcd-threads.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
  SEARCH_USEC = 50 * 1000,           /* between looks while a connection is expected */
  SEARCH_FOR_USEC = 5 * 1000 * 1000, /* after being told to look */
  ELIMINATE_USEC = 300 * 1000,       /* migration threads had this long to show their socket */
  NO_SOCKET_LOOKS = 4,               /* that agree that there is no connection */
  IDLE_USEC = 1000 * 1000,           /* between looks without a connection */
  RESCAN_USEC = 2 * 1000 * 1000,     /* for further channels beside the first */
};

enum {
  WANT_STOP = 1 << 0,
  WANT_LOOK = 1 << 1,
  WANT_SHUTDOWN = 1 << 2,
};

struct _PcdWatch {
  gatomicrefcount refs;
  char *uuid;
  char *name;
  PcdRole role;
  PcdConfig config;
  PcdTcpLog *log;
  const PcdWatchCallbacks *callbacks; /* main thread only; NULL once stopped */
  gpointer data;
  int wake_fd;
  guint wants; /* WANT_… bits, atomic */
  gint arming; /* atomic */
};

/* What the thread carries from look to look. */
typedef struct {
  PcdWatch *watch;
  gint pid;
  PcdSockets *process;
  PcdLines *lines;
  char *scan_note;
  gint64 search_until; /* a connection is expected until then */
  gint64 searching_since;
  gint64 next_scan;
  guint n_empty; /* looks in a row that found no connection and idle migration threads */
  gboolean threads_idle;
} Look;

/* What one look tells the main thread. */
typedef struct {
  PcdWatch *watch;
  PcdMeasure *measure;
  GArray *events; /* (element-type PcdEvent) */
  gboolean armed;
} Message;

static PcdWatch *
watch_ref (PcdWatch *watch)
{
  g_atomic_ref_count_inc (&watch->refs);
  return watch;
}

static void
watch_unref (PcdWatch *watch)
{
  if (!g_atomic_ref_count_dec (&watch->refs))
    return;
  close (watch->wake_fd);
  g_free (watch->uuid);
  g_free (watch->name);
  pcd_config_clear (&watch->config);
  pcd_tcp_log_unref (watch->log);
  g_free (watch);
}

/* ---- to the main thread ---- */

static void
message_free (Message *message)
{
  watch_unref (message->watch);
  pcd_measure_free (message->measure);
  g_array_unref (message->events);
  g_free (message);
}

/* On the main thread. A callback may stop the watch. */
static gboolean
deliver (gpointer data)
{
  const Message *message = data;
  PcdWatch *watch = message->watch;

  if (watch->callbacks && message->armed)
    watch->callbacks->armed (message->measure, watch->data);
  for (guint i = 0; watch->callbacks && i < message->events->len; i++)
    watch->callbacks->event (&g_array_index (message->events, PcdEvent, i), message->measure,
                             watch->data);
  if (watch->callbacks && message->events->len == 0)
    watch->callbacks->measured (message->measure, watch->data);
  return G_SOURCE_REMOVE;
}

static Message *
message_new (PcdWatch *watch)
{
  Message *message = g_new0 (Message, 1);

  message->watch = watch_ref (watch);
  message->measure = pcd_measure_new ();
  message->events = g_array_new (FALSE, TRUE, sizeof (PcdEvent));
  return message;
}

static void
add_event (Message *message, PcdEvent event)
{
  g_array_append_val (message->events, event);
}

static void
post (Message *message)
{
  g_main_context_invoke_full (NULL, G_PRIORITY_DEFAULT, deliver, message,
                              (GDestroyNotify)message_free);
}

/* ---- one look ---- */

static gboolean
find_process (Look *look, Message *message)
{
  g_autoptr (GError) error = NULL;

  look->pid = pcd_process_find_qemu (look->watch->uuid, look->watch->name, NULL, &error);
  if (look->pid > 0)
    look->process = pcd_sockets_open (look->pid, &error);
  if (!look->process) {
    message->measure->note = g_strdup (error->message);
    return FALSE;
  }
  look->lines =
      pcd_lines_new (look->process, look->watch->role, &look->watch->config, look->watch->log);
  return TRUE;
}

static void
add_blocked (PcdMeasure *measure, const PcdThread *thread)
{
  const PcdBlockedView view = { thread->tid, thread->class.vcpu, thread->class.path,
                                thread->blocked_usec };

  measure->n_blocked_vcpus++;
  g_ptr_array_add (measure->blocked, g_memdup2 (&view, sizeof view));
}

static void
count_threads (Look *look, PcdMeasure *measure)
{
  /* Only while nothing flows, that is when it matters, is there time for a thorough look. */
  gboolean thorough = look->threads_idle && pcd_lines_count (look->lines) == 0;
  g_autoptr (PcdThreadReport) report =
      pcd_threads_read (look->pid, thorough ? PCD_THREADS_THOROUGH : PCD_THREADS_CHEAP, NULL);
  guint n_migration = 0, n_waiting = 0;

  if (!report)
    return;
  for (guint i = 0; i < report->threads->len; i++) {
    const PcdThread *thread = g_ptr_array_index (report->threads, i);
    gboolean blocked = thread->class.blocked == PCD_ANSWER_YES;

    measure->n_vcpus += thread->class.is_vcpu;
    if (thread->class.is_vcpu && blocked)
      add_blocked (measure, thread);
    measure->n_blocked_others += !thread->class.is_vcpu && blocked;
    if (pcd_socket_thread_is_migration (thread->name)) {
      n_migration++;
      n_waiting += thread->wchan && g_str_has_prefix (thread->wchan, "futex");
    }
  }
  if (thorough) {
    measure->kickable = pcd_thread_report_kickable (report, NULL);
    measure->traceable = pcd_thread_report_traceable (report, NULL);
  }
  /* In postcopy-paused every migration thread sleeps on a semaphore (postcopy_pause_incoming (),
   * postcopy_pause (), postcopy_pause_return_path_thread ()); while a connection lives, one of them
   * at least sits in its recvmsg (). */
  look->threads_idle = n_migration > 0 && n_waiting == n_migration;
}

static void
scan (Look *look, Message *message, gint64 now)
{
  gboolean eliminate = now - look->searching_since >= ELIMINATE_USEC && !look->threads_idle;
  guint n_new;

  if (now < look->next_scan)
    return;
  g_clear_pointer (&look->scan_note, g_free);
  n_new = pcd_lines_scan (look->lines, eliminate, &look->scan_note);
  if (n_new > 0) {
    add_event (message, (PcdEvent){ .kind = PCD_EVENT_SOCKET_FOUND });
    message->armed = TRUE;
  }
  if (pcd_lines_count (look->lines) > 0)
    look->next_scan = now + RESCAN_USEC;
  else
    look->next_scan = now + (now < look->search_until ? SEARCH_USEC : IDLE_USEC);
}

/* Several looks must agree: between two connections of a recovery all threads may be idle. */
static void
note_emptiness (Look *look, Message *message)
{
  if (pcd_lines_count (look->lines) > 0 || !look->threads_idle) {
    look->n_empty = 0;
    return;
  }
  if (++look->n_empty == NO_SOCKET_LOOKS)
    add_event (message, (PcdEvent){ .kind = PCD_EVENT_NO_SOCKET });
}

static void
sample (Look *look, Message *message, gint64 now)
{
  PcdFlow flow;
  PcdCause closed;
  gboolean dead;

  if (pcd_lines_sample (look->lines, message->measure, &flow, &dead, &closed))
    add_event (message, (PcdEvent){ .kind = PCD_EVENT_NET, .net = { flow, dead } });
  if (closed == PCD_CAUSE_NONE)
    return;
  add_event (message, (PcdEvent){ .kind = PCD_EVENT_SOCKET_CLOSED, .closed = closed });
  look->searching_since = now;
  look->search_until = now + SEARCH_FOR_USEC;
  look->next_scan = now + SEARCH_USEC;
}

static void
take_a_look (Look *look)
{
  Message *message = message_new (look->watch);
  gint64 now = g_get_monotonic_time ();

  if (look->process || find_process (look, message)) {
    message->measure->pid = look->pid;
    sample (look, message, now);
    count_threads (look, message->measure);
    scan (look, message, now);
    if (g_atomic_int_get (&look->watch->arming) && pcd_lines_arm (look->lines, &look->scan_note))
      message->armed = TRUE;
    note_emptiness (look, message);
    /* While it is paused there is no connection to be found. */
    if (!message->measure->note && !look->threads_idle)
      message->measure->note = g_strdup (look->scan_note);
    /* A connection that is new or newly armed with this look is shown so with it. */
    if (message->armed) {
      g_ptr_array_set_size (message->measure->sockets, 0);
      sample (look, message, now);
    }
  }
  post (message);
}

/* ---- the thread ---- */

static gint64
time_to_next_look (const Look *look)
{
  gint64 now = g_get_monotonic_time ();

  if (look->lines && pcd_lines_count (look->lines) > 0)
    return CLAMP (pcd_lines_next_sample (look->lines) - now, 0, look->watch->config.sample_usec);
  return now < look->search_until ? SEARCH_USEC : IDLE_USEC;
}

/* Sleeps until it is time, or something happens. Returns FALSE once QEMU has exited. */
static gboolean
wait_a_while (Look *look)
{
  g_autoptr (GArray) polls = g_array_new (FALSE, TRUE, sizeof (struct pollfd));
  const struct pollfd wake = { look->watch->wake_fd, POLLIN, 0 };
  struct pollfd exit = { -1, POLLIN, 0 };
  guint64 count;

  if (look->process)
    exit.fd = pcd_sockets_get_pidfd (look->process);
  g_array_append_val (polls, wake);
  g_array_append_val (polls, exit);
  if (look->lines)
    pcd_lines_add_polls (look->lines, polls);
  if (poll ((struct pollfd *)polls->data, polls->len, time_to_next_look (look) / 1000 + 1) < 0)
    return errno == EINTR;
  if (g_array_index (polls, struct pollfd, 0).revents &&
      read (look->watch->wake_fd, &count, sizeof count) < 0)
    g_assert (errno == EAGAIN);
  return g_array_index (polls, struct pollfd, 1).revents == 0;
}

static void
obey (Look *look, guint wants)
{
  gint64 now = g_get_monotonic_time ();

  if (wants & WANT_SHUTDOWN && look->lines)
    pcd_lines_shutdown (look->lines);
  if (wants & WANT_LOOK) {
    look->searching_since = now;
    look->search_until = now + SEARCH_FOR_USEC;
    look->next_scan = MIN (look->next_scan, now);
    look->n_empty = 0;
  }
}

static void
report_exit (Look *look)
{
  Message *message = message_new (look->watch);

  message->measure->pid = look->pid;
  add_event (message, (PcdEvent){ .kind = PCD_EVENT_PROCESS_EXITED });
  post (message);
}

static gpointer
watch_thread (gpointer data)
{
  Look look = { .watch = data };
  guint wants = WANT_LOOK;
  gboolean alive = TRUE;

  while (!(wants & WANT_STOP) && alive) {
    obey (&look, wants);
    take_a_look (&look);
    alive = wait_a_while (&look);
    wants = g_atomic_int_and (&look.watch->wants, 0);
  }
  /* Before anything else: the peer learns of QEMU's end only when the last duplicate is closed. */
  g_clear_pointer (&look.lines, pcd_lines_free);
  if (!alive)
    report_exit (&look);
  g_clear_pointer (&look.process, pcd_sockets_free);
  g_free (look.scan_note);
  watch_unref (look.watch);
  return NULL;
}

static void
want (PcdWatch *watch, guint bit)
{
  const guint64 one = 1;

  g_atomic_int_or (&watch->wants, bit);
  /* A full counter wakes as well. */
  if (write (watch->wake_fd, &one, sizeof one) < 0)
    g_assert (errno == EAGAIN);
}

PcdWatch *
pcd_watch_start (const char *uuid,
                 const char *name,
                 PcdRole role,
                 const PcdConfig *config,
                 PcdTcpLog *log,
                 const PcdWatchCallbacks *callbacks,
                 gpointer data)
{
  PcdWatch *watch = g_new0 (PcdWatch, 1);

  g_atomic_ref_count_init (&watch->refs);
  watch->uuid = g_strdup (uuid);
  watch->name = g_strdup (name);
  watch->role = role;
  watch->config = pcd_config_copy (config);
  watch->log = pcd_tcp_log_ref (log);
  watch->callbacks = callbacks;
  watch->data = data;
  watch->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  g_assert (watch->wake_fd >= 0);
  g_thread_unref (g_thread_new ("pcd-watch", watch_thread, watch_ref (watch)));
  return watch;
}

void
pcd_watch_stop (PcdWatch *watch)
{
  watch->callbacks = NULL;
  want (watch, WANT_STOP);
  watch_unref (watch);
}

void
pcd_watch_set_arming (PcdWatch *watch, gboolean on)
{
  g_atomic_int_set (&watch->arming, on);
}

void
pcd_watch_look (PcdWatch *watch)
{
  want (watch, WANT_LOOK);
}

void
pcd_watch_shutdown (PcdWatch *watch)
{
  want (watch, WANT_SHUTDOWN);
}
