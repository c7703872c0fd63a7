# SPDX-License-Identifier: LGPL-2.1-or-later
"""Action debug, mode guest, on real VMs: QEMU's own gdb stub behind a gate. gdb sees the guest's registers
and memory, never a page that is missing, and the guest is left as it was."""

import os
import re
import signal
import subprocess
import time

from pcdlab.case import Skip, case
from pcdlab.host import Host
from pcdlab.proc import LabError
from pcdlab.shell import Shell, dst_blocked, in_postcopy, paused_pair
from pcdlab.verify import verify_memory
from pcdlab.wait import wait_for

try:
    HOOKED = {"hook": Host.build_path("postcopyd-hook")}
except LabError:  # no build: the cases can be listed all the same
    HOOKED = {}
STATE = "/var/lib/pcd-guest"
# Slow enough that a vCPU seldom waits for a page.
REST = 3000000


def open_guest(lab, dst, phase, *words):
    answer = dst("debug", phase, "mode=guest", f"state-dir={STATE}", *words)
    assert answer["outcome"] == "done", answer
    path = re.search(r"target remote ([^'\\]+)", answer["reason"])[1]
    assert os.lstat(lab.dst.inside(path)).st_mode & 0o777 == 0o600
    return path


def gdb(lab, path, *commands):
    words = ["gdb", "-nx", "-nh", "-iex", "set auto-load no", "-iex", "set pagination off",
             "-iex", "set confirm off", "-ex", f"target remote {path}"]
    for command in commands:
        words += ["-ex", command]
    return lab.dst.popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)


def wait_status(dst, word):
    wait_for(lambda: dst("status")["status"] == word, 30, f"status {word}", 0.05)


def no_stub(lab, pid):
    """No socket of ours, no listening one of the stub's, no connection between them."""
    left = [line for line in lab.dst.run("cat", "/proc/net/unix").out.splitlines()
            if "postcopyd-gdb" in line]
    assert not left, left


@case("long-debug-guest", lab=HOOKED, timeout=400)
def guest(lab):
    """After a completed migration: gdb stops the guest, reads registers and memory; twenty times it
    leaves by detaching, by being killed, or by wanting to kill: each time the guest runs again."""
    vm, migration = in_postcopy(lab)
    lab.src.virsh("migrate-setspeed", vm.name, "1000", "--postcopy")
    wait_for(migration.is_completed, 120, "completion")
    pid = lab.dst.qemu_pid(vm.name)
    lab.dst.run("mkdir", "-m", "700", "-p", STATE)
    with Shell(lab, "dst", monitor=True) as dst:
        unforced = dst("debug", "completed", "mode=guest", f"state-dir={STATE}")
        assert unforced["outcome"] == "refused", unforced
        path = open_guest(lab, dst, "completed", "+force")
        wait_status(dst, "running")  # nothing happens before somebody comes
        for n in range(20):
            child = gdb(lab, path, 'printf "pc is there %d\\n", $pc != 0', "x/4xb $pc", "x/2xg $sp",
                        "info threads")
            wait_status(dst, "paused")
            if n % 3 == 0:
                child.send_signal(signal.SIGKILL)
                child.communicate()
            else:
                out, _ = child.communicate("detach\n" if n % 3 == 1 else "kill\n", timeout=90)
                assert "pc is there 1" in out and "CPU" in out, out
                assert re.search(r"^0x[0-9a-f]+.*:\t0x[0-9a-f]{2}\t0x", out, re.M), out
                shown = out
            wait_status(dst, "running")
            no_stub(lab, pid)
            ticks = vm.ticks("dst")
            wait_for(lambda: vm.ticks("dst") > ticks, 30, "tick of the guest")
        print("\n".join(f"# {line}" for line in shown.splitlines() if "0x" in line))
        killed_under_it(lab, vm, dst, path)
    no_stub(lab, pid)
    print(f"# {verify_memory(vm)}")


def killed_under_it(lab, vm, dst, path):
    """act-shell, as postcopyd, is killed while gdb has the guest: `resume` of the next one helps."""
    child = gdb(lab, path)
    wait_status(dst, "paused")
    dst.child.kill()
    dst.child.wait()
    child.communicate("quit\n", timeout=60)
    lab.dst.run("rm", "-f", path)  # as the daemon does when it begins
    with Shell(lab, "dst", monitor=True) as after:
        wait_status(after, "paused")
        answer = after("resume", "completed", f"state-dir={STATE}")
        assert answer["outcome"] == "done", answer
        wait_status(after, "running")
        again = after("resume", "completed", f"state-dir={STATE}")
        assert "holds nothing" in again["reason"], again


@case("long-debug-guest-missing-pages", lab=HOOKED, timeout=400)
def missing_pages(lab):
    """A guest that was stopped before the cut: gdb reads what is there, what is missing is an error and
    no wait, QEMU answers all the time, the guest stays stopped, and the migration completes."""
    vm, migration = in_postcopy(lab, rest=REST)
    lab.dst.run("mkdir", "-m", "700", "-p", STATE)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        for _ in range(60):
            if dst("stop", "postcopy")["outcome"] == "done":
                break
            time.sleep(0.1)
        else:
            raise Skip("the vCPU waits for pages all the time")
        paused_pair(lab, vm, migration, src, dst)
        path = open_guest(lab, dst, "paused")
        dst("ask", "begin")
        child = gdb(lab, path, "x/1xb $pc",
                    *(f"x/1xb {mib << 20:#x}" for mib in range(2, 112)))
        out, _ = child.communicate("detach\n", timeout=90)
        asked = dst("ask", "end")
        read = len(re.findall(r"^0x[0-9a-f]+.*:\t0x", out, re.M))
        missing = len(re.findall(r"Cannot access memory", out))
        print(f"# {read} addresses read, {missing} missing; {asked}")
        assert read > 0 and missing > 0, out
        assert asked["failed"] == 0, asked
        wait_status(dst, "paused")
        lab.heal()
        migration.wait_paused(20)
        migration.resume()
        wait_for(lambda: lab.src.qemu_pid(vm.name) is None, 120, "end of the source", 0.1)
        assert dst("resume", "completed", "+stopped")["outcome"] == "done"
        wait_status(dst, "running")
    wait_for(migration.is_completed, 30, "completion")
    print(f"# {verify_memory(vm)}")


@case("long-debug-guest-refused", lab=HOOKED, timeout=120)
def refused(lab):
    """A vCPU waits where QMP stop would hang: no stub, no socket, and a word about which thread."""
    if not lab.state["kvm"]:
        raise Skip("no KVM here: not this path")
    vm, migration = in_postcopy(lab)
    lab.dst.run("mkdir", "-m", "700", "-p", STATE)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, vm, migration, src, dst)
        thread = dst_blocked(lab, vm)[0]
        if thread["kickable"] != "no":
            raise Skip("this kernel's vCPU can be kicked")
        answer = dst("debug", "paused", "mode=guest", f"state-dir={STATE}")
        assert answer["outcome"] == "refused" and answer["ms"] < 50 * slack(), answer
        assert str(thread["tid"]) in answer["reason"] and thread["path"] in answer["reason"], answer
        assert "stacks" in answer["reason"], answer
        no_stub(lab, lab.dst.qemu_pid(vm.name))


def slack():
    """A machine that others load answers later; alone it is 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
