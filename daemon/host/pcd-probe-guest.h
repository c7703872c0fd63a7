/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The probe's guest: the smallest KVM guest that runs into a missing page, and what its process
 * tells the one that watches it. Free of GLib: it runs after a fork, and cross-compiles alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kvm_run;

/**
 * PcdProbeKind:
 * @PCD_PROBE_LOAD: the guest reads a missing page
 * @PCD_PROBE_STORE: the guest writes to one
 * @PCD_PROBE_FETCH: the guest executes one
 * @PCD_PROBE_KERNEL_READ: the kernel reads one on behalf of the guest
 *
 * The ways of a vCPU into a missing page.
 */
typedef enum {
  PCD_PROBE_LOAD,
  PCD_PROBE_STORE,
  PCD_PROBE_FETCH,
  PCD_PROBE_KERNEL_READ,
  PCD_N_PROBE_KINDS,
} PcdProbeKind;

/**
 * PcdProbeStep: what the guest's process was doing when it failed.
 * @PCD_PROBE_STEP_NONE: nothing failed
 * @PCD_PROBE_STEP_ARCH: no guest was written for this architecture
 * @PCD_PROBE_STEP_OPEN_KVM: opening /dev/kvm
 * @PCD_PROBE_STEP_USERFAULTFD: getting a userfaultfd that may handle kernel-mode faults
 * @PCD_PROBE_STEP_REGISTER: UFFDIO_API or UFFDIO_REGISTER
 * @PCD_PROBE_STEP_MEMORY: mmap of the guest's memory
 * @PCD_PROBE_STEP_VM: KVM_CREATE_VM or its memory slot
 * @PCD_PROBE_STEP_VCPU: KVM_CREATE_VCPU or its registers
 * @PCD_PROBE_STEP_RUN: KVM_RUN gave an error, or an exit that the guest's code cannot cause
 * @PCD_PROBE_STEP_DIED: the process ended without a word
 * @PCD_PROBE_STEP_TIMEOUT: no answer within the deadline
 */
typedef enum {
  PCD_PROBE_STEP_NONE,
  PCD_PROBE_STEP_ARCH,
  PCD_PROBE_STEP_OPEN_KVM,
  PCD_PROBE_STEP_USERFAULTFD,
  PCD_PROBE_STEP_REGISTER,
  PCD_PROBE_STEP_MEMORY,
  PCD_PROBE_STEP_VM,
  PCD_PROBE_STEP_VCPU,
  PCD_PROBE_STEP_RUN,
  PCD_PROBE_STEP_DIED,
  PCD_PROBE_STEP_TIMEOUT,
  PCD_N_PROBE_STEPS,
} PcdProbeStep;

/**
 * PcdProbeSabotage: makes the guest's process misbehave, so that a test sees it reaped all the
 * same.
 * @PCD_PROBE_SABOTAGE_NONE: do not
 * @PCD_PROBE_SABOTAGE_SILENT: says nothing, every signal that can be blocked is blocked
 * @PCD_PROBE_SABOTAGE_SPIN: the same, burning CPU
 * @PCD_PROBE_SABOTAGE_STOP: stops itself (SIGSTOP)
 * @PCD_PROBE_SABOTAGE_EXIT: ends without a word
 * @PCD_PROBE_SABOTAGE_DEAF: faults as it should, but its kick is blocked: as a process that never
 *   gets to run, it must not be taken for a kernel that is not interruptible
 */
typedef enum {
  PCD_PROBE_SABOTAGE_NONE,
  PCD_PROBE_SABOTAGE_SILENT,
  PCD_PROBE_SABOTAGE_SPIN,
  PCD_PROBE_SABOTAGE_STOP,
  PCD_PROBE_SABOTAGE_EXIT,
  PCD_PROBE_SABOTAGE_DEAF,
} PcdProbeSabotage;

typedef enum {
  PCD_PROBE_SAYS_READY = 1,   /* carries the userfaultfd; KVM_RUN comes next */
  PCD_PROBE_SAYS_FAILED,      /* step, err, seccomp */
  PCD_PROBE_SAYS_INTERRUPTED, /* nsec; waits for one byte before the next KVM_RUN */
  PCD_PROBE_SAYS_FINISHED,    /* value */
} PcdProbeSays;

/* One datagram from the guest's process to its watcher. */
typedef struct {
  uint32_t says;
  uint32_t step;
  int32_t err;
  uint32_t seccomp; /* nonzero: a seccomp filter is active, so an EPERM may be its doing */
  int64_t nsec;     /* CLOCK_MONOTONIC when KVM_RUN returned */
  uint64_t missing; /* address of the missing page in the guest's process */
  uint64_t page_size;
  uint32_t value; /* what the guest said at its end */
} PcdProbeMessage;

/* The page that is supplied holds code at its start and data here, and serves every kind. */
#define PCD_PROBE_DATA_OFFSET 0x800
#define PCD_PROBE_LOADED      0xa7
#define PCD_PROBE_STORED      0x5a
#define PCD_PROBE_FETCHED     0x3c

/* Guest memory in pages of the host, from guest-physical 0: small enough for 64 KiB pages too. */
#define PCD_PROBE_N_PAGES      16
#define PCD_PROBE_CODE_PAGE    1
#define PCD_PROBE_TABLES_PAGE  2
#define PCD_PROBE_MISSING_PAGE 8

/**
 * pcd_probe_guest_main:
 * @socket_fd: the SOCK_SEQPACKET socket to the watcher
 * @parent: the watcher's process id
 * @kvm_path: normally "/dev/kvm"
 * @uffd_path: normally "/dev/userfaultfd"
 *
 * To be called in a freshly forked process; never returns. Only async-signal-safe calls are made,
 * since the parent may have threads. The process has no copy of the userfaultfd while it is
 * blocked: the watcher's is the only one, so closing it, or the watcher's death, wakes it however
 * it sleeps.
 */
__attribute__ ((noreturn)) void pcd_probe_guest_main (int socket_fd,
                                                      int parent,
                                                      PcdProbeKind kind,
                                                      const char *kvm_path,
                                                      const char *uffd_path,
                                                      PcdProbeSabotage sabotage);

/* The byte that a guest must report at its end. */
uint8_t pcd_probe_guest_expected (PcdProbeKind kind);

/* What an architecture supplies: pcd-probe-x86.c, pcd-probe-arm64.c. */

/* Whether the kind can be had at all. False for every kind: unsupported architecture. */
bool pcd_probe_arch_has (PcdProbeKind kind);
unsigned long pcd_probe_arch_vm_type (int kvm);
/* Code, and page tables if needed, into @memory; must not touch the missing page. */
void pcd_probe_arch_fill (uint8_t *memory, size_t page_size, PcdProbeKind kind);
/* What the missing page holds once it is supplied. */
void pcd_probe_arch_fill_missing (uint8_t *page);
/* 0, or -1 with errno set. */
int pcd_probe_arch_set_up (int kvm, int vm, int vcpu, size_t page_size, PcdProbeKind kind);
/* Whether this exit is the guest's last word, and the byte it said. */
bool pcd_probe_arch_finished (const struct kvm_run *run, uint8_t *ret_value);
