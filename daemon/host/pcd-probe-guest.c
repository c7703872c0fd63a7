/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process that runs the probe's guest into a missing page. Only async-signal-safe calls, no
 * GLib; must not know what is made of the outcome. */
#include "host/pcd-probe-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CPU_SECONDS 10

typedef struct {
  int socket;
  int kvm;
  int uffd;
  int vm;
  int vcpu;
  PcdProbeKind kind;
  uint8_t *memory;
  size_t page_size;
  struct kvm_run *run;
} Guest;

/* A signal handler can only be told by a global; it lives in the forked process alone. */
static struct kvm_run *kicked_run;
static volatile sig_atomic_t kicked;

#if !defined(__x86_64__) && !defined(__aarch64__)
bool
pcd_probe_arch_has (PcdProbeKind kind)
{
  return false;
}

unsigned long
pcd_probe_arch_vm_type (int kvm)
{
  return 0;
}

void
pcd_probe_arch_fill (uint8_t *memory, size_t page_size, PcdProbeKind kind)
{
}

void
pcd_probe_arch_fill_missing (uint8_t *page)
{
}

int
pcd_probe_arch_set_up (int kvm, int vm, int vcpu, size_t page_size, PcdProbeKind kind)
{
  errno = ENOSYS;
  return -1;
}

bool
pcd_probe_arch_finished (const struct kvm_run *run, uint8_t *ret_value)
{
  return false;
}
#endif

uint8_t
pcd_probe_guest_expected (PcdProbeKind kind)
{
  switch (kind) {
  case PCD_PROBE_STORE:
    return PCD_PROBE_STORED;
  case PCD_PROBE_FETCH:
    return PCD_PROBE_FETCHED;
  case PCD_PROBE_LOAD:
  case PCD_PROBE_KERNEL_READ:
  case PCD_N_PROBE_KINDS:
    break;
  }
  return PCD_PROBE_LOADED;
}

static void
say (int socket_fd, const PcdProbeMessage *message)
{
  /* Nobody listens any more: nothing is left to do. */
  if (send (socket_fd, message, sizeof *message, MSG_NOSIGNAL) != (ssize_t)sizeof *message)
    _exit (1);
}

__attribute__ ((noreturn)) static void
fail (const Guest *guest, PcdProbeStep step, int err)
{
  const PcdProbeMessage message = {
    .says = PCD_PROBE_SAYS_FAILED,
    .step = step,
    .err = err,
    .seccomp = prctl (PR_GET_SECCOMP) > 0,
  };

  say (guest->socket, &message);
  _exit (1);
}

/* The only copy of the userfaultfd goes to the watcher. */
static void
say_ready (Guest *guest)
{
  PcdProbeMessage message = {
    .says = PCD_PROBE_SAYS_READY,
    .missing = (uint64_t)(uintptr_t)guest->memory + PCD_PROBE_MISSING_PAGE * guest->page_size,
    .page_size = guest->page_size,
  };
  union {
    char bytes[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control;
  struct iovec data = { .iov_base = &message, .iov_len = sizeof message };
  struct msghdr header = { .msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes };
  struct cmsghdr *rights;

  memset (&control, 0, sizeof control);
  rights = CMSG_FIRSTHDR (&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN (sizeof (int));
  memcpy (CMSG_DATA (rights), &guest->uffd, sizeof (int));
  if (sendmsg (guest->socket, &header, MSG_NOSIGNAL) < 0)
    _exit (1);
  close (guest->uffd);
  guest->uffd = -1;
}

static void
on_kick (int signal_number)
{
  kicked = 1;
  kicked_run->immediate_exit = 1;
}

static void
close_all_but_socket (Guest *guest, int socket_fd)
{
  /* 0 stays for the socket; 1 and 2 go too: a reader of our parent's output must not wait for us.
   */
  guest->socket = dup2 (socket_fd, 0);
  if (close_range (1, ~0U, 0) == 0)
    return;
  for (int fd = 1; fd < 4096; fd++)
    close (fd);
}

static void
leave_parent (Guest *guest, int socket_fd, int parent)
{
  const struct rlimit cpu = { .rlim_cur = CPU_SECONDS, .rlim_max = CPU_SECONDS };
  const struct rlimit none = { 0 };
  sigset_t all;

  sigfillset (&all);
  sigprocmask (SIG_SETMASK, &all, NULL);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent) /* it died before prctl */
    _exit (1);
  prctl (PR_SET_NAME, "pcd-probe");
  setsid ();
  /* Against a parent that is stopped: a spinning vCPU does not burn for ever. */
  setrlimit (RLIMIT_CPU, &cpu);
  setrlimit (RLIMIT_CORE, &none);
  close_all_but_socket (guest, socket_fd);
  /* The parent's handlers must not run here. */
  for (int i = 1; i < NSIG; i++)
    signal (i, SIG_DFL);
}

static void
misbehave (PcdProbeSabotage sabotage)
{
  if (sabotage == PCD_PROBE_SABOTAGE_EXIT)
    _exit (3);
  if (sabotage == PCD_PROBE_SABOTAGE_STOP)
    raise (SIGSTOP);
  while (sabotage == PCD_PROBE_SABOTAGE_SPIN)
    continue;
  while (sabotage == PCD_PROBE_SABOTAGE_SILENT || sabotage == PCD_PROBE_SABOTAGE_STOP)
    pause ();
}

static void
set_up_signals (PcdProbeSabotage sabotage)
{
  struct sigaction action;
  sigset_t set;

  memset (&action, 0, sizeof action);
  action.sa_handler = on_kick;
  sigaction (SIGUSR1, &action, NULL);
  sigemptyset (&set);
  if (sabotage == PCD_PROBE_SABOTAGE_DEAF)
    sigaddset (&set, SIGUSR1);
  sigprocmask (SIG_SETMASK, &set, NULL);
}

static void
set_up_memory (Guest *guest)
{
  size_t size;

  guest->page_size = (size_t)sysconf (_SC_PAGESIZE);
  size = PCD_PROBE_N_PAGES * guest->page_size;
  guest->memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (guest->memory == MAP_FAILED)
    fail (guest, PCD_PROBE_STEP_MEMORY, errno);
  /* A huge page would bring in the missing page with the rest. */
  (void)madvise (guest->memory, size, MADV_NOHUGEPAGE);
  for (size_t i = 0; i < PCD_PROBE_N_PAGES; i++)
    if (i != PCD_PROBE_MISSING_PAGE)
      memset (guest->memory + i * guest->page_size, 0, guest->page_size);
  pcd_probe_arch_fill (guest->memory, guest->page_size, guest->kind);
}

/* The device is the newer way (Linux 6.1), and needs no more than the file's permission. Never
 * UFFD_USER_MODE_ONLY: what an unprivileged process gets, but KVM's faults are in kernel mode. */
static int
open_userfaultfd (const char *path)
{
  int device = open (path, O_RDWR | O_CLOEXEC);

  if (device >= 0) {
    int uffd = ioctl (device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    close (device);
    if (uffd >= 0)
      return uffd;
  }
  return (int)syscall (SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
}

static void
set_up_userfaultfd (Guest *guest, const char *path)
{
  struct uffdio_api api = { .api = UFFD_API };
  struct uffdio_register missing = { .mode = UFFDIO_REGISTER_MODE_MISSING };

  guest->uffd = open_userfaultfd (path);
  if (guest->uffd < 0)
    fail (guest, PCD_PROBE_STEP_USERFAULTFD, errno);
  missing.range.start =
      (uint64_t)(uintptr_t)guest->memory + PCD_PROBE_MISSING_PAGE * guest->page_size;
  missing.range.len = guest->page_size;
  if (ioctl (guest->uffd, UFFDIO_API, &api) || ioctl (guest->uffd, UFFDIO_REGISTER, &missing))
    fail (guest, PCD_PROBE_STEP_REGISTER, errno);
}

static void
set_up_vm (Guest *guest)
{
  const struct kvm_userspace_memory_region slot = {
    .memory_size = PCD_PROBE_N_PAGES * guest->page_size,
    .userspace_addr = (uint64_t)(uintptr_t)guest->memory,
  };
  int run_size = ioctl (guest->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

  guest->vm = ioctl (guest->kvm, KVM_CREATE_VM, pcd_probe_arch_vm_type (guest->kvm));
  if (guest->vm < 0 || ioctl (guest->vm, KVM_SET_USER_MEMORY_REGION, &slot))
    fail (guest, PCD_PROBE_STEP_VM, errno);
  guest->vcpu = ioctl (guest->vm, KVM_CREATE_VCPU, 0);
  if (guest->vcpu < 0 || run_size < 0)
    fail (guest, PCD_PROBE_STEP_VCPU, errno);
  guest->run = mmap (NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, guest->vcpu, 0);
  if (guest->run == MAP_FAILED)
    fail (guest, PCD_PROBE_STEP_VCPU, errno);
  if (pcd_probe_arch_set_up (guest->kvm, guest->vm, guest->vcpu, guest->page_size, guest->kind))
    fail (guest, PCD_PROBE_STEP_VCPU, errno);
}

/* Tells that a kick got us out, and waits until the watcher wants the fault retried. */
static void
say_interrupted (Guest *guest, int64_t nsec)
{
  const PcdProbeMessage message = { .says = PCD_PROBE_SAYS_INTERRUPTED, .nsec = nsec };
  ssize_t n;
  char go;

  say (guest->socket, &message);
  do
    n = recv (guest->socket, &go, 1, 0);
  while (n < 0 && errno == EINTR);
  if (n != 1)
    _exit (1);
  kicked = 0;
  guest->run->immediate_exit = 0;
}

__attribute__ ((noreturn)) static void
run (Guest *guest)
{
  PcdProbeMessage message = { .says = PCD_PROBE_SAYS_FINISHED };
  struct timespec now;
  uint8_t value;

  for (;;) {
    int rc = ioctl (guest->vcpu, KVM_RUN, 0);
    int err = rc < 0 ? errno : 0;

    clock_gettime (CLOCK_MONOTONIC, &now);
    if (kicked && err == EINTR)
      say_interrupted (guest, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    else if (err && err != EINTR && err != EAGAIN)
      fail (guest, PCD_PROBE_STEP_RUN, err);
    else if (!err)
      break;
  }
  if (!pcd_probe_arch_finished (guest->run, &value))
    fail (guest, PCD_PROBE_STEP_RUN, 0);
  message.value = value;
  say (guest->socket, &message);
  _exit (0);
}

void
pcd_probe_guest_main (int socket_fd,
                      int parent,
                      PcdProbeKind kind,
                      const char *kvm_path,
                      const char *uffd_path,
                      PcdProbeSabotage sabotage)
{
  Guest guest = { .kind = kind, .uffd = -1, .vm = -1, .vcpu = -1 };

  leave_parent (&guest, socket_fd, parent);
  misbehave (sabotage);
  guest.kvm = open (kvm_path, O_RDWR | O_CLOEXEC);
  if (guest.kvm < 0)
    fail (&guest, PCD_PROBE_STEP_OPEN_KVM, errno);
  if (ioctl (guest.kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
    fail (&guest, PCD_PROBE_STEP_OPEN_KVM, errno ? errno : EPROTO);
  set_up_memory (&guest);
  set_up_userfaultfd (&guest, uffd_path);
  set_up_vm (&guest);
  kicked_run = guest.run;
  set_up_signals (sabotage);
  say_ready (&guest);
  run (&guest);
}
