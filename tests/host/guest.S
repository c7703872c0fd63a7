/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A boot sector that keeps 64 MiB dirty in long mode and prints a B per round. */
.code16
.globl _start
_start:
 cli
 xorw %ax,%ax
 movw %ax,%ds
 inb $0x92,%al
 orb $2,%al
 outb %al,$0x92
 lgdt gdtr
 movl %cr0,%eax
 orl $1,%eax
 movl %eax,%cr0
 ljmpl $8,$pm
.code32
pm:
 movw $16,%ax
 movw %ax,%ds
 movw %ax,%es
 movw %ax,%ss
 /* page tables at 0x10000: PML4, 0x11000: PDPT, 0x12000: PD (2M pages, 1GB) */
 movl $0x10000,%edi
 xorl %eax,%eax
 movl $(3*1024),%ecx
 rep stosl
 movl $0x11003,0x10000
 movl $0x12003,0x11000
 movl $0x12000,%edi
 movl $0x83,%eax
 movl $512,%ecx
1: movl %eax,(%edi)
 addl $0x200000,%eax
 addl $8,%edi
 loop 1b
 movl $0x10000,%eax
 movl %eax,%cr3
 movl %cr4,%eax
 orl $0x20,%eax
 movl %eax,%cr4
 movl $0xc0000080,%ecx
 rdmsr
 orl $0x100,%eax
 wrmsr
 movl %cr0,%eax
 orl $0x80000000,%eax
 movl %eax,%cr0
 ljmpl $24,$lm
.code64
lm:
 movw $0x3f8,%dx
 movb $'A',%al
 outb %al,%dx
loop:
 movl $0x100000,%ebx
page:
 incb (%rbx)
 addq $4096,%rbx
 cmpq $(0x100000 + 64*0x100000),%rbx
 jb page
 movb $'B',%al
 outb %al,%dx
 jmp loop
.p2align 3
gdt: .quad 0
 .quad 0x00cf9b000000ffff
 .quad 0x00cf93000000ffff
 .quad 0x00af9b000000ffff
gdtr: .word 31
 .long gdt
.org 510
.word 0xaa55
