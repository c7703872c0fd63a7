/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decides from texts of /proc whether a thread waits for a missing page, and what still reaches it.
 * Pure: must not read /proc, a clock, or know how the texts were come by. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdAnswer:
 * @PCD_ANSWER_UNKNOWN: the evidence does not tell; never to be treated as yes
 */
typedef enum {
  PCD_ANSWER_UNKNOWN,
  PCD_ANSWER_NO,
  PCD_ANSWER_YES,
  PCD_N_ANSWERS,
} PcdAnswer;

/**
 * PcdFaultPath:
 * @PCD_FAULT_PATH_UNKNOWN: blocked, or perhaps so, on a path that the evidence does not show
 * @PCD_FAULT_PATH_NONE: not blocked
 * @PCD_FAULT_PATH_KVM_SLOW: `kvm-slow-page-fault`: KVM pins the page with get_user_pages () for a
 *   fault of the guest. Sleeps in state S where the kernel lets signals through (x86, since
 *   766576874b97 in Linux 6.2), in state D where not; so the state tells and the version does not
 * @PCD_FAULT_PATH_KERNEL_COPY: `kernel-side-copy`: the kernel itself touches the page, be it KVM on
 *   behalf of the guest or a system call of QEMU. Sleeps in state S, yet no signal gets it out
 *   before the page is there: fault_signal_pending () lets only fatal ones through in kernel mode
 * @PCD_FAULT_PATH_USERSPACE: `userspace-fault`: user-mode code of QEMU touches the page: TCG,
 * device emulation, the main thread
 */
typedef enum {
  PCD_FAULT_PATH_UNKNOWN,
  PCD_FAULT_PATH_NONE,
  PCD_FAULT_PATH_KVM_SLOW,
  PCD_FAULT_PATH_KERNEL_COPY,
  PCD_FAULT_PATH_USERSPACE,
  PCD_N_FAULT_PATHS,
} PcdFaultPath;

/**
 * PcdThreadSample:
 * @state: letter of /proc/PID/task/TID/stat: R S D T t Z X I
 * @wchan: (nullable): text of `wchan`; `0` for a running thread *and* for lack of ptrace access
 * @stack: (nullable): text of `stack`; empty while the thread is on a CPU, %NULL if not read
 * @syscall: (nullable): text of `syscall`: `running`, `-1 SP PC` outside a system call, or its
 * number and arguments; %NULL if not read
 *
 * What was seen at one moment. The texts are read one after another, so they may disagree.
 */
typedef struct {
  char state;
  const char *wchan;
  const char *stack;
  const char *syscall;
} PcdThreadSample;

/**
 * PcdThreadEvidence:
 * @comm: the thread's name, a hint only: a process may rename its threads
 * @vcpu_fd: index N of `anon_inode:kvm-vcpu:N` whose KVM_RUN the thread was seen in, else -1
 * @traced: a debugger is attached to the thread already
 * @no_ptrace: `syscall` was refused, so a `wchan` of `0` means nothing (ptrace access missing)
 * @no_stack: `stack` was refused (CAP_SYS_ADMIN missing)
 * @samples: oldest first
 */
typedef struct {
  const char *comm;
  int vcpu_fd;
  gboolean traced;
  gboolean no_ptrace;
  gboolean no_stack;
  const PcdThreadSample *samples;
  guint n_samples;
} PcdThreadEvidence;

/**
 * PcdThreadClass:
 * @is_vcpu: runs a vCPU, by its file descriptor or else by its name
 * @vcpu: index of the vCPU, -1 if none or not known
 * @vcpu_disputed: name and file descriptor contradict each other; @vcpu is the descriptor's
 * @blocked: waits for a missing page (was so in at least one sample)
 * @spinning: blocked, and signalled since: burns a CPU until the page is there
 * @path: how it came to wait
 * @kickable: QMP `stop` gets past this thread now. For a vCPU: a signal gets it out of KVM_RUN. For
 *   any other thread: it is not one that `stop` would have to wait for in vain
 * @traceable: the thread can enter a ptrace stop now
 * @reason: one clause for people, a static string
 */
typedef struct {
  gboolean is_vcpu;
  int vcpu;
  gboolean vcpu_disputed;
  PcdAnswer blocked;
  gboolean spinning;
  PcdFaultPath path;
  PcdAnswer kickable;
  PcdAnswer traceable;
  const char *reason;
} PcdThreadClass;

/* Static strings: `yes`, `no`, `unknown`; the words above. "?" for a value out of range. */
const char *pcd_answer_to_string (PcdAnswer answer);
const char *pcd_fault_path_to_string (PcdFaultPath path);

/**
 * pcd_answer_all:
 *
 * Returns: no if one of the two is no, else unknown if one is unknown, else yes
 */
PcdAnswer pcd_answer_all (PcdAnswer one, PcdAnswer other);

/**
 * pcd_thread_classify:
 * @evidence: at least one sample
 *
 * The rules are those measured with QEMU 7.2 on Linux 6.1, 6.12 and 6.18;
 * tests/unit/fixtures/threads holds the recordings.
 */
PcdThreadClass pcd_thread_classify (const PcdThreadEvidence *evidence);

/**
 * pcd_thread_sample_in_userfault:
 *
 * Returns: %TRUE if the sample shows the thread in handle_userfault ()
 */
gboolean pcd_thread_sample_in_userfault (const PcdThreadSample *sample);

/**
 * pcd_thread_sample_is_running:
 *
 * Returns: %TRUE if the thread was on a CPU or waiting for one, as a spinning thread always is: it
 *   may then show state S (it set that state, but has a signal pending) with a `wchan` of `0`
 */
gboolean pcd_thread_sample_is_running (const PcdThreadSample *sample);

/**
 * pcd_thread_syscall_is_kvm_run:
 * @text: (nullable): text of `syscall`
 * @ret_fd: (out): the descriptor that KVM_RUN was called on
 *
 * KVM_RUN is `_IO (KVMIO, 0x80)`, 0xae80 on every architecture but those that number ioctls
 * otherwise (powerpc, mips, sparc), where no vCPU is found this way.
 */
gboolean pcd_thread_syscall_is_kvm_run (const char *text, int *ret_fd);

/**
 * pcd_thread_name_to_vcpu:
 * @comm: `CPU N/KVM`, `CPU N/TCG` or, with one thread for all, `ALL CPUs/TCG` (QEMU's
 *   accel/kvm/kvm-accel-ops.c, accel/tcg/tcg-accel-ops-{mttcg,rr}.c)
 * @ret_vcpu: (out): the index, -1 for `ALL CPUs`
 *
 * Returns: %TRUE if that is a vCPU's name
 */
gboolean pcd_thread_name_to_vcpu (const char *comm, int *ret_vcpu);

G_END_DECLS
