/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Watches the probe's guest: blocks it on a missing page, kicks it, takes the time, supplies the
 * page, and reaps its process whatever happened. Must not know KVM or any architecture. */
#include "host/pcd-probe.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MSEC(n)               ((gint64)(n)*1000)
#define DEFAULT_BOUND_USEC    MSEC (400)
#define DEFAULT_DEADLINE_USEC MSEC (4000)
#define STEP_USEC             MSEC (1000) /* for what takes microseconds on an idle host */
#define SETTLE_USEC           MSEC (10)   /* blocked for a moment: no fast path is left */
#define REKICK_USEC           MSEC (50)
#define REAP_USEC             MSEC (900)

typedef struct {
  PcdProbeKind kind;
  PcdProbeSabotage sabotage;
  gint64 bound_usec;
  gint64 deadline; /* absolute, CLOCK_MONOTONIC */
  pid_t pid;
  int socket;
  int uffd; /* the only copy there is: closing it wakes the guest's thread */
  PcdProbeMessage ready;
} Watch;

static void note (PcdProbeFault *fault, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Appends, so that a process that would not go is told beside the measurement. */
static void
note (PcdProbeFault *fault, const char *format, ...)
{
  g_autofree char *before = g_steal_pointer (&fault->detail);
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  fault->detail = before ? g_strconcat (before, "; ", text, NULL) : g_steal_pointer (&text);
}

/* Up to now + usec, never past the deadline of it all. */
static gint64
until (const Watch *watch, gint64 usec)
{
  return MIN (g_get_monotonic_time () + usec, watch->deadline);
}

static gboolean
wait_readable (int fd, gint64 when)
{
  struct pollfd entry = { .fd = fd, .events = POLLIN };

  for (;;) {
    gint64 left = when - g_get_monotonic_time ();
    int n = poll (&entry, 1, left <= 0 ? 0 : (int)(left / 1000 + 1));

    if (n > 0)
      return TRUE;
    if ((n == 0 || errno != EINTR) && left <= 0)
      return FALSE;
    if (n < 0 && errno != EINTR)
      return FALSE;
  }
}

static int
take_descriptor (struct msghdr *header)
{
  int fd = -1;

  for (struct cmsghdr *c = CMSG_FIRSTHDR (header); c; c = CMSG_NXTHDR (header, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
      memcpy (&fd, CMSG_DATA (c), sizeof fd);
  return fd;
}

/* The next thing the guest's process says. FALSE with a step: it says nothing (TIMEOUT), it is gone
 * (DIED), or it says that it failed. */
static gboolean
listen_to (Watch *watch, gint64 when, PcdProbeMessage *ret_message, PcdProbeTrouble *trouble)
{
  PcdProbeMessage message;
  char control[CMSG_SPACE (sizeof (int))] __attribute__ ((aligned (8)));
  struct iovec data = { .iov_base = &message, .iov_len = sizeof message };
  struct msghdr header = {
    .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
  };
  ssize_t n;

  if (!wait_readable (watch->socket, when)) {
    *trouble = (PcdProbeTrouble){ .step = PCD_PROBE_STEP_TIMEOUT };
    return FALSE;
  }
  n = recvmsg (watch->socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n != (ssize_t)sizeof message) {
    *trouble = (PcdProbeTrouble){ .step = PCD_PROBE_STEP_DIED };
    return FALSE;
  }
  if (message.says == PCD_PROBE_SAYS_READY)
    watch->uffd = take_descriptor (&header);
  if (message.says == PCD_PROBE_SAYS_FAILED) {
    *trouble = (PcdProbeTrouble){ message.step, message.err, message.seccomp != 0 };
    return FALSE;
  }
  *ret_message = message;
  return TRUE;
}

static gboolean
start_guest (Watch *watch, const PcdProbeOptions *options, GError **error)
{
  const char *kvm_path = options->kvm_path ? options->kvm_path : "/dev/kvm";
  const char *uffd_path = options->uffd_path ? options->uffd_path : "/dev/userfaultfd";
  pid_t parent = getpid ();
  int pair[2];

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
    int err = errno;
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (err), "probe: socketpair: %s",
                 g_strerror (err));
    return FALSE;
  }
  watch->pid = fork ();
  if (watch->pid == 0)
    pcd_probe_guest_main (pair[1], parent, watch->kind, kvm_path, uffd_path, watch->sabotage);
  if (watch->pid < 0) {
    int err = errno;
    close (pair[0]);
    close (pair[1]);
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (err), "probe: fork: %s",
                 g_strerror (err));
    return FALSE;
  }
  close (pair[1]);
  watch->socket = pair[0];
  return TRUE;
}

static gpointer
reap_later (gpointer data)
{
  while (waitpid (GPOINTER_TO_INT (data), NULL, 0) < 0 && errno == EINTR)
    continue;
  return NULL;
}

/* SIGKILL is enough where the kernel waits killably, which handle_userfault() does in all kernels
 * since 4.3 when it is asked to. Where it is not asked to, only the end of the userfaultfd helps.
 */
static void
stop_guest (Watch *watch, PcdProbeFault *fault)
{
  gint64 when = g_get_monotonic_time () + REAP_USEC;
  pid_t pid;

  kill (watch->pid, SIGKILL);
  if (watch->uffd >= 0)
    close (watch->uffd);
  close (watch->socket);
  do {
    pid = waitpid (watch->pid, NULL, WNOHANG);
    if (pid == watch->pid ||
        (pid < 0 && errno != EINTR)) /* or SIGCHLD is ignored: the kernel did */
      return;
    g_usleep (500);
  } while (g_get_monotonic_time () < when);
  note (fault, _ ("process %d did not end after SIGKILL, a thread waits for it"), (int)watch->pid);
  g_thread_unref (g_thread_new ("probe-reaper", reap_later, GINT_TO_POINTER (watch->pid)));
}

static gint64
cpu_usec_of (pid_t pid)
{
  struct timespec used;
  clockid_t clock;

  if (clock_getcpuclockid (pid, &clock) || clock_gettime (clock, &used))
    return 0;
  return (gint64)used.tv_sec * G_USEC_PER_SEC + used.tv_nsec / 1000;
}

static gboolean
has_pending (const char *status, const char *field)
{
  const char *at = strstr (status, field);

  return at && (g_ascii_strtoull (at + strlen (field), NULL, 16) & (1ULL << (SIGUSR1 - 1))) != 0;
}

/* Returns: (transfer full): what wchan says, which @ret_evidence points to */
static char *
look_at (const Watch *watch, gint64 cpu_before, PcdProbeEvidence *ret_evidence)
{
  g_autofree char *status_path = g_strdup_printf ("/proc/%d/status", (int)watch->pid);
  g_autofree char *wchan_path = g_strdup_printf ("/proc/%d/wchan", (int)watch->pid);
  g_autofree char *status = NULL, *wchan = NULL;
  const char *state;

  *ret_evidence = (PcdProbeEvidence){ .state = '?' };
  ret_evidence->cpu_usec = cpu_usec_of (watch->pid) - cpu_before;
  if (!g_file_get_contents (status_path, &status, NULL, NULL))
    return NULL;
  state = strstr (status, "\nState:\t");
  if (state)
    ret_evidence->state = state[strlen ("\nState:\t")];
  ret_evidence->pending =
      has_pending (status, "\nSigPnd:\t") || has_pending (status, "\nShdPnd:\t");
  /* "0": it runs, or we may not know. */
  if (g_file_get_contents (wchan_path, &wchan, NULL, NULL) && !g_str_equal (wchan, "0"))
    ret_evidence->wchan = wchan;
  else
    g_clear_pointer (&wchan, g_free);
  return g_steal_pointer (&wchan);
}

static gboolean
wait_for_fault (Watch *watch, PcdProbeTrouble *trouble)
{
  gint64 when = until (watch, STEP_USEC);
  struct uffd_msg fault;
  PcdProbeEvidence evidence;

  if (!listen_to (watch, when, &watch->ready, trouble))
    return FALSE;
  *trouble = (PcdProbeTrouble){ .step = PCD_PROBE_STEP_RUN };
  if (watch->ready.says != PCD_PROBE_SAYS_READY || watch->uffd < 0)
    return FALSE;
  if (!wait_readable (watch->uffd, when)) {
    PcdProbeMessage message;
    /* KVM_RUN may have failed, which says more. */
    listen_to (watch, 0, &message, trouble);
    return FALSE;
  }
  if (read (watch->uffd, &fault, sizeof fault) != (ssize_t)sizeof fault ||
      fault.event != UFFD_EVENT_PAGEFAULT ||
      fault.arg.pagefault.address / watch->ready.page_size !=
          watch->ready.missing / watch->ready.page_size)
    return FALSE;
  do {
    g_autofree char *wchan = NULL;
    g_usleep (SETTLE_USEC);
    wchan = look_at (watch, 0, &evidence);
  } while (evidence.state == 'R' && g_get_monotonic_time () < when);
  *trouble = (PcdProbeTrouble){ 0 };
  return TRUE;
}

static void
kick (const Watch *watch)
{
  kill (watch->pid, SIGUSR1);
}

static void
note_not_interruptible (PcdProbeFault *fault, const PcdProbeEvidence *evidence, gint64 usec)
{
  fault->outcome = PCD_PROBE_NOT_INTERRUPTIBLE;
  if (evidence->state == 'D')
    note (fault, _ ("sleeps in state D, the signal pending for %" PRId64 " ms"), usec / 1000);
  else
    note (fault,
          _ ("state %c, the signal pending for %" PRId64 " ms, %" PRId64
             " ms of them spent spinning"),
          evidence->state, usec / 1000, evidence->cpu_usec / 1000);
}

/* TRUE if the kick got the vCPU out, in which case it waits to be sent back in. */
static gboolean
kick_out (Watch *watch, PcdProbeFault *fault, PcdProbeTrouble *trouble)
{
  gint64 cpu_before = cpu_usec_of (watch->pid);
  gint64 start = g_get_monotonic_time ();
  gint64 last = until (watch, 3 * watch->bound_usec), next = until (watch, watch->bound_usec);
  PcdProbeEvidence evidence;
  PcdProbeMessage message;

  kick (watch);
  for (;;) {
    g_autofree char *wchan = NULL;

    if (listen_to (watch, next, &message, trouble)) {
      if (message.says != PCD_PROBE_SAYS_INTERRUPTED) {
        *trouble = (PcdProbeTrouble){ .step = PCD_PROBE_STEP_RUN };
        return FALSE;
      }
      fault->outcome = PCD_PROBE_INTERRUPTIBLE;
      fault->usec = MAX (message.nsec / 1000 - start, 0);
      return TRUE;
    }
    if (trouble->step != PCD_PROBE_STEP_TIMEOUT)
      return FALSE;
    wchan = look_at (watch, cpu_before, &evidence);
    if (pcd_probe_evidence_is_conclusive (&evidence)) {
      *trouble = (PcdProbeTrouble){ 0 };
      note_not_interruptible (fault, &evidence, g_get_monotonic_time () - start);
      return FALSE;
    }
    if (g_get_monotonic_time () >= last)
      break;
    kick (watch);
    next = MIN (g_get_monotonic_time () + REKICK_USEC, last);
  }
  note (fault, _ ("signalled, and no sign that the thread could have answered (state %c, %s)"),
        evidence.state, evidence.pending ? _ ("signal pending") : _ ("signal delivered"));
  return FALSE;
}

static gboolean
supply_page (const Watch *watch)
{
  g_autofree uint8_t *page = g_malloc0 (watch->ready.page_size);
  struct uffdio_copy copy = {
    .dst = watch->ready.missing,
    .src = (uint64_t)(uintptr_t)page,
    .len = watch->ready.page_size,
  };

  pcd_probe_arch_fill_missing (page);
  /* EAGAIN: the address space is changing; ask again. */
  for (int i = 0; i < 100; i++) {
    if (ioctl (watch->uffd, UFFDIO_COPY, &copy) == 0)
      return TRUE;
    if (errno != EAGAIN)
      return FALSE;
    g_usleep (1000);
  }
  return FALSE;
}

/* The same fault again, now that the page is there; the guest must come to its end. */
static void
retry (Watch *watch, gboolean waits, PcdProbeFault *fault)
{
  gint64 when = until (watch, STEP_USEC);
  PcdProbeMessage message = { 0 };
  PcdProbeTrouble trouble = { 0 };
  g_autofree char *why = NULL;

  if (!supply_page (watch)) {
    note (fault, "UFFDIO_COPY: %s", g_strerror (errno));
    return;
  }
  do {
    if (waits && send (watch->socket, "", 1, MSG_NOSIGNAL) != 1)
      break;
    if (!listen_to (watch, when, &message, &trouble))
      break;
    waits = TRUE; /* a kick that was not interruptible before has been delivered now */
  } while (message.says == PCD_PROBE_SAYS_INTERRUPTED);
  if (message.says == PCD_PROBE_SAYS_FINISHED) {
    fault->retry_completed = message.value == pcd_probe_guest_expected (watch->kind);
    if (!fault->retry_completed)
      note (fault, _ ("the guest finished with 0x%02x instead of 0x%02x"), message.value,
            pcd_probe_guest_expected (watch->kind));
    return;
  }
  why = pcd_probe_trouble_to_string (&trouble);
  note (fault, _ ("after the page came: %s"), why);
}

static gboolean
run_kind (Watch *watch,
          const PcdProbeOptions *options,
          PcdProbeFault *fault,
          PcdProbeTrouble *trouble,
          GError **error)
{
  gboolean out;

  if (!start_guest (watch, options, error))
    return FALSE;
  if (wait_for_fault (watch, trouble)) {
    out = kick_out (watch, fault, trouble);
    if (fault->outcome != PCD_PROBE_FAILED)
      retry (watch, out, fault);
  }
  if (fault->outcome == PCD_PROBE_FAILED && !fault->detail) {
    g_autofree char *why = pcd_probe_trouble_to_string (trouble);
    note (fault, "%s", why);
  }
  stop_guest (watch, fault);
  return TRUE;
}

/* What fails the same way for every kind. */
static gboolean
is_final (const PcdProbeTrouble *trouble)
{
  return trouble->step != PCD_PROBE_STEP_NONE && trouble->step < PCD_PROBE_STEP_RUN;
}

static gboolean
run_kinds (PcdProbeResult *result,
           const PcdProbeOptions *options,
           PcdProbeTrouble *first,
           GError **error)
{
  gint64 deadline_usec = options->deadline_usec ? options->deadline_usec : DEFAULT_DEADLINE_USEC;
  gint64 deadline = g_get_monotonic_time () + deadline_usec;

  for (PcdProbeKind kind = 0; kind < PCD_N_PROBE_KINDS; kind++) {
    Watch watch = { .kind = kind,
                    .sabotage = options->sabotage,
                    .bound_usec = options->bound_usec ? options->bound_usec : DEFAULT_BOUND_USEC,
                    .deadline = deadline,
                    .uffd = -1 };
    PcdProbeFault *fault = &result->faults[kind];
    PcdProbeTrouble trouble = { 0 };

    if (!pcd_probe_arch_has (kind)) {
      fault->outcome = PCD_PROBE_NOT_APPLICABLE;
      note (fault, _ ("this architecture has no such fault"));
      continue;
    }
    if (is_final (first) || (kind > 0 && g_get_monotonic_time () >= deadline)) {
      note (fault, is_final (first) ? _ ("not tried") : _ ("not tried: the deadline has passed"));
      continue;
    }
    if (!run_kind (&watch, options, fault, &trouble, error))
      return FALSE;
    if (first->step == PCD_PROBE_STEP_NONE)
      *first = trouble;
  }
  return TRUE;
}

PcdProbeResult *
pcd_probe_run (const PcdProbeOptions *options, GError **error)
{
  const PcdProbeOptions defaults = { 0 };
  g_autoptr (PcdProbeResult) result = g_new0 (PcdProbeResult, 1);
  PcdProbeTrouble trouble = { 0 };
  gint64 start = g_get_monotonic_time ();
  struct utsname name;

  result->kernel = g_strdup (uname (&name) ? "?" : name.release);
  for (guint i = 0; i < PCD_N_PROBE_KINDS; i++)
    result->faults[i].usec = -1;
  if (!pcd_probe_arch_has (PCD_PROBE_LOAD))
    trouble.step = PCD_PROBE_STEP_ARCH;
  if (!run_kinds (result, options ? options : &defaults, &trouble, error))
    return NULL;
  result->verdict = pcd_probe_judge (result->faults, &trouble, &result->how, &result->reason);
  result->total_usec = g_get_monotonic_time () - start;
  return g_steal_pointer (&result);
}
