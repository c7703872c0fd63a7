# SPDX-License-Identifier: LGPL-2.1-or-later
"""Copies of a paused guest's disks in its snapshot: of one moment, bit for bit, though the guest
writes on; and nothing of ours is left in QEMU, however it ends."""

import json
import os
import select
import subprocess
import time

from pcdlab import disks
from pcdlab.bundle import FOLDER, bundles, ctl, manifest, only_bundle
from pcdlab.case import case
from pcdlab.host import BUS, Host
from pcdlab.proc import LabError
from pcdlab.shell import Shell, mount_cgroup2, paused_pair
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched

try:
    HOOKED = {"hook": Host.build_path("postcopyd-hook")}
except LabError:  # no build: the cases can be listed all the same
    HOOKED = {}
AS_UNIT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../tools/as-unit"))
HOLD = f"directory={FOLDER}"
OURS = "pcd-copy-"


CONFIG = "[recover]\nlibvirt-uri = qemu+tcp://{address}/system\n"


def make_disks(lab, mib, n):
    return [disks.make(os.path.join(lab.dir, f"disk{i}.raw"), mib, i) for i in range(n)]


class Copies:
    """A guest's disks, as they were before it ran, and what must be true of their copies."""

    def __init__(self, lab, vm, paths, originals):
        self.lab = lab
        self.vm = vm
        self.paths = paths
        self.originals = originals

    @staticmethod
    def read(path):
        with open(path, "rb") as f:
            return f.read()

    def last_on_disk(self):
        return disks.last_number([self.read(path) for path in self.paths])

    def check_bundle(self, path):
        """The last number on the copies, which are good."""
        ctl("verify", path)
        told = manifest(path)
        assert told["disks-note"] is None, told["disks-note"]
        parts = [disk["part"] for disk in told["disks"]]
        assert parts == [f"disk-{i}.qcow2" for i in range(len(self.paths))], told["disks"]
        copies = [disks.to_raw(os.path.join(path, part), os.path.join(self.lab.dir, "copy.raw"))
                  for part in parts]
        return disks.check_copies(self.originals, copies)

    def left_in_qemu(self):
        """Everything of ours in the destination's QEMU."""
        with self.vm.qmp("dst") as qmp:
            nodes = [node["node-name"] for node in qmp.command("query-named-block-nodes")]
            jobs = [job["id"] for job in qmp.command("query-jobs")]
        return [name for name in nodes + jobs if name.startswith(OURS)]

    def wait_clean(self, timeout=40):
        wait_for(lambda: not self.left_in_qemu(), timeout,
                 lambda: f"end of {self.left_in_qemu()}", 0.2)

    def wait_running(self):
        """Until the guest has on dst what it needs to go on."""
        wait_for(lambda: self.vm.ticks("dst") > 3, 30, "ticks of the guest on dst")

    def copying(self):
        with self.vm.qmp("dst") as qmp:
            return [job for job in qmp.command("query-jobs") if job["id"].startswith(OURS)]

    def check_guest(self):
        """It writes, and never had an error."""
        ticks = self.vm.ticks("dst")
        wait_for(lambda: self.vm.ticks("dst") > ticks, 30, "tick of the guest")
        assert "disk error" not in self.vm.serial("dst"), "a write of the guest failed"


class Pair(Copies):
    """A guest that writes to its disks, in postcopy; it waits for no page."""

    def __init__(self, lab, mib=24, n=2, **options):
        paths = make_disks(lab, mib, n)
        originals = [self.read(path) for path in paths]
        vm = lab.vm(mib=64, disks=paths, monitor=True, **options)
        super().__init__(lab, vm, paths, originals)
        self.migration = lab.migrate(vm, postcopy_bandwidth=1, unsafe=True).to_postcopy(0.5)
        self.wait_running()

    def finish(self):
        self.lab.heal()
        self.migration.wait_paused(20)
        self.migration.resume()
        self.migration.wait_completed(60)
        self.check_guest()


class WatchedPair(Copies):
    """The same with a daemon on each side; cut and paused."""

    def __init__(self, lab, mib=24, n=2, args=(), **options):
        paths = make_disks(lab, mib, n)
        originals = [self.read(path) for path in paths]
        self.watched = Watched(lab, config=CONFIG, mib=200, args=args,
                               vm_options={"disks": paths, "monitor": True},
                               before=lambda vm: [mount_cgroup2(host) for host in lab.hosts],
                               unsafe=True, **options)
        super().__init__(lab, self.watched.vm, paths, originals)
        self.wait_running()
        self.cut = lab.cut("link-down")
        self.watched.both_paused(self.cut.t, TIMEOUT + 1, "network")

    def wait_monitor(self):
        """Until a daemon that was started again has the control monitor: a stop needs it."""
        dst, name = self.lab.dst, self.vm.name
        wait_for(lambda: dst.ctl("stop", name, timeout=20).rc == 0, 40, "a stop by dst's daemon", 1)
        wait_for(lambda: dst.ctl("resume", name, timeout=20).rc == 0, 20, "its end", 1)

    def begin(self, *words):
        """Starts a snapshot on dst; returns when QEMU copies."""
        child = self.lab.dst.popen([Host.build_path("postcopyctl"), "--bus", BUS, "snapshot",
                                    self.vm.name, *words], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        wait_for(lambda: self.copying() or child.poll() is not None, 20, "a copy under way", 0.05)
        assert child.poll() is None, child.communicate()
        return child

    def finish(self):
        self.cut.heal()
        self.watched.hurry()
        self.watched.migration.wait_completed(90)
        self.check_guest()


def begin(shell, pair, *words):
    """Starts a snapshot by the shell; returns when QEMU copies."""
    shell.child.stdin.write(" ".join(["snapshot", "paused", HOLD, *words]) + "\n")
    shell.child.stdin.flush()
    wait_for(pair.copying, 20, "a copy under way", 0.02)


def end(shell, timeout=110):
    """What became of it."""
    assert select.select([shell.child.stdout], [], [], timeout)[0], "no answer"
    answer = json.loads(shell.child.stdout.readline())
    print(f"# {answer}", flush=True)
    return answer


def reasons(path):
    return [disk["reason"] or "" for disk in manifest(path)["disks"]]


def listening(host):
    """Ports of 127.0.0.1 that somebody listens on there."""
    return [line.split()[3] for line in host.run("ss", "-Hltn").out.splitlines()
            if line.split()[3].startswith("127.0.0.1:")]


def chain(lab, vm):
    return lab.dst.virsh("domblklist", vm.name, "--details").out


@case("snapshot-disks", lab=HOOKED, timeout=60)
def copied(lab):
    """Two disks are copied while the guest writes on, of one moment and bit for bit."""
    pair = Pair(lab)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, pair.vm, pair.migration, src, dst)
        before = chain(lab, pair.vm)
        began = time.monotonic()
        answer = dst("snapshot", "paused", HOLD, "speed=40", timeout=110)
        took = time.monotonic() - began
        assert answer["outcome"] == "done", answer
        assert took > 0.5, f"{took:.2f} s: the limit does not hold"
        assert chain(lab, pair.vm) == before
        assert pair.left_in_qemu() == []
        last, now = pair.check_bundle(only_bundle(lab.dst)), pair.last_on_disk()
        print(f"# at the pause {last} were written, at the end {now}")
        assert 0 < last < now - 20, (last, now)
    pair.finish()


@case("long-disks-held", lab=HOOKED, timeout=120)
def held(lab):
    """The guest was stopped before: the copies equal its disks as they lie there, though it is let go
    while they are made."""
    pair = Pair(lab, mib=48)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, pair.vm, pair.migration, src, dst)
        assert dst("stop", "paused")["outcome"] == "done"
        at_pause = pair.last_on_disk()
        begin(dst, pair, "speed=16")
        with pair.vm.qmp("dst") as qmp:
            qmp.command("cont")
        answer = end(dst)
        assert answer["outcome"] == "done", answer
        assert pair.check_bundle(only_bundle(lab.dst)) == at_pause
        assert pair.last_on_disk() > at_pause + 20
        assert pair.left_in_qemu() == [] and listening(lab.dst) == []
    pair.finish()


@case("long-disks-recover", lab=HOOKED, timeout=180)
def recovers(lab):
    """The migration is recovered and completes while its guest's disks are copied: the copies are of
    the pause all the same, and libvirt knows of nothing."""
    pair = Pair(lab, mib=48)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, pair.vm, pair.migration, src, dst)
        before = chain(lab, pair.vm)
        begin(dst, pair, "speed=5")
        pair.finish()
        assert pair.left_in_qemu(), "the copy was over before the migration"
        assert chain(lab, pair.vm) == before
        assert lab.dst.virsh("blockjob", pair.vm.name, "hda").out.strip() in \
            ("", "No current block job for hda")
        lab.dst.restart_libvirtd()
        answer = end(dst)
        assert answer["outcome"] == "done", answer
        last, now = pair.check_bundle(only_bundle(lab.dst)), pair.last_on_disk()
        print(f"# at the pause {last} were written, at the end {now}")
        assert last < now - 100
        assert pair.left_in_qemu() == []
        assert lab.dst.domstate(pair.vm.name)[0] == "running"
    pair.check_guest()


@case("long-disks-daemon", lab=HOOKED, timeout=240)
def by_daemon(lab):
    """By postcopyctl: the source's policy recovers meanwhile. The bundle is whole; a disk is in it as
    of the pause, or it says why not."""
    pair = WatchedPair(lab)
    child = pair.begin("--speed", "2")
    pair.finish()
    print(f"# {child.communicate(timeout=90)[0].strip()}")
    pair.wait_clean()
    for path in bundles(lab.dst):
        assert not os.path.basename(path).startswith("."), path
        ctl("verify", path)
        told = manifest(path)
        print(f"# {told['disks']}")
        assert all(disk["part"] or disk["reason"] for disk in told["disks"])
        if all(disk["part"] for disk in told["disks"]):
            pair.check_bundle(path)
    pair.check_guest()


@case("long-disks-killed", lab=HOOKED, timeout=400)
def killed(lab):
    """kill -9 of the daemon while disks are copied: no bundle, nothing left in QEMU when it runs again,
    and no write of the guest fails."""
    pair = WatchedPair(lab)
    for round_ in range(5):
        child = pair.begin("--speed", "2")
        time.sleep(0.3 * round_)
        lab.dst.kill_postcopyd()
        child.kill()
        child.wait(20)
        assert pair.left_in_qemu(), f"round {round_}: it was over before"
        time.sleep(1)  # as the unit's RestartSec
        pair.watched.start(lab.dst)
        pair.wait_clean()
        assert bundles(lab.dst) == []
        wait_for(lambda: not listening(lab.dst), 20, "end of the listener")
        pair.check_guest()
        pair.wait_monitor()
    assert lab.dst.ctl("snapshot", pair.vm.name, timeout=60).rc == 0
    assert pair.check_bundle(only_bundle(lab.dst)) > 0
    pair.finish()


@case("long-disks-called-off", lab=HOOKED, timeout=180)
def called_off(lab):
    """A snapshot of policy's is called off by a hold while disks are copied: they are left out, the
    rest is kept, QEMU is clean."""
    policy = {"name": "recover", "description": "Keeps only a snapshot.", "steps": [
        {"when": "stalled", "after": "3s", "do": "force-pause"},
        {"when": "paused", "after": "0s", "do": "snapshot", "with": {"speed": 1}}]}
    for host in lab.hosts:
        host.write("/etc/postcopyd/test-policies/recover.json", json.dumps(policy))
    pair = WatchedPair(lab, args=["--policy-dir", "/etc/postcopyd/test-policies"])
    wait_for(pair.copying, 30, "a copy under way", 0.1)
    # The copies begin while the guest is held; it goes on once its memory is kept. Called off before that,
    # nothing would be left.
    pair.check_guest()
    assert lab.dst.ctl("hold", pair.vm.name).rc == 0
    wait_for(lambda: bundles(lab.dst) and
             not any(os.path.basename(path).startswith(".") for path in bundles(lab.dst)), 40,
             "the rest of the bundle", 0.1)
    path = only_bundle(lab.dst)
    ctl("verify", path)
    assert all("called off" in reason for reason in reasons(path)), reasons(path)
    assert pair.left_in_qemu() == [] and listening(lab.dst) == []
    assert not [name for name in os.listdir(path) if name.endswith(".qcow2")]
    pair.check_guest()


@case("long-disks-full", lab=HOOKED, timeout=120)
def full(lab):
    """The file system fills up while disks are copied: they are left out with the reason, the guest
    gets no error. One that is too small is told before."""
    pair = Pair(lab)
    lab.dst.run("mkdir", "-m", "700", "-p", FOLDER)
    lab.dst.run("mount", "-t", "tmpfs", "-o", "size=400m,mode=700", "tmpfs", FOLDER)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, pair.vm, pair.migration, src, dst)
        begin(dst, pair, "speed=4")
        filler = os.path.join(lab.dst.inside(FOLDER), "filler")
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], stderr=subprocess.DEVNULL,
                       timeout=60)  # to its end: no space left
        answer = end(dst)
        assert answer["outcome"] == "done", answer
        path = next(p for p in bundles(lab.dst) if p != filler)
        ctl("verify", path)
        assert all("No space left" in reason for reason in reasons(path)), reasons(path)
        assert pair.left_in_qemu() == []
        os.unlink(filler)
        subprocess.run(["fallocate", "-l", "340m", filler], check=True, timeout=60)
        time.sleep(1)  # bundles are named by the second
        answer = dst("snapshot", "paused", HOLD, timeout=110)
        told = [manifest(p) for p in bundles(lab.dst) if p not in (path, filler)]
        assert len(told) <= 1
        if told:
            assert "are free" in told[0]["disks-note"], told[0]["disks-note"]
        else:
            assert "are free" in answer["reason"], answer
    pair.check_guest()


@case("long-disks-qemu-killed", lab=HOOKED, timeout=120)
def qemu_killed(lab):
    """QEMU ends while its disks are copied: what was complete is kept, the disks are not."""
    pair = Pair(lab)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, pair.vm, pair.migration, src, dst)
        begin(dst, pair, "speed=2")
        wait_for(lambda: any("memory.zst" in os.listdir(path) for path in bundles(lab.dst)), 20,
                 "the memory")
        time.sleep(1.5)
        lab.cut("kill-qemu", side="dst", domain=pair.vm.name)
        answer = end(dst)
        assert listening(lab.dst) == []
    for path in bundles(lab.dst):
        assert not os.path.basename(path).startswith("."), path
        ctl("verify", path)
        assert all("QEMU has ended" in reason for reason in reasons(path)), reasons(path)


@case("long-disks-blocked", lab=HOOKED, timeout=120)
def blocked(lab):
    """A worker of QEMU waits for a page that the guest's DMA is to fill: no disk is copied, the bundle
    says why and has the memory, and QEMU answers."""
    pair = Pair(lab, n=1, dma=True)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, pair.vm, pair.migration, src, dst)

        def worker_waits():
            done = lab.dst.run(Host.build_path("postcopyctl"), "inspect", "--pid",
                               lab.dst.qemu_pid(pair.vm.name), "--json", check=False)
            return [t for t in (json.loads(done.out)["threads"] if done else [])
                    if t["vcpu"] is None and t["blocked"] == "yes"]
        wait_for(worker_waits, 20, "a blocked worker on dst", 0.2)
        answer = dst("snapshot", "paused", HOLD, timeout=110)
        assert answer["outcome"] == "done", answer
        path = only_bundle(lab.dst)
        told = manifest(path)
        print(f"# {told['disks-note']}")
        assert "a thread other than a vCPU waits" in told["disks-note"], told
        assert told["memory"]["present"] > 0
        assert all(reason for reason in reasons(path))
        assert pair.left_in_qemu() == []
    lab.heal()
    pair.migration.wait_paused(20)
    pair.migration.resume()
    pair.migration.wait_completed(60)


@case("long-disks-skipped", lab=HOOKED, timeout=120)
def skipped(lab):
    """Disks that are read-only or shared are not copied, and the bundle says so; nobody but QEMU gets
    an answer at the port."""
    more = "".join(f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{disks.make(os.path.join(lab.dir, name), 3, 9)}'/>
      <target dev='{dev}' bus='virtio'/><{flag}/>
    </disk>""" for name, dev, flag in (("ro.raw", "vda", "readonly"),
                                       ("shared.raw", "vdb", "shareable")))
    pair = Pair(lab, n=1, devices=more)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, pair.vm, pair.migration, src, dst)
        begin(dst, pair, "speed=8")
        port = wait_for(lambda: listening(lab.dst), 10, "the port")[0].rpartition(":")[2]
        thief = lab.dst.run("socat", "-T5", "-", f"TCP:127.0.0.1:{port}", check=False, timeout=20)
        assert "NBDMAGIC" not in thief.out, thief
        answer = end(dst)
        assert answer["outcome"] == "done", answer
    told = {disk["source"].rpartition("/")[2]: disk for disk in manifest(only_bundle(lab.dst))["disks"]}
    assert told["disk0.raw"]["part"] == "disk-0.qcow2", told
    assert told["ro.raw"]["reason"] == "it is read-only", told
    assert "others may write" in told["shared.raw"]["reason"], told
    pair.finish()


@case("long-disks-privilege", lab=HOOKED, timeout=180)
def privilege(lab):
    """With no more privilege than the unit leaves the daemon."""
    lab.dst.confinement = [AS_UNIT, os.path.join(os.environ["PCD_BUILD"], "units",
                                                 "postcopyd.service")]
    pair = WatchedPair(lab)
    pair.wait_monitor()
    done = lab.dst.ctl("snapshot", pair.vm.name, timeout=60)
    print(f"# {(done.out + done.err).strip()}")
    assert done.rc == 0, done
    assert pair.check_bundle(only_bundle(lab.dst)) > 0
    assert "not permitted" not in lab.dst.postcopyd_log, lab.dst.postcopyd_log
    pair.finish()
