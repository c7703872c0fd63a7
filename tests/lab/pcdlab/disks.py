# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that the toucher writes numbers to: makes them, and says what must be on a copy. The other
half of guests/toucher.c's contract. Knows nothing of how copies are made."""

import os
import struct
import subprocess

SECTOR = 512
STEP = 7919  # toucher.c


def make(path, mib, seed):
    """A raw disk: a third of it is random, the rest a hole, and what the guest has written since."""
    with open(path, "wb") as f:
        f.truncate(mib << 20)
        block = os.urandom(1 << 20)
        for i in range(0, mib, 3):
            f.seek(i << 20)
            f.write(struct.pack("<Q", seed) + block[8:])
    return path


def sectors(path):
    return os.path.getsize(path) // SECTOR


def xml(paths):
    return "".join(f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{path}'/><target dev='hd{chr(97 + i)}' bus='ide'/>
    </disk>""" for i, path in enumerate(paths))


def to_raw(image, raw):
    subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", image], check=True, timeout=120)
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw], check=True,
                   timeout=120)
    with open(raw, "rb") as f:
        return bytearray(f.read())


def place(number, disks, size):
    """(disk, offset) of a number."""
    return number % disks, number // disks * STEP % (size // SECTOR) * SECTOR


def apply(originals, last):
    """What the disks hold after the guest has written 1 … `last`."""
    disks = [bytearray(data) for data in originals]
    for number in range(1, last + 1):
        disk, at = place(number, len(disks), len(disks[0]))
        disks[disk][at:at + SECTOR] = struct.pack("<Q", number) * (SECTOR // 8)
    return disks


def last_number(disks):
    """The last number that the guest has written; the next one's place tells the end."""
    number = 0
    while True:
        disk, at = place(number + 1, len(disks), len(disks[0]))
        if disks[disk][at:at + SECTOR] != struct.pack("<Q", number + 1) * (SECTOR // 8):
            return number
        number += 1


def check_copies(originals, copies):
    """That the copies are of one moment, and bit for bit so; returns the last number on them. Only
    if the guest has not yet begun a second round of a disk."""
    last = last_number(copies)
    for index, (expected, copy) in enumerate(zip(apply(originals, last), copies)):
        assert len(expected) == len(copy), (len(expected), len(copy))
        if expected != copy:
            bad = [at for at in range(0, len(copy), SECTOR)
                   if expected[at:at + SECTOR] != copy[at:at + SECTOR]]
            raise AssertionError(f"disk {index}: {len(bad)} sectors differ, the first at {bad[0]}; "
                                 f"last number {last}")
    return last
