/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fault-guest KIND COMMAND: lets the probe's guest run into a missing page, runs COMMAND with its
 * process id appended while it waits there, and then finds out what a signal and a debugger really
 * do to it. Prints `kickable=yes|no traceable=yes|no`. Knows kinds that the probe does not need.
 * fault-guest trace TID: prints the latter of any thread. */
#define pcd_probe_arch_fill     probe_fill
#define pcd_probe_arch_finished probe_finished
#include "../../../daemon/host/pcd-probe-x86.c"
#undef pcd_probe_arch_fill
#undef pcd_probe_arch_finished

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MSR_SYSTEM_TIME 0x4b564d01 /* KVM_FEATURE_CLOCKSOURCE2: pvclock */
#define MSR_STEAL_TIME  0x4b564d03
#define MISSING         (PCD_PROBE_MISSING_PAGE * 4096)
#define LATE_MSEC       3000 /* what works takes milliseconds, under emulation too */

static const struct {
  const char *word;
  PcdProbeKind kind;
  uint32_t msr; /* the guest gives KVM the missing page for this */
  bool mmio;    /* the guest copies to the missing page from where no memory is */
} kinds[] = {
  { "load", PCD_PROBE_LOAD, 0 },
  { "store", PCD_PROBE_STORE, 0 },
  { "fetch", PCD_PROBE_FETCH, 0 },
  { "kernel-read", PCD_PROBE_KERNEL_READ, 0 },
  { "pvclock", PCD_PROBE_LOAD, MSR_SYSTEM_TIME },
  { "steal-time", PCD_PROBE_LOAD, MSR_STEAL_TIME },
  { "mmio", PCD_PROBE_LOAD, .mmio = true },
};

static uint32_t msr;
static bool mmio;

void
pcd_probe_arch_fill (uint8_t *memory, size_t page_size, PcdProbeKind kind)
{
  uint8_t code[] = {
    0xb9, 0,    0, 0, 0, /* mov ecx, msr */
    0xb8, 0,    0, 0, 0, /* mov eax, the page, enabled */
    0x31, 0xd2,          /* xor edx, edx */
    0x0f, 0x30,          /* wrmsr */
    0xeb, 0xfe,          /* and on: what is due is done at the next entry */
  };
  static const uint8_t copy[] = {
    0x89, 0xf7,             /* mov edi, esi: the probe's own operand, in the missing page */
    0xbe, 0,    0, 0x10, 0, /* mov esi, 1 MiB */
    0xa4,                   /* movsb */
    0xeb, 0xfe,
  };
  const uint32_t value = MISSING | 1;

  probe_fill (memory, page_size, kind);
  if (mmio)
    memcpy (memory + PCD_PROBE_CODE_PAGE * page_size, copy, sizeof copy);
  if (!msr)
    return;
  memcpy (code + 1, &msr, 4);
  memcpy (code + 6, &value, 4);
  memcpy (memory + PCD_PROBE_CODE_PAGE * page_size, code, sizeof code);
}

/* The MMIO read is answered, and the emulator goes on to the write. */
bool
pcd_probe_arch_finished (const struct kvm_run *run, uint8_t *ret_value)
{
  char path[32], target[32];

  if (!mmio || run->exit_reason != KVM_EXIT_MMIO)
    return probe_finished (run, ret_value);
  for (int fd = 0; fd < 16; fd++) {
    ssize_t n;

    snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
    n = readlink (path, target, sizeof target - 1);
    target[n < 0 ? 0 : n] = 0;
    if (!strncmp (target, "anon_inode:kvm-vcpu:", 20))
      ioctl (fd, KVM_RUN, 0);
  }
  return false;
}

static void
sleep_msec (int msec)
{
  const struct timespec t = { msec / 1000, msec % 1000 * 1000000L };

  nanosleep (&t, NULL);
}

static int
die (const char *what)
{
  perror (what);
  exit (1);
}

/* Returns the guest's process once it waits; the userfaultfd stays open until this one ends. */
static pid_t
start (PcdProbeKind kind, int *ret_socket)
{
  PcdProbeMessage message;
  char control[CMSG_SPACE (sizeof (int))];
  struct iovec data = { .iov_base = &message, .iov_len = sizeof message };
  struct msghdr header = {
    .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
  };
  struct pollfd fault = { .events = POLLIN };
  int pair[2], parent = getpid ();
  pid_t pid;

  if (socketpair (AF_UNIX, SOCK_SEQPACKET, 0, pair))
    die ("socketpair");
  pid = fork ();
  if (pid == 0)
    pcd_probe_guest_main (pair[1], parent, kind, "/dev/kvm", "/dev/userfaultfd",
                          PCD_PROBE_SABOTAGE_NONE);
  close (pair[1]);
  if (recvmsg (pair[0], &header, 0) != sizeof message || message.says != PCD_PROBE_SAYS_READY)
    die ("the guest's process");
  memcpy (&fault.fd, CMSG_DATA (CMSG_FIRSTHDR (&header)), sizeof (int));
  if (poll (&fault, 1, 20000) != 1)
    die ("the fault");
  sleep_msec (300);
  *ret_socket = pair[0];
  return pid;
}

static int
is_kickable (pid_t pid, int socket_fd)
{
  struct pollfd answer = { .fd = socket_fd, .events = POLLIN };

  kill (pid, SIGUSR1);
  return poll (&answer, 1, LATE_MSEC) == 1;
}

static int
is_traceable (pid_t pid)
{
  if (ptrace (PTRACE_SEIZE, pid, 0, 0) || ptrace (PTRACE_INTERRUPT, pid, 0, 0)) {
    if (errno == EPERM) /* we are root: it is a thread of the kernel */
      return 0;
    die ("ptrace");
  }
  for (int msec = 0; msec < LATE_MSEC; msec += 20) {
    if (waitpid (pid, NULL, WNOHANG | __WALL) == pid)
      return 1;
    sleep_msec (20);
  }
  return 0;
}

int
main (int argc, char **argv)
{
  char command[1024];
  int socket_fd, kickable, traceable;
  size_t i = 0;
  pid_t pid;

  if (argc == 3 && !strcmp (argv[1], "trace")) {
    printf ("traceable=%s\n", is_traceable (atoi (argv[2])) ? "yes" : "no");
    return 0;
  }
  while (argc == 3 && i < sizeof kinds / sizeof *kinds && strcmp (argv[1], kinds[i].word))
    i++;
  if (argc != 3 || i == sizeof kinds / sizeof *kinds) {
    fprintf (stderr, "usage: fault-guest KIND COMMAND\n");
    return 2;
  }
  msr = kinds[i].msr;
  mmio = kinds[i].mmio;
  pid = start (kinds[i].kind, &socket_fd);
  snprintf (command, sizeof command, "%s %d", argv[2], (int)pid);
  if (system (command))
    return 1;
  kickable = is_kickable (pid, socket_fd);
  kill (pid, SIGKILL);
  pid = start (kinds[i].kind, &socket_fd);
  traceable = is_traceable (pid);
  kill (pid, SIGKILL);
  printf ("kickable=%s traceable=%s\n", kickable ? "yes" : "no", traceable ? "yes" : "no");
  return 0;
}
