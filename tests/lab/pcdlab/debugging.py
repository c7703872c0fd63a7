# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the cases of action debug share: a pair that is held, and whether QEMU was left as it was."""

import json
import os
import signal

from pcdlab import proc, verify_memory
from pcdlab.follower import Follower
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched

CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
"""
SIGSTOP_BIT = 1 << (signal.SIGSTOP - 1)
GDB = "/usr/bin/gdb"


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
