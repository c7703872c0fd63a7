# SPDX-License-Identifier: LGPL-2.1-or-later
"""Action debug, mode gdbserver, on real VMs: a real gdb comes in by the socket, and however it leaves,
QEMU goes on."""

import os
import re
import signal
import subprocess
import time

from pcdlab import proc
from pcdlab.case import case
from pcdlab.debugging import (blocked, cut, debuggers, held_pair, output_files, recover_and_verify,
                              start_dst, stops, untouched)
from pcdlab.wait import wait_for

FOLDER = "/var/lib/postcopyd/debug"
LOOK = ["info threads", "printf \"pc is there %d\\n\", $pc != 0", "printf \"sp %d\\n\", *(char *)$sp * 0",
        "bt 3"]


def open_server(lab, name, *options):
    """The socket, as the daemon's host sees it."""
    done = lab.dst.ctl("debug", name, "--mode", "gdbserver", *options, timeout=60)
    assert done.rc == 0, done
    path = re.search(r"target remote (\S+?)'", done.out)[1]
    assert path in done.err, done
    mode = os.lstat(lab.dst.inside(path)).st_mode
    assert mode & 0o777 == 0o600, oct(mode)
    assert os.stat(lab.dst.inside(FOLDER)).st_mode & 0o777 == 0o700
    return path


def gdb(lab, path, *commands):
    words = ["gdb", "-nx", "-nh", "-iex", "set auto-load no", "-iex", "set sysroot /",
             "-iex", "set pagination off", "-iex", "set confirm off", "-ex", f"target remote {path}"]
    for command in commands:
        words += ["-ex", command]
    return lab.dst.popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)


def held(pid):
    """Every thread stands, traced, and none of them by a signal."""
    traced, stopped, pending = stops(pid)
    assert pending == 0
    return traced == stopped == len(proc.threads(pid)) > 0


def wait_held(pid):
    wait_for(lambda: held(pid), 60, lambda: f"QEMU to be held: {stops(pid)}")


def wait_free(lab, pid, path=None):
    wait_for(lambda: stops(pid) == (0, 0, 0), 20, lambda: f"QEMU to go on: {stops(pid)}", 0.02)
    wait_for(lambda: not debuggers(lab.dst), 20, "the end of gdb")
    if path:
        wait_for(lambda: not os.path.exists(lab.dst.inside(path)), 20, "the end of the socket")


def leave_politely(lab, child, path):
    out, _ = child.communicate("detach\nquit\n", timeout=90)
    return out


def leave_by_kill(lab, child, path):
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return None


def leave_by_wish_to_kill_qemu(lab, child, path):
    out, _ = child.communicate("kill\nquit\n", timeout=90)
    return out


def go_on_then_kill(lab, child, path):
    pid = lab.dst.qemu_pid("g")
    child.stdin.write("continue\n")
    child.stdin.flush()
    wait_for(lambda: stops(pid) == (0, 0, 0), 60, "QEMU to go on")
    child.send_signal(signal.SIGINT)
    wait_held(pid)
    return leave_by_kill(lab, child, path)


LEAVE = [leave_politely, leave_by_kill, leave_by_wish_to_kill_qemu, go_on_then_kill]


@case("long-debug-gdbserver-tcg", lab={"tcg": True}, timeout=600)
def gdbserver(lab):
    """gdb attaches by the socket and sees threads, registers and memory; twenty times it leaves, in each
    of four ways; then it overstays, and postcopyd is killed under it: QEMU goes on, and completes."""
    watched = held_pair(lab)
    name, pid = watched.vm.name, lab.dst.qemu_pid(watched.vm.name)
    made = cut(lab, watched)
    blocked(lab, watched.vm)
    path = open_server(lab, name, "--session", "1h", "--idle", "10min")
    second = lab.dst.ctl("debug", name, "--mode", "gdbserver")
    assert second.rc == 1 and "already" in second.err, second
    for n in range(20):
        child = gdb(lab, path, *LOOK)
        wait_held(pid)
        out = LEAVE[n % len(LEAVE)](lab, child, path)
        wait_free(lab, pid)
        if out is None:
            continue
        assert "pc is there 1" in out and "sp 0" in out, out
        assert '"CPU 0/TCG"' in out and out.count("Thread ") >= len(proc.threads(pid)) - 1, out
        assert re.search(r"^#0 ", out, re.M), out
        shown = out
    print("\n".join(f"# {line}" for line in shown.splitlines() if "Thread" in line))
    lab.dst.kill_postcopyd()
    wait_free(lab, pid)
    start_dst(watched)
    wait_for(lambda: watched.status("dst")["phase"] == "paused", 30, "a daemon that knows")
    wait_free(lab, pid, path)  # the socket that was left
    overstay(lab, name, pid)
    killed_under_it(lab, watched, pid)
    recover_and_verify(lab, watched, made)


def overstay(lab, name, pid):
    path = open_server(lab, name, "--idle", "3s")
    child = gdb(lab, path)
    wait_held(pid)
    wait_for(lambda: not os.path.exists(lab.dst.inside(path)), 30, "the end of the session")
    assert stops(pid) == (0, 0, 0), stops(pid)
    child.communicate("quit\n", timeout=60)
    untouched(lab, pid)
    logs = [n for n in output_files(lab.dst) if n.endswith("-gdbserver.txt")]
    with open(os.path.join(lab.dst.inside(FOLDER), logs[-1])) as f:
        assert "nobody said anything" in f.read()


def killed_under_it(lab, watched, pid):
    path = open_server(lab, watched.vm.name)
    child = gdb(lab, path)
    wait_held(pid)
    lab.dst.kill_postcopyd()
    wait_for(lambda: stops(pid) == (0, 0, 0), 20, lambda: f"QEMU to go on: {stops(pid)}", 0.02)
    child.communicate("quit\n", timeout=60)
    start_dst(watched)
    wait_for(lambda: watched.status("dst")["phase"] == "paused", 30, "a daemon that knows")
    wait_free(lab, pid, path)


@case("long-debug-gdbserver-qemu-killed-tcg", lab={"tcg": True}, timeout=240)
def qemu_killed(lab):
    """kill -9 of a QEMU that gdb holds: it is gone, and so is the socket; postcopyd is not."""
    watched = held_pair(lab)
    name, pid = watched.vm.name, lab.dst.qemu_pid(watched.vm.name)
    cut(lab, watched)
    blocked(lab, watched.vm)
    path = open_server(lab, name)
    child = gdb(lab, path)
    wait_held(pid)
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    wait_for(lambda: not os.path.exists(f"/proc/{pid}/mem") or not proc.threads(pid), 20,
             "QEMU to be gone", 0.02)
    print(f"# gone after {(time.monotonic() - began) * 1000:.0f} ms")
    wait_for(lambda: not os.path.exists(lab.dst.inside(path)), 20, "the end of the socket")
    child.communicate("quit\n", timeout=60)
    assert lab.dst.ctl("list").rc == 0
