# SPDX-License-Identifier: LGPL-2.1-or-later
"""Records threads that wait for a page, each on another path through the kernel, as fixtures of the
classifier's unit test. What a signal and a debugger do to each is tried, not asked of the classifier."""

import os
import re

SLOW, COPY = "kvm-slow-page-fault", "kernel-side-copy"
# KIND of inside/fault-guest.c: (path, what happens)
GUEST_KINDS = {
    "load": (SLOW, "the guest reads a missing page"),
    "store": (SLOW, "the guest writes to a missing page"),
    "fetch": (SLOW, "the guest executes a missing page"),
    "kernel-read": (COPY, "outsb of the guest: the emulator in KVM reads its operand from a missing page"),
    "pvclock": (SLOW, "the guest gives KVM a missing page for its pvclock; never interruptible"),
    "steal-time": (COPY, "the guest gave KVM a missing page for its steal time"),
    "mmio": (COPY, "movsb of the guest from MMIO: the emulator in KVM writes what it read to a missing page"),
}
DEVICE_KINDS = ("main", "iothread", "vcpu", "read", "direct", "vhost")  # of inside/device-faults.py
RECORD = "/usr/bin/python3 /payload/inside/record.py"
WHERE = "kvm-amd (nested in TCG)"
INTO = "/run/fixtures"


def _fetch(row, machine, folder, expects=None):
    """Writes the recorded files; `expects` fills the line that a person, or a trial, must fill."""
    for name in machine.run("ls", INTO).out.split():
        text = machine.run("cat", f"{INTO}/{name}").out
        if expects:
            text = text.replace("# expect: ?\n", f"# expect: {expects}\n")
        said = re.search(r"^# expect: (.*)$", text, re.M)[1]
        with open(os.path.join(folder, name), "w") as f:
            f.write(text)
        row.report.say(f"{row.row}: recorded {name}: {said}")
    machine.run("rm", "-r", INTO)


def record_guests(row, folder):
    """The paths of a vCPU, by the probe's guest."""
    machine = row.dst
    for kind, (path, situation) in GUEST_KINDS.items():
        machine.run("mkdir", "-p", INTO)
        command = (f"sh -c '{RECORD} $0 {INTO} {row.row}-amd-{kind} --name pcd-probe --samples 2 "
                   f"--kvm \"{WHERE}\" --situation \"{situation}\"'")
        tried = machine.run("/payload/inside/fault-guest", kind, command, timeout=90).out.strip()
        _fetch(row, machine, folder, f"blocked=yes path={path} {tried} spinning=no vcpu=0")


def record_devices(row, folder):
    """The threads of a QEMU that touch memory for a device, and a vhost worker."""
    machine = row.dst
    for kind in DEVICE_KINDS:
        machine.run("mkdir", "-p", INTO)
        done = machine.run("env", f"SLOWER={machine.slower}", "/payload/inside/device-faults.py", INTO,
                           f"{row.row}-amd", WHERE, kind, timeout=900, check=False)
        row.check(done.rc == 0, f"a thread that waits was recorded: {kind}", done.out + done.err)
        _fetch(row, machine, folder)
