# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots that were taken in a lab: their files, and the core that two of them make. Must not know
how the migration came to where it is."""

import json
import os
import struct
import subprocess

from . import proc
from .host import Host
from .verify import FIRST_PAGE, PAGE, check_marks

FOLDER = "/var/lib/postcopyd/snapshots"


def bundles(host):
    """Paths of all bundles there, as seen from outside, finished or not."""
    folder = host.inside(FOLDER)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names]


def only_bundle(host):
    found = bundles(host)
    assert len(found) == 1, found
    return found[0]


def manifest(path):
    with open(os.path.join(path, "manifest.json")) as f:
        return json.load(f)


def ctl(*argv, check=True, timeout=60):
    """postcopyctl snapshot WORD …, outside of all hosts: bundles are files."""
    return proc.run([Host.build_path("postcopyctl"), "snapshot", *argv], check=check,
                    timeout=timeout)


def merge(lab, source, destination):
    """(path of the core, what was told)."""
    core = os.path.join(lab.dir, "merged.core")
    if os.path.exists(core):
        os.unlink(core)
    told = ctl("merge", source, destination, "--output", core, timeout=300).out.strip()
    print(f"# {told.split('/')[-1]}")
    return core, told


def segments(core):
    """(guest-physical address, offset in the file, size) of each PT_LOAD."""
    with open(core, "rb") as f:
        head = f.read(64 * 1024)
    at, count = struct.unpack_from("<Q", head, 32)[0], struct.unpack_from("<H", head, 56)[0]
    found = []
    for i in range(count):
        kind, _, offset, _, gpa, size = struct.unpack_from("<IIQQQQ", head, at + 56 * i)
        if kind == 1:
            found.append((gpa, offset, size))
    return found


def _offset_of(core, gpa):
    for start, offset, size in segments(core):
        if start <= gpa < start + size:
            return offset + gpa - start
    raise AssertionError(f"address {gpa:#x} is not in the core")


def verify_core(vm, core):
    """Every page that the toucher writes, byte for byte: round and number, and zeros behind."""
    per_vcpu = vm.mib * 256 // vm.vcpus
    rounds = []
    with open(core, "rb", buffering=0) as f:
        for vcpu in range(vm.vcpus):
            first = FIRST_PAGE + vcpu * per_vcpu
            marks = []
            f.seek(_offset_of(core, first * PAGE))
            for page in range(per_vcpu):
                data = f.read(PAGE)
                marks.append(struct.unpack_from("<QQ", data))
                assert not any(data[16:]), f"page {first + page}: more than the toucher writes"
            problems = check_marks(marks, first)
            assert not problems, f"vCPU {vcpu}: {len(problems)} bad pages: {problems[:5]}"
            assert marks[0][0] > 0, f"vCPU {vcpu}: never written"
            rounds.append(marks[0][0])
    print(f"# {vm.mib * 256} pages of the toucher are good, rounds {rounds}")
    return rounds


def by_gdb(core, gpa):
    """Two numbers at a guest-physical address, as gdb shows them."""
    done = subprocess.run(["gdb", "-batch", "-nx", "-core", core, "-ex", f"x/2gd {gpa:#x}"],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    line = next(l for l in done.stdout.splitlines() if l.startswith(f"{gpa:#x}:"))
    return tuple(int(word) for word in line.split(":")[1].split())
