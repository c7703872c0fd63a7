/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The probe's guest on arm64: EL1 with the MMU off, as a vCPU is after reset.
 * Must not know of processes, signals or userfaultfd. */
#include "host/pcd-probe-guest.h"

#ifdef __aarch64__
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

/* Beyond every memory slot: a store there is an MMIO exit. */
#define MMIO             0x10000000ULL
#define PSTATE_EL1H_DAIF 0x3c5ULL /* interrupts masked */

#define REG(field)                                                                                 \
  (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (field))

/* x0: the data in the missing page; x1: MMIO; w2: what the guest will say. The MMU is off, so the
 * guest's accesses bypass the caches and the host's view of a store may be stale: hence the guest
 * itself reads back what it stored. */
static const uint32_t load_code[] = {
  0x39400002, /* ldrb w2, [x0] */
  0x39000022, /* strb w2, [x1] */
  0x14000000, /* b . */
};
static const uint32_t store_code[] = {
  0x39000002, /* strb w2, [x0] */
  0x52800002, /* mov w2, #0 */
  0x39400002, /* ldrb w2, [x0] */
  0x39000022, /* strb w2, [x1] */
  0x14000000, /* b . */
};
static const uint32_t fetch_code[] = {
  0x52800002 | PCD_PROBE_FETCHED << 5, /* mov w2, #PCD_PROBE_FETCHED */
  0x39000022,                          /* strb w2, [x1] */
  0x14000000,                          /* b . */
};

bool
pcd_probe_arch_has (PcdProbeKind kind)
{
  /* arm64's KVM has no emulator that reads operands for the guest. */
  return kind == PCD_PROBE_LOAD || kind == PCD_PROBE_STORE || kind == PCD_PROBE_FETCH;
}

unsigned long
pcd_probe_arch_vm_type (int kvm)
{
  /* Type 0 asks for 40 bits of guest-physical addresses, which some processors have not. */
  int bits = ioctl (kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);

  return bits > 0 ? KVM_VM_TYPE_ARM_IPA_SIZE ((unsigned long)bits) : 0;
}

void
pcd_probe_arch_fill (uint8_t *memory, size_t page_size, PcdProbeKind kind)
{
  uint8_t *code = memory + PCD_PROBE_CODE_PAGE * page_size;

  if (kind == PCD_PROBE_LOAD)
    memcpy (code, load_code, sizeof load_code);
  else if (kind == PCD_PROBE_STORE)
    memcpy (code, store_code, sizeof store_code);
}

void
pcd_probe_arch_fill_missing (uint8_t *page)
{
  memcpy (page, fetch_code, sizeof fetch_code);
  page[PCD_PROBE_DATA_OFFSET] = PCD_PROBE_LOADED;
}

static int
set_register (int vcpu, uint64_t id, uint64_t value)
{
  const struct kvm_one_reg reg = { .id = id, .addr = (uint64_t)(uintptr_t)&value };

  return ioctl (vcpu, KVM_SET_ONE_REG, &reg);
}

int
pcd_probe_arch_set_up (int kvm, int vm, int vcpu, size_t page_size, PcdProbeKind kind)
{
  uint64_t missing = PCD_PROBE_MISSING_PAGE * page_size;
  uint64_t start = kind == PCD_PROBE_FETCH ? missing : PCD_PROBE_CODE_PAGE * page_size;
  struct kvm_vcpu_init init;

  memset (&init, 0, sizeof init);
  if (ioctl (vm, KVM_ARM_PREFERRED_TARGET, &init) || ioctl (vcpu, KVM_ARM_VCPU_INIT, &init))
    return -1;
  if (set_register (vcpu, REG (regs.pc), start) ||
      set_register (vcpu, REG (regs.pstate), PSTATE_EL1H_DAIF) ||
      set_register (vcpu, REG (regs.regs[0]), missing + PCD_PROBE_DATA_OFFSET) ||
      set_register (vcpu, REG (regs.regs[1]), MMIO))
    return -1;
  return set_register (vcpu, REG (regs.regs[2]), kind == PCD_PROBE_STORE ? PCD_PROBE_STORED : 0);
}

bool
pcd_probe_arch_finished (const struct kvm_run *run, uint8_t *ret_value)
{
  if (run->exit_reason != KVM_EXIT_MMIO || !run->mmio.is_write || run->mmio.phys_addr != MMIO)
    return false;
  *ret_value = run->mmio.data[0];
  return true;
}
#endif
