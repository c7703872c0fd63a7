/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads kernel stacks: who waits for a missing page, on which path, and what a signal would do.
 * Must not do I/O: every text comes with the evidence. */
#include "core/pcd-thread-class.h"

#include <glib/gi18n.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Linux cuts a stack off here: MAX_STACK_TRACE_DEPTH of fs/proc/base.c. */
#define STACK_DEPTH 64

#define KVM_RUN_REQUEST 0xae80

static const char *const answer_words[PCD_N_ANSWERS] = {
  [PCD_ANSWER_UNKNOWN] = "unknown",
  [PCD_ANSWER_NO] = "no",
  [PCD_ANSWER_YES] = "yes",
};

static const char *const path_words[PCD_N_FAULT_PATHS] = {
  [PCD_FAULT_PATH_UNKNOWN] = "unknown",
  [PCD_FAULT_PATH_NONE] = "none",
  [PCD_FAULT_PATH_KVM_SLOW] = "kvm-slow-page-fault",
  [PCD_FAULT_PATH_KERNEL_COPY] = "kernel-side-copy",
  [PCD_FAULT_PATH_USERSPACE] = "userspace-fault",
};

/* Where get_user_pages () and its relatives fault a page in; names of Linux 4.18 to 6.18. */
static const char *const gup_prefixes[] = {
  "get_user_page",        "__get_user_page",
  "pin_user_page",        "internal_get_user_pages",
  "faultin_page",         "gup_fast",
  "fixup_user_fault",     "__gup_longterm_locked",
  "__iov_iter_get_pages", "hva_to_pfn",
  "populate_vma_page",    "iov_iter_extract_pages",
  "iov_iter_get_pages",   NULL,
};

/* KVM's way from a guest's page fault to get_user_pages (): x86, arm64, RISC-V, s390, POWER. */
static const char *const kvm_fault_parts[] = {
  "hva_to_pfn",
  "gfn_to_pfn",
  "kvm_faultin_pfn",
  "kvm_follow_pfn",
  "try_async_pf",
  "mmu_page_fault",
  "direct_page_fault",
  "tdp_page_fault",
  "ept_page_fault",
  "paging64_page_fault",
  "paging32_page_fault",
  "user_mem_abort",
  "kvm_handle_guest_abort",
  "gstage_page_fault",
  "kvm_vcpu_ioctl",
  NULL,
};

/* Entry points of a page fault taken by the CPU, in user or in kernel mode. */
static const char *const trap_names[] = {
  "exc_page_fault",       "do_user_addr_fault", "page_fault",
  "async_page_fault",     "do_page_fault",      "__do_page_fault",
  "do_async_page_fault",  "___do_page_fault",   "handle_page_fault",
  "do_translation_fault", "do_mem_abort",       "hash__do_page_fault",
  "do_dat_exception",     "do_exception",       NULL,
};

/* What lies between such an entry and user mode: assembler and generic entry code. */
static const char *const trampoline_prefixes[] = {
  "asm_exc_",
  "el0_",
  "el0t_",
  "el0_sync",
  "ret_from_exception",
  "error_entry",
  "__do_pgm_check",
  "pgm_check_",
  "handle_exception",
  "data_access_",
  "instruction_access_",
  "irqentry_",
  NULL,
};

/* Proof that the CPU was in kernel mode when it took the fault. */
static const char *const kernel_mode_parts[] = {
  "kvm",        "syscall",      "entry_SYSCALL",  "el0_svc",    "el1_",     "el1h_",
  "__x64_sys_", "__arm64_sys_", "__se_sys_",      "copy_from_", "copy_to_", "copyin",
  "copyout",    "_copy_",       "setup_rt_frame", "fault_in_",  NULL,
};

/* A thread asleep in one of these is held by the freezer: kernel/signal.c, kernel/freezer.c. Where
 * the compiler put do_freezer_trap () into get_signal () (Linux 6.18), only the latter shows. The
 * other sleep that may be found there is a group stop, which has a state of its own (T). */
static const char *const freezer_names[] = { "do_freezer_trap", "get_signal", "__refrigerator",
                                             NULL };

const char *
pcd_answer_to_string (PcdAnswer answer)
{
  return (guint)answer < PCD_N_ANSWERS ? answer_words[answer] : "?";
}

const char *
pcd_fault_path_to_string (PcdFaultPath path)
{
  return (guint)path < PCD_N_FAULT_PATHS ? path_words[path] : "?";
}

PcdAnswer
pcd_answer_all (PcdAnswer one, PcdAnswer other)
{
  if (one == PCD_ANSWER_NO || other == PCD_ANSWER_NO)
    return PCD_ANSWER_NO;
  return one == PCD_ANSWER_UNKNOWN ? one : other;
}

/* Frames, innermost first. */
typedef struct {
  char **names;
  guint n_names;
} Stack;

static void
stack_clear (Stack *stack)
{
  g_strfreev (stack->names);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Stack, stack_clear)

/* `[<0>] kvm_faultin_pfn.constprop.0+0x1a/0x80 [kvm]` is kvm_faultin_pfn. The compiler's suffixes
 * differ from build to build. */
static Stack
stack_parse (const char *text)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_auto (GStrv) lines = g_strsplit (text ? text : "", "\n", -1);

  for (guint i = 0; lines[i]; i++) {
    const char *name = strstr (lines[i], "] ");
    name = name ? name + 2 : lines[i];
    gsize length = strcspn (name, "+. \t");
    if (length > 0)
      g_ptr_array_add (names, g_strndup (name, length));
  }
  Stack stack = { .n_names = names->len };
  g_ptr_array_add (names, NULL);
  stack.names = (char **)g_ptr_array_free (g_steal_pointer (&names), FALSE);
  return stack;
}

static gboolean
is_named (const char *name, const char *const *list)
{
  return g_strv_contains (list, name);
}

static gboolean
has_prefix_of (const char *name, const char *const *list)
{
  for (guint i = 0; list[i]; i++)
    if (g_str_has_prefix (name, list[i]))
      return TRUE;
  return FALSE;
}

static gboolean
has_part_of (const char *name, const char *const *list)
{
  for (guint i = 0; list[i]; i++)
    if (strstr (name, list[i]))
      return TRUE;
  return FALSE;
}

/* Index of the frame, or n_names. */
static guint
stack_find_userfault (const Stack *stack)
{
  guint i = 0;

  while (i < stack->n_names && !g_str_equal (stack->names[i], "handle_userfault"))
    i++;
  return i;
}

static gboolean
stack_shows_fault (const char *text)
{
  g_auto (Stack) stack = stack_parse (text);

  for (guint i = 0; i < stack.n_names; i++)
    if (is_named (stack.names[i], trap_names) || g_str_equal (stack.names[i], "handle_mm_fault") ||
        has_prefix_of (stack.names[i], gup_prefixes))
      return TRUE;
  return FALSE;
}

static gboolean
any_frame_has_part (const Stack *stack, guint from, const char *const *list)
{
  for (guint i = from; i < stack->n_names; i++)
    if (has_part_of (stack->names[i], list))
      return TRUE;
  return FALSE;
}

/* Kernel or user mode? @from is the first frame outside the trap's own entry. Where the frames are
 * neither trampolines only nor known as kernel mode, the answer is that we do not know. */
static PcdFaultPath
path_of_trap (const Stack *stack, guint from)
{
  guint i = from;

  if (any_frame_has_part (stack, from, kernel_mode_parts))
    return PCD_FAULT_PATH_KERNEL_COPY;
  while (i < stack->n_names && (has_prefix_of (stack->names[i], trampoline_prefixes) ||
                                is_named (stack->names[i], trap_names)))
    i++;
  return i == stack->n_names && i < STACK_DEPTH ? PCD_FAULT_PATH_USERSPACE : PCD_FAULT_PATH_UNKNOWN;
}

/* From handle_userfault () outwards, whichever comes first decides: get_user_pages () or a trap. */
static PcdFaultPath
path_of_stack (const char *text)
{
  g_auto (Stack) stack = stack_parse (text);

  for (guint i = stack_find_userfault (&stack); i < stack.n_names; i++) {
    if (is_named (stack.names[i], trap_names))
      return path_of_trap (&stack, i + 1);
    if (has_prefix_of (stack.names[i], gup_prefixes)) {
      if (any_frame_has_part (&stack, i, kvm_fault_parts))
        return PCD_FAULT_PATH_KVM_SLOW;
      return stack.n_names < STACK_DEPTH ? PCD_FAULT_PATH_KERNEL_COPY : PCD_FAULT_PATH_UNKNOWN;
    }
  }
  return PCD_FAULT_PATH_UNKNOWN;
}

/* The next best without a stack: was it in a system call at all, and in which? Only
 * get_user_pages () without FOLL_INTERRUPTIBLE sleeps in state D, so D inside KVM_RUN is clear. */
static PcdFaultPath
path_of_syscall (const PcdThreadSample *sample)
{
  int fd;

  if (!sample->syscall || g_str_has_prefix (sample->syscall, "running"))
    return PCD_FAULT_PATH_UNKNOWN;
  if (g_str_has_prefix (sample->syscall, "-1 "))
    return PCD_FAULT_PATH_USERSPACE;
  if (!pcd_thread_syscall_is_kvm_run (sample->syscall, &fd))
    return PCD_FAULT_PATH_KERNEL_COPY;
  return sample->state == 'D' ? PCD_FAULT_PATH_KVM_SLOW : PCD_FAULT_PATH_UNKNOWN;
}

gboolean
pcd_thread_sample_in_userfault (const PcdThreadSample *sample)
{
  if (sample->wchan && g_str_has_prefix (sample->wchan, "handle_userfault"))
    return TRUE;
  g_auto (Stack) stack = stack_parse (sample->stack);
  return stack_find_userfault (&stack) < stack.n_names;
}

gboolean
pcd_thread_sample_is_running (const PcdThreadSample *sample)
{
  return sample->state == 'R' || (sample->syscall && g_str_has_prefix (sample->syscall, "running"));
}

gboolean
pcd_thread_syscall_is_kvm_run (const char *text, int *ret_fd)
{
  unsigned long number, fd, request, stack_pointer, counter;

  if (!text ||
      sscanf (text, "%lu 0x%lx 0x%lx 0x%*x 0x%*x 0x%*x 0x%*x 0x%lx 0x%lx", &number, &fd, &request,
              &stack_pointer, &counter) != 5 ||
      request != KVM_RUN_REQUEST || fd > G_MAXINT)
    return FALSE;
  /* KVM's worker threads (kvm-nx-lpage-recovery is a thread of QEMU since 6.14) show the registers
   * of the vCPU that made them, but have no user mode. */
  if (stack_pointer == 0 && counter == 0)
    return FALSE;
  *ret_fd = (int)fd;
  return TRUE;
}

gboolean
pcd_thread_name_to_vcpu (const char *comm, int *ret_vcpu)
{
  char *end = NULL;

  if (comm && g_str_has_prefix (comm, "ALL CPUs/")) {
    *ret_vcpu = -1;
    return TRUE;
  }
  if (!comm || !g_str_has_prefix (comm, "CPU ") || !g_ascii_isdigit (comm[4]))
    return FALSE;
  unsigned long index = strtoul (comm + 4, &end, 10);
  if (*end != '/' || index > G_MAXINT)
    return FALSE;
  *ret_vcpu = (int)index;
  return TRUE;
}

static void
find_vcpu (const PcdThreadEvidence *evidence, PcdThreadClass *class)
{
  int named = -1;
  gboolean has_name = pcd_thread_name_to_vcpu (evidence->comm, &named);

  class->is_vcpu = has_name || evidence->vcpu_fd >= 0;
  class->vcpu = evidence->vcpu_fd >= 0 ? evidence->vcpu_fd : named;
  class->vcpu_disputed = has_name && evidence->vcpu_fd >= 0 && named != evidence->vcpu_fd;
}

static void
set_answers (PcdThreadClass *class, PcdAnswer kickable, PcdAnswer traceable, const char *reason)
{
  class->kickable = kickable;
  class->traceable = traceable;
  class->reason = reason;
}

/* What the samples that show handle_userfault () say taken together. */
typedef struct {
  guint n;
  gboolean slept;   /* S */
  gboolean deep;    /* D */
  gboolean running; /* R: signalled, or about to sleep or wake */
  PcdFaultPath path;
} FaultView;

static FaultView
view_faults (const PcdThreadEvidence *evidence)
{
  FaultView view = { .path = PCD_FAULT_PATH_UNKNOWN };

  for (guint i = 0; i < evidence->n_samples; i++) {
    const PcdThreadSample *sample = &evidence->samples[i];
    if (!pcd_thread_sample_in_userfault (sample))
      continue;
    PcdFaultPath path = path_of_stack (sample->stack);
    if (path == PCD_FAULT_PATH_UNKNOWN && !(sample->stack && *sample->stack))
      path = path_of_syscall (sample);
    if (path != PCD_FAULT_PATH_UNKNOWN)
      view.path = path;
    view.n++;
    if (pcd_thread_sample_is_running (sample))
      view.running = TRUE;
    else if (sample->state == 'D')
      view.deep = TRUE;
    else
      view.slept = TRUE;
  }
  return view;
}

static void
classify_slow (const FaultView *view, PcdThreadClass *class)
{
  if (view->deep)
    set_answers (class, PCD_ANSWER_NO, PCD_ANSWER_NO,
                 _ ("waits for a missing page; this kernel lets no signal through (state D)"));
  else if (view->slept)
    set_answers (class, PCD_ANSWER_YES, PCD_ANSWER_YES,
                 _ ("waits for a missing page; this kernel lets signals through (state S)"));
  else
    set_answers (class, PCD_ANSWER_UNKNOWN, PCD_ANSWER_UNKNOWN,
                 _ ("was just entering or leaving its wait for a missing page; look again"));
}

static void
classify_unknown_path (const PcdThreadEvidence *evidence,
                       const FaultView *view,
                       PcdThreadClass *class)
{
  /* Whatever the path, nothing but a fatal signal ends a state D. */
  if (view->deep)
    set_answers (class, PCD_ANSWER_NO, PCD_ANSWER_NO, _ ("waits for a missing page in state D"));
  else if (evidence->no_stack)
    set_answers (class, PCD_ANSWER_UNKNOWN, PCD_ANSWER_UNKNOWN,
                 _ ("waits for a missing page; seeing on which path needs CAP_SYS_ADMIN"));
  else
    set_answers (class, PCD_ANSWER_UNKNOWN, PCD_ANSWER_UNKNOWN,
                 _ ("waits for a missing page; its stack shows no path that is known"));
}

static void
classify_blocked (const PcdThreadEvidence *evidence, const FaultView *view, PcdThreadClass *class)
{
  class->blocked = PCD_ANSWER_YES;
  class->path = view->path;
  switch (view->path) {
  case PCD_FAULT_PATH_KVM_SLOW:
    classify_slow (view, class);
    break;
  case PCD_FAULT_PATH_KERNEL_COPY:
    class->spinning = view->running;
    set_answers (class, PCD_ANSWER_NO, PCD_ANSWER_NO,
                 view->running
                     ? _ ("the kernel copies from or to a missing page, was signalled, and now "
                          "spins until the page is there")
                     : _ ("the kernel copies from or to a missing page; signals do not end that"));
    break;
  case PCD_FAULT_PATH_USERSPACE:
    set_answers (
        class, PCD_ANSWER_NO, view->deep ? PCD_ANSWER_NO : PCD_ANSWER_YES,
        _ ("QEMU's own code touched a missing page; a signal is taken, but it faults again"));
    break;
  default:
    classify_unknown_path (evidence, view, class);
  }
}

static gboolean
is_frozen (const PcdThreadSample *sample)
{
  g_auto (Stack) stack = stack_parse (sample->stack);

  return (sample->wchan && has_prefix_of (sample->wchan, freezer_names)) ||
         (stack.n_names > 0 && is_named (stack.names[0], freezer_names));
}

/* Not so in a kernel without CONFIG_KALLSYMS, and for a thread that is just going to sleep. */
static gboolean
shows_place (const PcdThreadSample *sample)
{
  return (sample->wchan && *sample->wchan && !g_str_equal (sample->wchan, "0")) ||
         (sample->stack && *sample->stack);
}

typedef enum { LOOK_BLANK, LOOK_CLEAR, LOOK_FAULTING } Look;

/* A spinning thread never leaves the page fault handler, so one stack without it is an acquittal.
 * No stack at all is none: a thread on a CPU shows an empty one, a healthy vCPU as well as one that
 * spins. The last sample that shows anything has the say. */
static Look
look_at_all (const PcdThreadEvidence *evidence)
{
  Look look = LOOK_BLANK;

  for (guint i = 0; i < evidence->n_samples; i++) {
    const PcdThreadSample *sample = &evidence->samples[i];
    if (stack_shows_fault (sample->stack))
      look = LOOK_FAULTING;
    else if (shows_place (sample))
      look = LOOK_CLEAR;
  }
  return look;
}

static void
classify_without_place (const PcdThreadEvidence *evidence, PcdThreadClass *class)
{
  Look look = look_at_all (evidence);

  if (look == LOOK_CLEAR) {
    class->blocked = PCD_ANSWER_NO;
    class->path = PCD_FAULT_PATH_NONE;
    set_answers (class, PCD_ANSWER_YES, PCD_ANSWER_YES, _ ("runs, or was just going to sleep"));
  } else if (evidence->samples[evidence->n_samples - 1].state == 'D')
    set_answers (class, PCD_ANSWER_NO, PCD_ANSWER_NO,
                 _ ("is in an uninterruptible sleep; what for does not show"));
  else if (look == LOOK_FAULTING)
    set_answers (class, PCD_ANSWER_UNKNOWN, PCD_ANSWER_UNKNOWN,
                 _ ("handles a page fault right now; it may spin on a missing page"));
  else if (evidence->no_stack)
    set_answers (class, PCD_ANSWER_UNKNOWN, PCD_ANSWER_UNKNOWN,
                 _ ("runs, or spins on a missing page; telling which needs CAP_SYS_ADMIN"));
  else
    set_answers (class, PCD_ANSWER_UNKNOWN, PCD_ANSWER_UNKNOWN,
                 _ ("runs, or spins on a missing page; the kernel does not show where"));
}

static void
classify_free (const PcdThreadEvidence *evidence, PcdThreadClass *class)
{
  const PcdThreadSample *last = &evidence->samples[evidence->n_samples - 1];

  class->blocked = PCD_ANSWER_NO;
  class->path = PCD_FAULT_PATH_NONE;
  if (last->state == 'Z' || last->state == 'X')
    set_answers (class, PCD_ANSWER_YES, PCD_ANSWER_NO, _ ("has ended"));
  else if (last->state == 't')
    set_answers (class, PCD_ANSWER_NO, PCD_ANSWER_NO, _ ("is held by a debugger"));
  else if (last->state == 'T')
    set_answers (class, PCD_ANSWER_NO, PCD_ANSWER_YES,
                 _ ("is stopped by a signal (SIGCONT ends that)"));
  else if (is_frozen (last))
    set_answers (class, PCD_ANSWER_NO, PCD_ANSWER_NO, _ ("is frozen by its cgroup"));
  else if (last->state == 'D')
    set_answers (class, PCD_ANSWER_NO, PCD_ANSWER_NO,
                 _ ("is in an uninterruptible sleep, but not for a missing page"));
  else
    set_answers (class, PCD_ANSWER_YES, PCD_ANSWER_YES, _ ("sleeps, not for a missing page"));
}

PcdThreadClass
pcd_thread_classify (const PcdThreadEvidence *evidence)
{
  PcdThreadClass class = { .vcpu = -1, .path = PCD_FAULT_PATH_UNKNOWN, .reason = _ ("no samples") };

  find_vcpu (evidence, &class);
  if (evidence->n_samples == 0)
    return class;
  FaultView view = view_faults (evidence);
  const PcdThreadSample *last = &evidence->samples[evidence->n_samples - 1];
  gboolean ended_or_held = last->state && strchr ("ZXTt", last->state);

  if (view.n > 0 && !ended_or_held)
    classify_blocked (evidence, &view, &class);
  else if (ended_or_held)
    classify_free (evidence, &class);
  else if (evidence->no_ptrace)
    set_answers (&class, PCD_ANSWER_UNKNOWN, PCD_ANSWER_UNKNOWN,
                 _ ("seeing what it waits for needs CAP_SYS_PTRACE or QEMU's own user"));
  else if (pcd_thread_sample_is_running (last) || !shows_place (last))
    classify_without_place (evidence, &class);
  else
    classify_free (evidence, &class);
  if (evidence->traced && class.traceable == PCD_ANSWER_YES) {
    class.traceable = PCD_ANSWER_NO;
    class.reason = _ ("is traced by a debugger already");
  }
  return class;
}
