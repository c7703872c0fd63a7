/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Brings every vCPU of a bare VM into 64-bit mode and calls toucher.c's touch_memory() on it.
 * Knows nothing of memory slices or serial ports.
 *
 * QEMU loads it by its multiboot header (`-kernel`), so that no disk is needed: a domain without
 * a disk migrates without shared storage and without --unsafe. */

#define MB_MAGIC 0x1badb002
#define MB_FLAGS 0x2 /* memory information, please: QEMU then also passes the command line */
#define STACK_SIZE 4096
#define AP_BASE 0x8000 /* start-up IPI vector 8 */

  .section .multiboot, "a"
  .balign 4
  .long MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)

  .section .text
  .globl _start
  .code32
_start:
  cli
  mov %ebx, mb_info
  /* The real-mode stub must lie below 1 MiB: copy it there before any other vCPU is started. */
  mov $ap_stub, %esi
  mov $AP_BASE, %edi
  mov $(ap_stub_end - ap_stub), %ecx
  rep movsb
  /* Identity map of 4 GiB in 2 MiB pages: RAM and the local APICs. */
  mov $pdpt + 3, %eax
  mov %eax, pml4
  mov $pds + 3, %eax
  mov $pdpt, %edi
  mov $4, %ecx
1:mov %eax, (%edi)
  add $4096, %eax
  add $8, %edi
  loop 1b
  mov $0x83, %eax
  mov $pds, %edi
  mov $2048, %ecx
1:mov %eax, (%edi)
  add $0x200000, %eax
  add $8, %edi
  loop 1b

enter_long_mode: /* from 32-bit protected mode, on every vCPU */
  lgdt gdt_pointer
  mov $pml4, %eax
  mov %eax, %cr3
  mov %cr4, %eax
  or $0x20, %eax /* PAE */
  mov %eax, %cr4
  mov $0xc0000080, %ecx /* EFER.LME */
  rdmsr
  or $0x100, %eax
  wrmsr
  mov %cr0, %eax
  or $0x80000000, %eax
  mov %eax, %cr0
  ljmpl $24, $1f
  .code64
1:mov $16, %ax
  mov %ax, %ds
  mov %ax, %es
  mov %ax, %ss
  mov $1, %eax /* our APIC id is our number: libvirt's vCPU n is QEMU's APIC n */
  cpuid
  shr $24, %ebx
  mov %ebx, %edi
  lea 1(%rbx), %eax
  imul $STACK_SIZE, %eax
  lea stacks(%eax), %rsp
  mov mb_info, %esi
  call touch_memory
  hlt

  .code16
ap_stub: /* runs at AP_BASE, so every address in it is computed relative to that */
  cli
  xor %ax, %ax
  mov %ax, %ds
  lgdtl AP_BASE + (ap_gdt_pointer - ap_stub)
  mov %cr0, %eax
  or $1, %eax
  mov %eax, %cr0
  ljmpl $8, $AP_BASE + (ap_pm - ap_stub)
  .code32
ap_pm:
  mov $16, %ax
  mov %ax, %ds
  mov %ax, %ss
  mov $enter_long_mode, %eax
  jmp *%eax
  .balign 8
ap_gdt_pointer:
  .word 31
  .long gdt
ap_stub_end:

  .section .data
  .balign 8
gdt:
  .quad 0
  .quad 0x00cf9b000000ffff /* 8: 32-bit code */
  .quad 0x00cf93000000ffff /* 16: data */
  .quad 0x00af9b000000ffff /* 24: 64-bit code */
gdt_pointer:
  .word 31
  .long gdt
mb_info:
  .long 0

  .section .bss
  .balign 4096
pml4:  .skip 4096
pdpt:  .skip 4096
pds:   .skip 4 * 4096
stacks:.skip 16 * STACK_SIZE
