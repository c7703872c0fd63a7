# SPDX-License-Identifier: LGPL-2.1-or-later
"""Action debug on real VMs: never attaches where that hangs, shows stacks there; elsewhere gdb gets in
and out again, and one that overstays leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import time

from pcdlab import proc, verify_memory
from pcdlab.case import Skip, case
from pcdlab.follower import Follower
from pcdlab.host import BUS
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched

CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
"""
SIGSTOP_BIT = 1 << (signal.SIGSTOP - 1)
GDB = "/usr/bin/gdb"
FAKE = "/etc/postcopyd/fake"
REST = 2_000_000  # some seconds: PAUSE leaves the guest


def statuses(pid):
    """The `status` of every thread, as dictionaries."""
    found = []
    for tid, _ in proc.threads(pid):
        try:
            with open(f"/proc/{pid}/task/{tid}/status") as f:
                found.append(dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def stops(pid):
    """(traced, stopped, SIGSTOP waits): how many threads of each."""
    threads = statuses(pid)
    return (sum(int(s["TracerPid"]) > 0 for s in threads),
            sum(s["State"][0] in "Tt" for s in threads),
            sum(bool((int(s["SigPnd"], 16) | int(s["ShdPnd"], 16)) & SIGSTOP_BIT)
                for s in threads))


def debuggers(host):
    return [pid for pid in host.pids()
            if any(os.path.basename(word) == "gdb" for word in proc.command_line(pid)[:2])]


def untouched(lab, pid):
    assert stops(pid) == (0, 0, 0), stops(pid)
    assert debuggers(lab.dst) == [], debuggers(lab.dst)


def blocked(lab, vm):
    def looks():
        done = lab.dst.ctl("inspect", "--pid", str(lab.dst.qemu_pid(vm.name)), "--json")
        threads = json.loads(done.out)["threads"] if done else []
        return [t for t in threads if t["vcpu"] is not None and t["blocked"] == "yes"]
    return wait_for(looks, 20, "a blocked vCPU on dst", 0.2)


def held_pair(lab, path=None, **options):
    """Both sides watched and held, so that nothing is recovered before we say so. With `path` the
    destination's postcopyd finds its gdb there first."""
    watched = Watched(lab, config=CONFIG, start=False, **options)
    watched.start(lab.src)
    start_dst(watched, path)
    watched.wait_armed()
    assert lab.src.ctl("hold", watched.vm.name).rc == 0
    return watched


def start_dst(watched, path=None):
    env = {"PATH": f"{path}:{os.environ['PATH']}"} if path else None
    watched.lab.dst.start_postcopyd(watched.args, env=env)
    watched.followers["dst"] = Follower(watched.lab.dst)


def cut(lab, watched):
    made = lab.cut("link-down")
    watched.both_paused(made.t, TIMEOUT + 1, "network")
    return made


def recover_and_verify(lab, watched, made):
    """And QEMU does not stand still on the way."""
    made.heal()
    watched.hurry()
    done = lab.src.ctl("recover", watched.vm.name, "--wait", "--timeout", "60s", timeout=90)
    assert done.rc == 0, done
    pid = lab.dst.qemu_pid(watched.vm.name)
    assert stops(pid) == (0, 0, 0), stops(pid)
    ticks = watched.vm.ticks("dst")
    wait_for(lambda: watched.vm.ticks("dst") > ticks, 20, "tick of the guest")
    print(f"# {verify_memory(watched.vm, 'dst')}")


def output_files(host):
    folder = host.inside("/var/lib/postcopyd/debug")
    assert os.stat(folder).st_mode & 0o777 == 0o700
    names = sorted(os.listdir(folder))
    for name in names:
        assert os.stat(os.path.join(folder, name)).st_mode & 0o777 == 0o600, name
    return names


def fake_gdb(lab, script):
    """A folder with a program `gdb`, for PATH."""
    lab.dst.write(f"{FAKE}/gdb", script)
    os.chmod(lab.dst.inside(f"{FAKE}/gdb"), 0o755)
    return FAKE


def begin_debug(lab, *options):
    return lab.dst.popen([lab.dst.build_path("postcopyctl"), "--bus", BUS, "debug", "g", *options],
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


# Attaches as the real one does, and then never ends by itself.
OVERSTAYS = f"""\
#!/bin/sh
exec {GDB} -nx -batch -p "$(echo "$*" | sed 's/.*-p \\([0-9]*\\).*/\\1/')" \\
  -ex 'python import time; time.sleep(600)'
"""


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


@case("long-debug-backtrace-tcg", lab={"tcg": True}, timeout=240)
def backtrace_tcg(lab):
    """A TCG vCPU waits in user mode: gdb attaches, every thread has its backtrace, QEMU goes on;
    ten times over."""
    watched = held_pair(lab)
    name, pid = watched.vm.name, lab.dst.qemu_pid(watched.vm.name)
    made = cut(lab, watched)
    blocked(lab, watched.vm)
    took = []
    for _ in range(10):
        threads = len(proc.threads(pid))
        done = lab.dst.ctl("debug", name, "--limit", "60s", timeout=90)
        assert done.rc == 0, done
        shown = re.findall(r"^Thread \d+ \(.*\bLWP (\d+)\)", done.out, re.M)
        assert len(shown) == threads and str(pid) in shown, done.out
        assert all(f"LWP {tid})" in done.out for tid, _ in proc.threads(pid)), done.out
        untouched(lab, pid)
        took.append(done.seconds)
    print(f"# 10 backtraces of {threads} threads: {min(took):.1f} to {max(took):.1f} s each")
    assert len(output_files(lab.dst)) == 10
    recover_and_verify(lab, watched, made)


def overstay(lab, how):
    """`how(watched)` brings the debugger that hangs in QEMU to its end."""
    watched = held_pair(lab, path=fake_gdb(lab, OVERSTAYS))
    pid = lab.dst.qemu_pid(watched.vm.name)
    made = cut(lab, watched)
    blocked(lab, watched.vm)
    how(watched, pid)
    wait_for(lambda: stops(pid) == (0, 0, 0), 10, lambda: f"no stop left: {stops(pid)}")
    untouched(lab, pid)
    # Its monitors answer: libvirt's own commands on the other side of the story do, too.
    assert lab.dst.domstate(watched.vm.name)[0] == "running"
    recover_and_verify(lab, watched, made)


def in_qemu(watched, pid, limit):
    """Starts debug, and returns when its gdb holds QEMU."""
    child = begin_debug(watched.lab, "--limit", limit)
    wait_for(lambda: stops(pid)[0] == len(proc.threads(pid)), 30, "all threads traced")
    return child


@case("long-debug-overstay-tcg", lab={"tcg": True}, timeout=240)
def overstay_limit(lab):
    """A gdb that hangs in QEMU is ended at its limit, and QEMU goes on."""
    def at_limit(watched, pid):
        began = time.monotonic()
        done = watched.lab.dst.ctl("debug", watched.vm.name, "--limit", "10s", timeout=60)
        print(f"# exit {done.rc} after {time.monotonic() - began:.1f} s: {done.err.strip()}")
        assert done.rc == 1 and "at its limit" in done.err, done
        assert time.monotonic() - began < 15
    overstay(lab, at_limit)


@case("long-debug-gdb-killed-tcg", lab={"tcg": True}, timeout=240)
def gdb_killed(lab):
    """kill -9 of the gdb that holds QEMU, five times: failed, and QEMU goes on."""
    def kill(watched, pid):
        for _ in range(5):
            child = in_qemu(watched, pid, "60s")
            for debugger in debuggers(watched.lab.dst):
                os.kill(debugger, signal.SIGKILL)
            assert child.wait(20) == 1
            assert stops(pid) == (0, 0, 0), stops(pid)
    overstay(lab, kill)


@case("long-debug-daemon-killed-tcg", lab={"tcg": True}, timeout=240)
def daemon_killed(lab):
    """kill -9 of postcopyd while its gdb holds QEMU: gdb goes with it, and the next postcopyd sees
    to what was left."""
    def kill(watched, pid):
        child = in_qemu(watched, pid, "60s")
        watched.lab.dst.kill_postcopyd()
        child.wait(20)
        wait_for(lambda: debuggers(watched.lab.dst) == [], 10, "end of gdb")
        # What such a gdb leaves where a thread could not stop: see long-debug-race.
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: stops(pid)[1] > 0, 5, "a stopped QEMU")
        start_dst(watched)
        wait_for(lambda: stops(pid) == (0, 0, 0), 15, "QEMU to be released")
        follower = watched.followers["dst"]
        wait_for(lambda: "released" in str(follower.story()), 5, "the release to be told")
    overstay(lab, kill)


@case("long-debug-race", timeout=240)
def race(lab):
    """The gate lets gdb pass, and only then a vCPU begins to wait where no debugger gets it: gdb hangs,
    is ended, and the SIGSTOP that it leaves stops nothing when the page arrives."""
    if not lab.state["kvm"]:
        raise Skip("no KVM here: not this path")
    script = f'#!/bin/sh\nwhile [ ! -e {FAKE}/go ]; do sleep 0.1; done\nexec {GDB} "$@"\n'
    # A guest that rests most of the time, on pages that are there, and then touches all the others.
    watched = held_pair(lab, path=fake_gdb(lab, script), vm_options={"rest": REST})
    pid = lab.dst.qemu_pid(watched.vm.name)

    def passes():
        child = begin_debug(lab, "--force", "--limit", "30s")
        time.sleep(1)
        return child if child.poll() is None else None
    child = wait_for(passes, 40, "the gate to let it pass", 0)
    made = cut(lab, watched)
    blocked(lab, watched.vm)
    lab.dst.write(f"{FAKE}/go", "")
    seen = set()
    def over():
        seen.add(stops(pid))
        return child.poll() is not None
    wait_for(over, 40, "end of debug", 0.01)
    print(f"# exit {child.returncode}; (traced, stopped, SIGSTOP waits) seen: {sorted(seen)}")
    print(f"# {child.stderr.read().strip()}")
    assert any(waits for _, _, waits in seen), "no SIGSTOP ever waited: the race was not met"
    untouched(lab, pid)
    recover_and_verify(lab, watched, made)
