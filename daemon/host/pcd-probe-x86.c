/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The probe's guest on x86-64: long mode at CPL 0, as a real guest's kernel, identity-mapped.
 * Must not know of processes, signals or userfaultfd. */
#include "host/pcd-probe-guest.h"

#ifdef __x86_64__
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#define PORT      0x10
#define MAX_CPUID 256 /* KVM_MAX_CPUID_ENTRIES of the kernel */

enum { CR0_PE = 1 << 0, CR0_ET = 1 << 4, CR0_NE = 1 << 5, CR4_PAE = 1 << 5 };
#define CR0_PG               (1ULL << 31)
#define EFER_LME             (1ULL << 8)
#define EFER_LMA             (1ULL << 10)
#define PTE_PRESENT_WRITABLE 3ULL
#define PDE_LARGE            (1ULL << 7)

/* rbx and rsi: the data in the missing page; dx: PORT; al: what the guest will say. */
static const uint8_t load_code[] = {
  0x8a, 0x03, /* mov al, [rbx] */
  0xee,       /* out dx, al */
  0xf4,       /* hlt */
};
static const uint8_t store_code[] = {
  0x88, 0x03, /* mov [rbx], al */
  0xb0, 0x00, /* mov al, 0 */
  0x8a, 0x03, /* mov al, [rbx] */
  0xee,       /* out dx, al */
  0xf4,       /* hlt */
};
static const uint8_t fetch_code[] = {
  0xb0, PCD_PROBE_FETCHED, /* mov al, PCD_PROBE_FETCHED */
  0xee,                    /* out dx, al */
  0xf4,                    /* hlt */
};
/* String I/O always exits to the kernel's emulator (io_interception() in svm.c, handle_io() in
 * vmx.c), which reads the operand by __kvm_read_guest_page(), that is, by a copy from user space
 * and not by the page-fault path. No hypercall, MSR or paravirtual feature is needed, so it is the
 * same on kvm-intel, kvm-amd and kvm-pvm (which emulates every instruction of such a guest). */
static const uint8_t kernel_read_code[] = {
  0x6e, /* outsb */
  0xf4, /* hlt */
};

bool
pcd_probe_arch_has (PcdProbeKind kind)
{
  return kind < PCD_N_PROBE_KINDS;
}

unsigned long
pcd_probe_arch_vm_type (int kvm)
{
  return 0;
}

void
pcd_probe_arch_fill (uint8_t *memory, size_t page_size, PcdProbeKind kind)
{
  uint8_t *code = memory + PCD_PROBE_CODE_PAGE * page_size;
  uint64_t tables = PCD_PROBE_TABLES_PAGE * page_size;
  uint64_t *pml4 = (uint64_t *)(memory + tables);
  uint64_t *pdpt = (uint64_t *)(memory + tables + page_size);
  uint64_t *pd = (uint64_t *)(memory + tables + 2 * page_size);

  switch (kind) {
  case PCD_PROBE_LOAD:
    memcpy (code, load_code, sizeof load_code);
    break;
  case PCD_PROBE_STORE:
    memcpy (code, store_code, sizeof store_code);
    break;
  case PCD_PROBE_KERNEL_READ:
    memcpy (code, kernel_read_code, sizeof kernel_read_code);
    break;
  case PCD_PROBE_FETCH: /* its code is in the missing page */
  case PCD_N_PROBE_KINDS:
    break;
  }
  pml4[0] = (tables + page_size) | PTE_PRESENT_WRITABLE;
  pdpt[0] = (tables + 2 * page_size) | PTE_PRESENT_WRITABLE;
  pd[0] = PTE_PRESENT_WRITABLE | PDE_LARGE; /* the first 2 MiB */
}

void
pcd_probe_arch_fill_missing (uint8_t *page)
{
  memcpy (page, fetch_code, sizeof fetch_code);
  page[PCD_PROBE_DATA_OFFSET] = PCD_PROBE_LOADED;
}

static int
set_up_segments (int vcpu, uint64_t page_tables)
{
  struct kvm_sregs sregs;
  const struct kvm_segment code = {
    .limit = ~0U, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
  };
  const struct kvm_segment data = {
    .limit = ~0U, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
  };
  /* VMX refuses to enter long mode with any other kind of TR. */
  const struct kvm_segment task = { .limit = 0x67, .selector = 24, .type = 11, .present = 1 };

  if (ioctl (vcpu, KVM_GET_SREGS, &sregs))
    return -1;
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.tr = task;
  sregs.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
  sregs.cr3 = page_tables;
  sregs.cr4 = CR4_PAE;
  sregs.efer = EFER_LME | EFER_LMA;
  return ioctl (vcpu, KVM_SET_SREGS, &sregs);
}

/* A vCPU without CPUID has no long mode: Linux 6.12.117 refuses to set EFER.LMA on one (earlier
 * ones let it pass). It gets all that KVM supports. */
static int
set_up_cpuid (int kvm, int vcpu)
{
  union {
    struct kvm_cpuid2 cpuid;
    uint8_t room[sizeof (struct kvm_cpuid2) + MAX_CPUID * sizeof (struct kvm_cpuid_entry2)];
  } all = { .cpuid.nent = MAX_CPUID };

  if (ioctl (kvm, KVM_GET_SUPPORTED_CPUID, &all))
    return -1;
  return ioctl (vcpu, KVM_SET_CPUID2, &all);
}

int
pcd_probe_arch_set_up (int kvm, int vm, int vcpu, size_t page_size, PcdProbeKind kind)
{
  uint64_t missing = PCD_PROBE_MISSING_PAGE * page_size;
  const struct kvm_regs regs = {
    .rip = kind == PCD_PROBE_FETCH ? missing : PCD_PROBE_CODE_PAGE * page_size,
    .rflags = 2, /* interrupts off, so no asynchronous page fault either */
    .rax = kind == PCD_PROBE_STORE ? PCD_PROBE_STORED : 0,
    .rbx = missing + PCD_PROBE_DATA_OFFSET,
    .rsi = missing + PCD_PROBE_DATA_OFFSET,
    .rdx = PORT,
  };

  /* Only Intel processors without unrestricted guest want it; the rest takes it or refuses. */
  (void)ioctl (vm, KVM_SET_TSS_ADDR, 0xfffbd000UL);
  if (set_up_cpuid (kvm, vcpu) || set_up_segments (vcpu, PCD_PROBE_TABLES_PAGE * page_size))
    return -1;
  return ioctl (vcpu, KVM_SET_REGS, &regs);
}

bool
pcd_probe_arch_finished (const struct kvm_run *run, uint8_t *ret_value)
{
  if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT ||
      run->io.port != PORT || run->io.size != 1)
    return false;
  *ret_value = ((const uint8_t *)run)[run->io.data_offset];
  return true;
}
#endif
