# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks the memory toucher's memory page by page. The other half of guests/toucher.c's contract.
Knows nothing of migrations: it is true of any stopped toucher."""

import re
import struct

from .proc import LabError, undisturbed

PAGE = 4096
FIRST_PAGE = 16 * 256  # toucher.c: FIRST_MIB
CHUNK = 1024  # pages


def verify_memory(vm, host="dst"):
    """Stops the VM, reads the toucher's memory and checks every page; the VM then goes on,
    also if this is called off.

    Returns the last round of each vCPU. Raises LabError naming the bad pages. Only for a VM
    whose memory is all there: a completed migration, or none.
    """
    where = getattr(vm.lab, host)
    stopped = False
    try:
        with undisturbed():
            where.virsh("suspend", vm.name)
            stopped = True
        base = _ram_address(where, vm.name)
        pid = where.qemu_pid(vm.name)
        per_vcpu = vm.mib * 256 // vm.vcpus
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            return [_check_slice(memory, base, vcpu, FIRST_PAGE + vcpu * per_vcpu, per_vcpu)
                    for vcpu in range(vm.vcpus)]
    finally:
        if stopped:
            with undisturbed():
                where.virsh("resume", vm.name)


def _ram_address(host, name):
    answer = host.virsh("qemu-monitor-command", name, "--hmp", "gpa2hva 0").out
    match = re.search(r"is (0x[0-9a-f]+)", answer)
    if not match:
        raise LabError(f"{name}: QEMU does not say where its RAM is: {answer.strip()}")
    return int(match.group(1), 16)


def read_marks(memory, base, first, count):
    """The (round, page number) at the start of each page."""
    marks = []
    for start in range(first, first + count, CHUNK):
        pages = min(CHUNK, first + count - start)
        memory.seek(base + start * PAGE)
        data = memory.read(pages * PAGE)
        if len(data) != pages * PAGE:
            raise LabError(f"short read of guest memory at page {start}")
        marks.extend(struct.unpack_from("<QQ", data, i * PAGE) for i in range(pages))
    return marks


def check_marks(marks, first):
    """What is wrong with a slice that begins at page `first`: a list of texts, empty if nothing is.

    At any instant: pages of round r, then pages of round r - 1. One page may be half written:
    its number (the same in every round) is stored before its round.
    """
    newest = marks[0][0]
    problems = []
    expected = newest
    for i, (round_, number) in enumerate(marks):
        if expected == newest and round_ == newest - 1:
            expected = newest - 1  # the boundary: from here on the previous round
        if round_ != expected:
            problems.append(f"page {first + i}: round {round_}, expected {expected}")
        elif number != first + i and round_ > 0:
            problems.append(f"page {first + i}: carries number {number}")
    return problems


def _check_slice(memory, base, vcpu, first, count):
    marks = read_marks(memory, base, first, count)
    problems = check_marks(marks, first)
    if marks[0][0] == 0:
        problems.insert(0, "never written")
    if problems:
        raise LabError(f"vCPU {vcpu}: {len(problems)} of {count} pages are wrong: "
                       + "; ".join(problems[:5]))
    return marks[0][0]
