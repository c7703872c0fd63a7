# SPDX-License-Identifier: LGPL-2.1-or-later
"""Action debug on real VMs: never traces where that hangs, shows stacks there; elsewhere QEMU is held
for a moment and goes on, whatever becomes of gdb and of postcopyd."""

import json
import os
import random
import re
import subprocess
import time

from pcdlab import proc
from pcdlab.case import Skip, case
from pcdlab.debugging import (GDB, blocked, cut, held_pair, output_files, recover_and_verify,
                              start_dst, stops, untouched)
from pcdlab.host import BUS
from pcdlab.wait import wait_for

FAKE = "/etc/postcopyd/fake"


def fake_gdb(lab, script):
    """A folder with a program `gdb`, for PATH."""
    lab.dst.write(f"{FAKE}/gdb", script)
    os.chmod(lab.dst.inside(f"{FAKE}/gdb"), 0o755)
    return FAKE


def begin_debug(lab, *options):
    return lab.dst.popen([lab.dst.build_path("postcopyctl"), "--bus", BUS, "debug", "g", *options],
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@case("rule-2-never-attach-untraceable", timeout=120)
def rule_2(lab):
    """A vCPU waits on KVM's kernel-side copy path: debug is refused at once with thread and path,
    nothing is attached; stacks work; the migration recovers and completes."""
    if not lab.state["kvm"]:
        raise Skip("no KVM here: not this path")
    watched = held_pair(lab)
    name, pid = watched.vm.name, lab.dst.qemu_pid(watched.vm.name)
    made = cut(lab, watched)
    thread = blocked(lab, watched.vm)[0]
    round_trip = min(lab.dst.ctl("debug", name, "--dry-run").seconds for _ in range(3))
    refused = min((lab.dst.ctl("debug", name) for _ in range(3)), key=lambda done: done.seconds)
    extra = (refused.seconds - round_trip) * 1000
    print(f"# refused {extra:.0f} ms after a round trip of {round_trip * 1000:.0f} ms: "
          f"{refused.err.strip()}")
    if thread["traceable"] == "no":
        assert refused.rc == 1 and thread["path"] in refused.err, refused
        assert str(thread["tid"]) in refused.err and "stacks" in refused.err, refused
        assert extra < 50, refused
    server = min((lab.dst.ctl("debug", name, "--mode", "gdbserver") for _ in range(3)),
                 key=lambda done: done.seconds)
    if thread["traceable"] == "no":
        assert server.rc == 1 and str(thread["tid"]) in server.err and "stacks" in server.err, server
        assert (server.seconds - round_trip) * 1000 < 50, server
    untouched(lab, pid)
    stacks = lab.dst.ctl("debug", name, "--mode", "stacks")
    assert stacks.rc == 0, stacks
    assert all(f"thread {tid} " in stacks.out for tid, _ in proc.threads(pid)), stacks.out
    assert "handle_userfault" in stacks.out, stacks.out
    untouched(lab, pid)
    names = output_files(lab.dst)
    assert len(names) == 1 and names[0].endswith("-stacks.txt"), names
    assert names[0] in lab.dst.ctl("incident", "show", names[0].split("-")[0], "--state-dir",
                                   "/var/lib/postcopyd").out
    recover_and_verify(lab, watched, made)


def full_disk(lab, name, pid):
    """No room for the output: told, nothing of it is left, and QEMU is as it was."""
    folder = "/var/lib/postcopyd/debug"
    lab.dst.run("mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", folder)
    for mode in ("core", "backtrace", "stacks"):
        if mode == "stacks":  # which are short
            lab.dst.run("sh", "-c", f"cat /dev/zero >{folder}/filler", check=False)
        done = lab.dst.ctl("debug", name, "--mode", mode, timeout=60)
        assert done.rc == 1 and "No space left" in done.err, done
        left = [n for n in lab.dst.run("ls", "-A", folder).out.split() if n != "filler"]
        assert left == [], (mode, left)
        untouched(lab, pid)
    lab.dst.run("umount", folder)
    print("# a full disk: " + done.err.strip())


@case("long-debug-backtrace-tcg", lab={"tcg": True}, timeout=240)
def backtrace_tcg(lab):
    """A TCG vCPU waits in user mode: QEMU is held for a moment, every thread has its backtrace, QEMU
    goes on; twenty times over, and cores that gdb opens."""
    watched = held_pair(lab)
    name, pid = watched.vm.name, lab.dst.qemu_pid(watched.vm.name)
    made = cut(lab, watched)
    blocked(lab, watched.vm)
    took, stood = [], []
    for _ in range(20):
        threads = len(proc.threads(pid))
        done = lab.dst.ctl("debug", name, "--limit", "60s", timeout=90)
        assert done.rc == 0, done
        shown = re.findall(r"^Thread \d+ \(.*\bLWP (\d+)\)", done.out, re.M)
        assert len(shown) == threads and str(pid) in shown, done.out
        assert "'CPU 0/TCG'" in done.out and " in main ()" in done.out or "__libc_start" in done.out
        untouched(lab, pid)
        took.append(done.seconds)
        stood.append(int(re.search(r"stood still for (\d+) ms", done.err)[1]))
    print(f"# 20 backtraces of {threads} threads: {min(took):.1f} to {max(took):.1f} s each; QEMU "
          f"stood still for {min(stood)} to {max(stood)} ms")
    assert len(output_files(lab.dst)) == 20
    for _ in range(20):
        done = lab.dst.run("sh", "-c", '"$@" >/dev/null', "sh", lab.dst.build_path("postcopyctl"),
                           "--bus", BUS, "debug", name, "--mode", "core", timeout=60)
        untouched(lab, pid)
        assert lab.dst.ctl("debug", name, "--mode", "stacks").rc == 0
    print(f"# {done.err.strip()}")
    full_disk(lab, name, pid)
    core = lab.dst.inside(done.err.strip().rsplit(": ", 1)[1])
    read = proc.run([GDB, "-nx", "-batch", "-iex", "set auto-load no", "-ex", "info threads",
                     f"/proc/{pid}/exe", core], timeout=60)
    assert f"LWP {pid}" in read.out, read
    recover_and_verify(lab, watched, made)


@case("long-debug-gdb-hangs-tcg", lab={"tcg": True}, timeout=240)
def gdb_hangs(lab):
    """A gdb that hangs meets only the core: QEMU goes on meanwhile, and gdb is ended at the limit, or
    with postcopyd."""
    watched = held_pair(lab, path=fake_gdb(lab, "#!/bin/sh\nexec sleep 600\n"))
    name, pid = watched.vm.name, lab.dst.qemu_pid(watched.vm.name)
    made = cut(lab, watched)
    blocked(lab, watched.vm)
    child = begin_debug(lab, "--limit", "5s")
    began = time.monotonic()
    wait_for(lambda: sleepers(lab.dst), 10, "the fake gdb")
    while child.poll() is None:
        assert stops(pid) == (0, 0, 0), stops(pid)
        time.sleep(0.1)
    print(f"# exit {child.returncode} after {time.monotonic() - began:.1f} s: "
          f"{child.stderr.read().strip()}")
    assert child.returncode == 1 and time.monotonic() - began < 8
    assert not sleepers(lab.dst)
    child = begin_debug(lab, "--limit", "60s")
    wait_for(lambda: sleepers(lab.dst), 10, "the fake gdb")
    lab.dst.kill_postcopyd()
    child.wait(20)
    wait_for(lambda: not sleepers(lab.dst), 5, "end of gdb with postcopyd")
    start_dst(watched)
    recover_and_verify(lab, watched, made)


def sleepers(host):
    return [pid for pid in host.pids() if proc.command_line(pid)[:2] == ["sleep", "600"]]


@case("long-debug-daemon-killed-tcg", lab={"tcg": True}, timeout=300)
def daemon_killed(lab):
    """kill -9 of postcopyd at random moments of debug, twenty times, some of them while it holds
    QEMU: QEMU goes on each time, and no core is left."""
    watched = held_pair(lab)
    pid = lab.dst.qemu_pid(watched.vm.name)
    made = cut(lab, watched)
    blocked(lab, watched.vm)
    held = 0
    for _ in range(20):
        wait_for(lambda: watched.status("dst")["phase"] == "paused", 15, "a daemon that knows")
        child = begin_debug(lab)
        deadline = time.monotonic() + random.uniform(0.05, 1.5)
        seen = False
        while time.monotonic() < deadline and not seen:
            seen = stops(pid)[0] > 0
        lab.dst.kill_postcopyd()
        held += seen
        child.wait(20)
        wait_for(lambda: stops(pid) == (0, 0, 0), 2, lambda: f"QEMU to go on: {stops(pid)}", 0.01)
        start_dst(watched)
    print(f"# 20 times killed, {held} times while QEMU was held")
    assert held > 0
    assert not [n for n in output_files(lab.dst) if n.endswith(".core")]
    untouched(lab, pid)
    recover_and_verify(lab, watched, made)


@case("long-debug-race", timeout=240)
def race(lab):
    """Past the gate, a vCPU waits where nothing stops it: QEMU is let go within the second, twenty
    times over, nothing stops it when the page arrives, and it completes."""
    if not lab.state["kvm"]:
        raise Skip("no KVM here: not this path")
    watched = held_pair(lab)
    pid = lab.dst.qemu_pid(watched.vm.name)
    made = cut(lab, watched)
    thread = blocked(lab, watched.vm)[0]
    if thread["traceable"] != "no":
        raise Skip("this kernel's vCPU can be traced")
    uuid = lab.dst.virsh("domuuid", "g").out.strip()
    for _ in range(20):
        began = time.monotonic()
        done = lab.dst.run("sh", "-c", 'echo hold | "$@"', "sh", lab.dst.build_path("act-shell"),
                           "--role", "destination", "--uuid", uuid, "--name", "g", "--pid", str(pid))
        answer = json.loads(done.out)
        assert answer["outcome"] == "failed" and "did not come to stand" in answer["reason"], answer
        assert time.monotonic() - began < 3
        wait_for(lambda: stops(pid) == (0, 0, 0), 2, lambda: f"QEMU to go on: {stops(pid)}", 0.01)
    print(f"# {answer}")
    untouched(lab, pid)
    recover_and_verify(lab, watched, made)
