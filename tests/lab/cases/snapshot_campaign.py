# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots that are struck at random moments, on both sides, again and again: a full disk, kill -9 of
the daemon, kill -9 of QEMU. Each time there is a whole bundle or none, and nothing else is left."""

import json
import os
import random
import subprocess
import time

from pcdlab.bundle import FOLDER, bundles, ctl
from pcdlab.case import case
from pcdlab.host import BUS, Host
from pcdlab.proc import LabError
from pcdlab.shell import Shell, mount_cgroup2
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched

try:
    HOOKED = {"hook": Host.build_path("postcopyd-hook")}
except LabError:  # no build: the cases can be listed all the same
    HOOKED = {}
CONFIG = "[recover]\nlibvirt-uri = qemu+tcp://{address}/system\n"
SMALL = "/var/lib/postcopyd/small"  # a disk of its own, to be filled
# QEMU's memory must seem to fit when the snapshot begins; at the strike the disk becomes too small at
# once: to what is in use, or a little more.
MIB = 256
SMALL_MIB = 640
SHRINK = (f"for size in 4k 16k 64k 256k 1m 4m 16m 64m; do mount -o remount,size=$size {SMALL} "
          "2>/dev/null && exit 0; done; exit 1")
REST = 2000000000                   # the guest writes once: the destination has most of it, and it can be stopped


def ls(host, folder):
    return host.run("ls", "-A", folder, check=False).out.split()


def unfinished(host):
    return [name for folder in (FOLDER, SMALL) for name in ls(host, folder) if name.startswith(".")]


def wait_paused(watched, host):
    """A postcopyd that was just started knows it."""
    def knows():
        done = host.ctl("status", watched.vm.name, "--json")
        return done.rc == 0 and json.loads(done.out)["migrations"][0]["phase"] == "paused"
    wait_for(knows, 30, f"phase paused on {host.name}")


def name_of(task):
    """Empty if it has ended meanwhile."""
    try:
        with open(f"{task}/comm") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def target_of(link):
    """Empty if it was closed meanwhile."""
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


class Round:
    """One snapshot on one host, and what strikes it."""

    def __init__(self, watched, host, kind, delay):
        self.watched, self.host, self.kind, self.delay = watched, host, kind, delay
        self.name = watched.vm.name

    def __str__(self):
        return f"{self.kind} on {self.host.name} after {self.delay * 1000:.0f} ms"

    def begin(self):
        words = ["snapshot", self.name]
        if self.kind == "full":
            self.host.run("mkdir", "-p", SMALL)
            self.host.run("mount", "-t", "tmpfs", "-o", f"size={SMALL_MIB}m,mode=700", "tmpfs", SMALL)
            words += ["--directory", SMALL]
        self.child = self.host.popen([Host.build_path("postcopyctl"), "--bus", BUS, *words],
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if self.kind != "full":  # that disk is seen in the host only
            wait_for(lambda: self.child.poll() is not None or
                     any(os.path.basename(path).startswith(".") for path in bundles(self.host)), 20,
                     f"a snapshot under way: {self}", 0.002)
        time.sleep(self.delay)

    def strike(self):
        """Whether the snapshot was still under way then."""
        if self.kind == "daemon":
            self.watched.followers.pop(self.host.name).stop()
            self.host.kill_postcopyd()
        elif self.kind == "qemu":
            self.watched.lab.cut("kill-qemu", side=self.host.name, domain=self.name)
        else:
            self.host.run("sh", "-c", SHRINK, timeout=30)
        under_way = bool(unfinished(self.host)) if self.kind == "daemon" else self.child.poll() is None
        self.told = self.child.communicate(timeout=60)[0].strip()
        return under_way or self.child.returncode != 0

    def tidy(self):
        if self.kind == "daemon":
            self.watched.start(self.host)
            wait_paused(self.watched, self.host)
        wait_for(lambda: not unfinished(self.host), 10, f"no unfinished bundle: {self}: {self.told}")
        self.check_bundles()
        if self.kind == "full":
            self.host.run("umount", SMALL)
        self.check_daemon()

    def check_bundles(self):
        for path in bundles(self.host):
            ctl("verify", path)
        for name in ls(self.host, SMALL):
            self.host.run(Host.build_path("postcopyctl"), "snapshot", "verify", f"{SMALL}/{name}")

    def check_daemon(self):
        """No thread of the snapshot's, no file of it held open."""
        pid = self.host.postcopyd_pid

        def held():
            names = []
            for task in os.listdir(f"/proc/{pid}/task"):
                names += [f"thread {task}"] if name_of(f"/proc/{pid}/task/{task}") == "snapshot" else []
            for fd in os.listdir(f"/proc/{pid}/fd"):
                path = target_of(f"/proc/{pid}/fd/{fd}")
                names += [path] if FOLDER in path or SMALL in path or path.endswith("/mem") else []
            return names
        wait_for(lambda: not held(), 10, f"nothing left in postcopyd: {self}")


def check_guest(watched):
    """The destination's is not left stopped, frozen or traced."""
    lab = watched.lab
    pid = lab.dst.qemu_pid(watched.vm.name)
    # Those of QEMUs that died frozen are empty, and go when the next one is made.
    wait_for(lambda: "1" not in lab.dst.run(
        "sh", "-c", f"cat /sys/fs/cgroup/postcopyd-{pid}-*/cgroup.freeze", check=False).out.split(), 20,
        "end of a freeze")
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat") as f:
            state = f.read().rpartition(")")[2].split()[0]
        assert state not in "tT", f"thread {task} is left in state {state}"

    def runs():
        watched.followers.pop("dst").stop()
        lab.dst.kill_postcopyd()  # the control monitor has room for one
        with Shell(lab, "dst", monitor=True) as dst:
            status = dst("status")["status"]
        watched.start(lab.dst)
        wait_paused(watched, lab.dst)
        return status == "running"
    wait_for(runs, 60, "a guest that goes on", 3)


def generation(lab, rng, tally):
    """One migration, struck until both its QEMUs are dead."""
    rest = rng.choice((0, REST))
    watched = Watched(lab, config=CONFIG, mib=MIB, vm_options={"rest": rest},
                      before=lambda vm: [mount_cgroup2(host) for host in lab.hosts])
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 20, "network")
    plan = [(kind, host) for kind in ("daemon", "full") for host in lab.hosts]
    plan += [(rng.choice(("daemon", "full")), rng.choice(lab.hosts))]
    rng.shuffle(plan)
    for kind, host in [*plan, (None, None), ("qemu", lab.dst), ("qemu", lab.src)]:
        if kind is None:
            check_guest(watched)
            continue
        one = Round(watched, host, kind, rng.random() * rng.choice((0.03, 0.15, 0.3)))
        one.begin()
        cut_short = one.strike()
        one.tidy()
        tally.append((kind, host.name, cut_short))
        print(f"# {len(tally)}: {one}: {'cut short' if cut_short else 'was whole before'}: {one.told[-160:]}",
              flush=True)
        time.sleep(1)  # bundles are named by the second
    whole = sum(len(bundles(host)) for host in lab.hosts)
    lab.clean()
    return whole


def campaign(lab, rounds):
    seed = int(os.environ.get("PCD_SEED", "0")) or random.SystemRandom().randrange(1, 10 ** 6)
    print(f"# PCD_SEED={seed}", flush=True)
    rng, tally, whole = random.Random(seed), [], 0
    while len(tally) < rounds:
        whole += generation(lab, rng, tally)
    for kind in ("full", "daemon", "qemu"):
        for side in ("src", "dst"):
            these = [cut_short for k, s, cut_short in tally if (k, s) == (kind, side)]
            print(f"# {kind} on {side}: {len(these)} rounds, {sum(these)} cut short")
            assert these, f"no round of {kind} on {side}"
    print(f"# {len(tally)} rounds, {sum(t[2] for t in tally)} cut short, {whole} whole bundles in the "
          "daemons' own folders, none in pieces")
    assert any(cut_short for _, _, cut_short in tally)


@case("long-snapshot-campaign", lab=HOOKED, timeout=2400)
def long_campaign(lab):
    """50 rounds."""
    campaign(lab, 50)


@case("long-snapshot-sample", lab=HOOKED, timeout=400)
def sample(lab):
    """One migration's worth of it."""
    campaign(lab, 7)
