/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stop by opening the stub, ask it for registers, read memory ourselves, and put back what was.
 * Must not let QEMU touch a page that is missing. */
#include "actions/debug/pcd-debug-guest.h"

#include "actions/debug/pcd-debug-stub.h"
#include "core/pcd-page-walk.h"
#include "debug/pcd-debug-file.h"
#include "debug/pcd-rsp.h"
#include "host/pcd-fd.h"
#include "snapshot/pcd-ram-layout.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ANSWER_USEC (2 * G_USEC_PER_SEC)
#define CONT_USEC   (5 * G_USEC_PER_SEC)

/* Bytes from the begin of QEMU's `g` for x86-64 (target/i386/gdbstub.c): 16 general registers, RIP,
 * EFLAGS and 6 segments of 4 bytes, then three bases. */
#define AT_CR0  188
#define AT_CR3  204
#define AT_CR4  212
#define AT_EFER 228

#define PAGE G_GUINT64_CONSTANT (4096)

typedef struct {
  pid_t pid;
  int pidfd;
  PcdMonitorKeeper *monitor;
  char *state_dir;
  gint64 incident;
  PcdQmpBlocked blocked; /* as of the last look */
  /* While it is held. */
  PcdGdbLink *stub;
  PcdRamLayout *layout;
  int mem_fd;
  GString *registers; /* the stub's answer to `g`; empty: not asked */
  gboolean is_lost;   /* the guest runs, or the stub does not answer */
} Guest;

static gint64
in (gint64 usec)
{
  return g_get_monotonic_time () + usec;
}

gpointer
pcd_debug_guest_new (
    pid_t pid, PcdMonitorKeeper *monitor, const char *state_dir, gint64 incident, GError **error)
{
  int pidfd = (int)syscall (SYS_pidfd_open, pid, 0);

  if (pidfd < 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "process %d: %s", (int)pid,
                 g_strerror (errno));
    return NULL;
  }
  Guest *self = g_new0 (Guest, 1);
  *self = (Guest){ .pid = pid,
                   .pidfd = pidfd,
                   .monitor = pcd_monitor_keeper_ref (monitor),
                   .state_dir = g_strdup (state_dir),
                   .incident = incident,
                   .mem_fd = -1,
                   .registers = g_string_new (NULL) };
  return self;
}

static void
guest_free (gpointer data)
{
  Guest *self = data;

  close (self->pidfd);
  pcd_monitor_keeper_unref (self->monitor);
  g_string_free (self->registers, TRUE);
  g_free (self->state_dir);
  g_free (self);
}

char *
pcd_debug_guest_why_not (pid_t pid, PcdQmpBlocked *ret_blocked)
{
  static const PcdThreadsMode modes[] = { PCD_THREADS_CHEAP, PCD_THREADS_THOROUGH };

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++) {
    g_autoptr (GError) error = NULL;
    PcdFreezeReport freeze;
    g_autoptr (PcdThreadReport) threads =
        pcd_action_look (pid, modes[i], ret_blocked, &freeze, &error);
    char *why = threads ? pcd_action_why_not (threads, modes[i], PCD_NEED_KICKABLE)
                        : g_strdup (error->message);

    if (why)
      return why;
    if (freeze.n_frozen + freeze.n_pending > 0)
      return g_strdup_printf ("%u of %u vCPUs are frozen", freeze.n_frozen + freeze.n_pending,
                              freeze.n_vcpus);
  }
  return NULL;
}

static char *
refuses (gpointer data)
{
  Guest *self = data;

  return pcd_debug_guest_why_not (self->pid, &self->blocked);
}

static gboolean
is_gone (gpointer data)
{
  Guest *self = data;
  struct pollfd ended = { .fd = self->pidfd, .events = POLLIN };

  return self->is_lost || poll (&ended, 1, 0) > 0;
}

static char *
ask_human (const char *line, gpointer data, GError **error)
{
  Guest *self = data;
  g_autoptr (JsonObject) arguments = json_object_new ();

  json_object_set_string_member (arguments, "command-line", line);
  g_autoptr (JsonNode) value =
      pcd_monitor_keeper_call (self->monitor, "human-monitor-command", arguments, PCD_QMP_IN_BAND,
                               NULL, in (ANSWER_USEC), error);
  if (!value)
    return NULL;
  return g_strdup (JSON_NODE_HOLDS_VALUE (value) ? json_node_get_string (value) : "");
}

/* Also the last of it: a `cont` is tried until vCPUs have come to rest where we can see it. */
static gboolean
go_on (Guest *self, GError **error)
{
  const gint64 until = in (CONT_USEC);

  for (;;) {
    g_autoptr (GError) problem = NULL;
    PcdQmpBlocked blocked;
    g_autoptr (PcdThreadReport) threads =
        pcd_action_look (self->pid, PCD_THREADS_THOROUGH, &blocked, NULL, &problem);
    g_autoptr (JsonNode) value =
        threads ? pcd_monitor_keeper_call (self->monitor, "cont", NULL, PCD_QMP_IN_BAND, &blocked,
                                           until, &problem)
                : NULL;

    if (value)
      return TRUE;
    if (g_get_monotonic_time () >= until) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                   "the guest was left stopped (%s): 'postcopyctl resume' lets it go on",
                   problem->message);
      return FALSE;
    }
    g_usleep (100 * 1000);
  }
}

static gboolean
let_go (Guest *self, gboolean was_running, GError **error)
{
  g_autofree char *status = NULL;

  g_clear_pointer (&self->stub, pcd_gdb_link_free);
  if (!pcd_debug_stub_close (self->monitor, in (ANSWER_USEC), error))
    return FALSE;
  status = pcd_monitor_keeper_get_status (self->monitor, "query-status", in (ANSWER_USEC), error);
  if (!status)
    return FALSE;
  if (was_running && g_str_equal (status, "paused") && !go_on (self, error))
    return FALSE;
  return pcd_debug_file_mark (self->state_dir, self->incident, FALSE, error);
}

static gboolean
prepare (Guest *self, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/mem", (int)self->pid);

  self->layout = pcd_ram_layout_ask (ask_human, self, error);
  if (!self->layout)
    return FALSE;
  self->mem_fd = open (path, O_RDONLY | O_CLOEXEC);
  if (self->mem_fd < 0)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s: %s", path,
                 g_strerror (errno));
  return self->mem_fd >= 0;
}

static gboolean
hold_prepared (Guest *self, PcdGdbServe serve, PcdGdbSession *session, GError **error)
{
  g_autofree char *status =
      pcd_monitor_keeper_get_status (self->monitor, "query-status", in (ANSWER_USEC), error);
  const gboolean runs = g_strcmp0 (status, "running") == 0;

  if (!status)
    return FALSE;
  if (!runs && !g_str_equal (status, "paused")) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "QEMU says %s", status);
    return FALSE;
  }
  /* Should we be killed before we have put it back, `resume` may. */
  if (runs && !pcd_debug_file_mark (self->state_dir, self->incident, TRUE, error))
    return FALSE;
  self->stub =
      pcd_debug_stub_open (self->monitor, self->pid, &self->blocked, in (ANSWER_USEC), error);
  if (!self->stub) {
    let_go (self, runs, NULL);
    return FALSE;
  }
  g_string_truncate (self->registers, 0);
  serve (session);
  return let_go (self, runs, error);
}

static gboolean
hold (gpointer data, PcdGdbServe serve, PcdGdbSession *session, GError **error)
{
  Guest *self = data;
  gboolean ok = prepare (self, error) && hold_prepared (self, serve, session, error);

  g_clear_pointer (&self->layout, pcd_ram_layout_free);
  pcd_close_if_open (self->mem_fd);
  self->mem_fd = -1;
  return ok;
}

/* The stub stops a guest that runs as soon as it reads a byte, and that may hang. */
static gboolean
ask_stub (Guest *self, const char *packet, gsize size, GString *answer)
{
  g_autofree char *status =
      pcd_monitor_keeper_get_status (self->monitor, "query-status", in (ANSWER_USEC), NULL);

  self->is_lost = g_strcmp0 (status, "paused") != 0 ||
                  !pcd_gdb_link_send (self->stub, packet, size) ||
                  pcd_gdb_link_next (self->stub, in (ANSWER_USEC), answer) != PCD_GDB_PACKET;
  if (self->is_lost)
    g_string_assign (answer, "E01");
  return !self->is_lost;
}

static gboolean
read_ram (Guest *self, guint64 gpa, gpointer buffer, gsize size)
{
  for (guint i = 0; i < self->layout->ranges->len; i++) {
    const PcdRamRange *range = &g_array_index (self->layout->ranges, PcdRamRange, i);
    const PcdRamBlock *block = &g_array_index (self->layout->blocks, PcdRamBlock, range->block);

    if (gpa < range->gpa || gpa - range->gpa >= range->size ||
        size > range->size - (gpa - range->gpa))
      continue;
    const guint64 at = block->address + range->offset + (gpa - range->gpa);
    return pread (self->mem_fd, buffer, size, (off_t)at) == (gssize)size;
  }
  return FALSE;
}

static gboolean
read_table (guint64 gpa, guint64 *ret_value, gpointer data)
{
  return read_ram (data, gpa, ret_value, sizeof *ret_value);
}

static guint64
register_at (const GString *registers, gsize at)
{
  guint64 value = 0;

  for (gsize i = 8; i > 0; i--) {
    const char *digits = registers->str + (at + i - 1) * 2;
    int high = g_ascii_xdigit_value (digits[0]), low = g_ascii_xdigit_value (digits[1]);

    value = value << 8 | (guint64)(MAX (high, 0) << 4 | MAX (low, 0));
  }
  return value;
}

static gboolean
get_walk (Guest *self, PcdPageWalk *ret_walk)
{
  if (self->registers->len == 0 && !ask_stub (self, "g", 1, self->registers))
    return FALSE;
  if (self->registers->len < (AT_EFER + 8) * 2)
    return FALSE;
  *ret_walk = (PcdPageWalk){ .cr0 = register_at (self->registers, AT_CR0),
                             .cr3 = register_at (self->registers, AT_CR3),
                             .cr4 = register_at (self->registers, AT_CR4),
                             .efer = register_at (self->registers, AT_EFER) };
  return TRUE;
}

/* As much as there is from the begin on: what is missing is an error to gdb, not a wait to QEMU. */
static void
read_memory (Guest *self, const char *what, GString *answer)
{
  unsigned long long address = 0;
  unsigned long left = 0;
  guint8 page[PAGE];
  PcdPageWalk walk;

  if (sscanf (what, "%llx,%lx", &address, &left) != 2 || !get_walk (self, &walk)) {
    g_string_append (answer, "E01");
    return;
  }
  left = MIN (left, PCD_RSP_MAX / 2);
  while (left > 0) {
    const gsize n = MIN (left, PAGE - address % PAGE);
    guint64 gpa;

    if (!pcd_page_walk (&walk, address, read_table, self, &gpa) || !read_ram (self, gpa, page, n))
      break;
    pcd_rsp_add_hex (answer, page, n);
    address += n;
    left -= n;
  }
  if (answer->len == 0)
    g_string_append (answer, "E14");
}

static gboolean
is_harmless (const char *packet)
{
  static const char *const whole[] = { "?", "g", "qC", "qfThreadInfo", "qsThreadInfo" };
  static const char *const begins[] = { "Hg", "T", "p", "qThreadExtraInfo,",
                                        "qXfer:features:read:" };

  for (guint i = 0; i < G_N_ELEMENTS (whole); i++)
    if (g_str_equal (packet, whole[i]))
      return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (begins); i++)
    if (g_str_has_prefix (packet, begins[i]))
      return TRUE;
  return FALSE;
}

static void
answer (gpointer data, const GString *packet, GString *answer)
{
  Guest *self = data;
  const char *text = packet->str;

  if (*text == 'm') {
    read_memory (self, text + 1, answer);
  } else if (g_str_has_prefix (text, "Hc")) {
    g_string_append (answer, "OK");
  } else if (is_harmless (text)) {
    if (*text == 'H')
      g_string_truncate (self->registers, 0);
    ask_stub (self, text, packet->len, answer);
  }
}

const PcdGdbTarget pcd_debug_guest_target = {
  .features = "PacketSize=1000;QStartNoAckMode+;qXfer:features:read+",
  .refuses = refuses,
  .hold = hold,
  .answer = answer,
  .is_gone = is_gone,
  .free = guest_free,
};
