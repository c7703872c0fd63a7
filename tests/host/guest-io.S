/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A boot sector that does port I/O all the time, and says so on the serial port now and then. */
.code16
.globl _start
_start:
 cli
round:
 movw $256,%cx
again:
 movw $0x3fd,%dx
 inb %dx,%al
 outb %al,$0x80
 loop again
 movw $0x3f8,%dx
 movb $'.',%al
 outb %al,%dx
 jmp round
.org 510
.word 0xaa55
