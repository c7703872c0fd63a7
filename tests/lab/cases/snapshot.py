# SPDX-License-Identifier: LGPL-2.1-or-later
"""The memory of a guest that is on two hosts, kept on both and made one again; and nothing, or all
of it, when it is cut short."""

import json
import os
import subprocess
import time

from pcdlab import verify_memory
from pcdlab.bundle import (FOLDER, bundles, by_gdb, ctl, manifest, merge, only_bundle,
                           verify_core)
from pcdlab.case import case
from pcdlab.host import BUS, Host
from pcdlab.proc import LabError
from pcdlab.shell import Shell, dst_blocked, in_postcopy, mount_cgroup2, paused_pair
from pcdlab.verify import FIRST_PAGE, PAGE
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched

try:
    HOOKED = {"hook": Host.build_path("postcopyd-hook")}
except LabError:  # no build: the cases can be listed all the same
    HOOKED = {}
HOOKED_TCG = {**HOOKED, "tcg": True}
CONFIG = "[recover]\nlibvirt-uri = qemu+tcp://{address}/system\n"
METADATA = ["--uri", "https://postcopyd.org/policy/1", "--key", "postcopyd", "--live", "--set"]
HOLD = [f"directory={FOLDER}"]


def snapshot(shell, *words, outcome="done"):
    answer = shell("snapshot", "paused", *HOLD, *words, timeout=110)
    assert answer["outcome"] == outcome, answer
    return answer


def check_merged(lab, vm):
    """Both halves, made one: every page as the guest wrote it; gdb reads it, too."""
    source, destination = only_bundle(lab.src), only_bundle(lab.dst)
    for path in (source, destination):
        assert os.stat(path).st_mode & 0o777 == 0o700
        for name in os.listdir(path):
            assert os.stat(os.path.join(path, name)).st_mode & 0o777 == 0o600, name
        ctl("verify", path)
    half = manifest(destination)
    assert half["memory"]["present"] > 0 and half["memory"]["missing"] > 0, half["memory"]
    assert half["guest"]["consistent"], half["guest"]
    assert manifest(source)["memory"]["missing"] == 0
    core, told = merge(lab, source, destination)
    assert " 0 missing" in told, told
    rounds = verify_core(vm, core)
    page = FIRST_PAGE + vm.mib * 256 // vm.vcpus // 2
    assert by_gdb(core, page * PAGE)[1] == page
    refused = ctl("merge", destination, source, "--output", core + "2", check=False)
    assert refused.rc == 1 and not os.path.exists(core + "2"), refused
    return core, rounds


def both_halves(lab, mib=96, vcpus=1, monitor=True, first="dst", **options):
    vm, migration = in_postcopy(lab, mib=mib, vcpus=vcpus, **options)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=monitor) as dst:
        paused_pair(lab, vm, migration, src, dst)
        dst_blocked(lab, vm)
        for shell in (dst, src) if first == "dst" else (src, dst):
            snapshot(shell)
        check_merged(lab, vm)
        assert dst("resume", "paused")["outcome"] in ("done", "refused")
    return vm, migration


def finish(lab, vm, migration):
    """Nothing of it was in the way of the migration."""
    lab.heal()
    migration.wait_paused(20)
    migration.resume()
    migration.wait_completed(60)
    ticks = vm.ticks("dst")
    wait_for(lambda: vm.ticks("dst") > ticks, 30, "tick of the guest after the recovery")
    verify_memory(vm)


@case("snapshot-merge", lab=HOOKED, timeout=60)
def merged(lab):
    """Snapshots of both sides of a cut migration make the guest's memory, every page."""
    finish(lab, *both_halves(lab))


@case("long-snapshot-merge-4", lab=HOOKED, timeout=120)
def merged_4(lab):
    """The same with 4 vCPUs, the source's half first."""
    finish(lab, *both_halves(lab, vcpus=4, first="src"))


@case("long-snapshot-merge-tcg", lab=HOOKED_TCG, timeout=120)
def merged_tcg(lab):
    """The same on TCG."""
    finish(lab, *both_halves(lab))


@case("long-snapshot-merge-memfd", lab=HOOKED, timeout=120)
def merged_memfd(lab):
    """The same with memory in a shared memfd."""
    finish(lab, *both_halves(lab, memfd=True))


@case("long-snapshot-merge-no-monitor", timeout=120)
def merged_no_monitor(lab):
    """Without a control monitor the destination's layout is taken from the source's."""
    vm, migration = both_halves(lab, monitor=None)
    half = manifest(only_bundle(lab.dst))["memory"]
    assert half["note"] and not half["ranges"], half
    finish(lab, vm, migration)


def merged_large(lab, **options):
    """4 GiB, of which the guest writes what lies below the PCI hole: constant memory."""
    vm, migration = in_postcopy(lab, mib=3040, memory=4096, **options)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, vm, migration, src, dst)
        dst_blocked(lab, vm)
        snapshot(dst)
        snapshot(src)
        peak = peak_mib(src)
        print(f"# peak of the source's process: {peak:.0f} MiB")
        assert peak < 100, peak
        check_merged(lab, vm)


@case("long-snapshot-merge-4g", lab=HOOKED, timeout=300)
def merged_4g(lab):
    """The same with 4 GiB."""
    merged_large(lab)


@case("long-snapshot-merge-4g-4-memfd", lab=HOOKED, timeout=300)
def merged_4g_4_memfd(lab):
    """With 4 GiB of a shared memfd, and 4 vCPUs."""
    merged_large(lab, vcpus=4, memfd=True)


@case("long-snapshot-merge-4g-4", lab=HOOKED, timeout=300)
def merged_4g_4(lab):
    """With 4 GiB and 4 vCPUs."""
    merged_large(lab, vcpus=4)


@case("long-snapshot-merge-4g-memfd", lab=HOOKED, timeout=300)
def merged_4g_memfd(lab):
    """With 4 GiB of a shared memfd."""
    merged_large(lab, memfd=True)


def peak_mib(shell):
    with open(f"/proc/{shell.child.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) / 1024


def watched_pair(lab, mib=200, policy=None, **options):
    def before(vm):
        mount_cgroup2_both(lab)
        if policy:
            lab.src.virsh("metadata", vm.name, *METADATA, f"<policy name='{policy}'/>")
    watched = Watched(lab, config=CONFIG, mib=mib, before=before, **options)
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    return watched, cut


def mount_cgroup2_both(lab):
    for host in lab.hosts:
        mount_cgroup2(host)


def check_measured(path):
    """The incident's timeline has looks at QEMU in it, each of which differs from the one before."""
    with open(os.path.join(path, "incident.json")) as f:
        told = [entry["event"] for entry in json.load(f)["timeline"] if entry["type"] == "event"]
    looks = [event for event in told if event["kind"] == "measured"]
    print(f"# {[(look['to'], look.get('detail')) for look in looks]}")
    assert any(", retransmits " in look.get("detail", "") for look in looks), looks
    if looks[0]["role"] == "destination":
        assert any(" blocked: " in look.get("detail", "") for look in looks), looks
    for a, b in zip(looks, looks[1:]):
        assert b["monotonic-usec"] - a["monotonic-usec"] > 900000, (a, b)


def check_tcp_info(path, connection):
    """The connection's last seconds, told when it had ended: it flowed, was cut, was shut down."""
    with open(os.path.join(path, "tcp-info.txt")) as f:
        lines = f.read().splitlines()
    columns = lines[0].removeprefix("# ").split()
    ends = [line for line in lines[2:] if line.startswith("#")]
    assert len(ends) == 1 and ": ended: " in ends[0], ends
    assert all(end in ends[0] for end in connection.split()), (ends, connection)
    samples = [dict(zip(columns, map(int, line.split()), strict=True))
               for line in lines if not line.startswith("#")]
    assert len(samples) >= 5, lines
    assert [one["now"] for one in samples] == sorted(one["now"] for one in samples), lines
    quiet = [min(one["last_ack_recv"], one["last_data_recv"]) for one in samples
             if one["state"] == 1]
    assert min(quiet) < 500 and max(quiet) > 1000, quiet  # heard at first, ms, then no more
    print(f"# {ends[0]}; {len(samples)} samples, silent {max(quiet)} ms at last")


@case("long-snapshot-daemon", lab=HOOKED, timeout=180)
def by_daemon(lab):
    """By postcopyctl through the daemons, by their connection known to belong together; policy
    recovers all the same, and the guest runs on."""
    watched, cut = watched_pair(lab)
    dst_blocked(lab, watched.vm)
    for host in lab.hosts:
        done = host.ctl("snapshot", watched.vm.name, timeout=60)
        print(f"# {host.name}: {done.out.strip()}")
        assert done.rc == 0, done
    one, other = (manifest(only_bundle(host)) for host in lab.hosts)
    assert one["migration"]["connection"], one["migration"]
    assert one["migration"]["connection"] == other["migration"]["connection"]
    assert one["incident"] and other["incident"]
    for host in lab.hosts:
        check_measured(only_bundle(host))
        check_tcp_info(only_bundle(host), one["migration"]["connection"])
    check_merged(lab, watched.vm)
    cut.heal()
    watched.hurry()
    watched.migration.wait_completed(60)
    ticks = watched.vm.ticks("dst")
    wait_for(lambda: watched.vm.ticks("dst") > ticks, 30, "tick of the guest")
    print(f"# {verify_memory(watched.vm, 'dst')}")


@case("long-snapshot-recover", lab=HOOKED, timeout=180)
def recovers_meanwhile(lab):
    """While the source's memory is read, monitors answer, and policy recovers: the snapshot of a
    source that ends is none, one that was quicker is whole; the guest's memory is good."""
    watched, cut = watched_pair(lab, mib=1200)
    child = lab.src.popen([Host.build_path("postcopyctl"), "--bus", BUS, "snapshot",
                           watched.vm.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: any("memory.zst" in os.listdir(path) for path in bundles(lab.src)), 20,
             "a snapshot under way", 0.005)
    for words in (("list",), ("domstate", watched.vm.name)):
        took = lab.src.virsh(*words).seconds
        assert took < 1.0, f"virsh {words} took {took:.2f} s"
    cut.heal()
    watched.followers["src"].wait("phase", "recovering", cut.t_healed, 30)
    still = child.poll() is None
    watched.hurry()
    watched.migration.wait_completed(90)
    print(f"# recovering {'while' if still else 'after'} the snapshot was written: "
          f"{child.communicate(timeout=30)[0].decode().strip()}")
    for path in bundles(lab.src):
        assert not os.path.basename(path).startswith("."), path
        ctl("verify", path)
    assert len(bundles(lab.src)) == (1 if child.returncode == 0 else 0), bundles(lab.src)
    verify_memory(watched.vm)


@case("long-snapshot-forensic", lab=HOOKED, timeout=180)
def forensic(lab):
    """Policy forensic, by itself: holds the guest, keeps both halves, recovers, lets it go."""
    watched, cut = watched_pair(lab, policy="forensic")
    for host in lab.hosts:
        wait_for(lambda: [p for p in bundles(host) if not os.path.basename(p).startswith(".")],
                 40, f"a snapshot on {host.name}; told: "
                 f"{watched.followers[host.name].story(cut.t)}", 0.2)
    assert manifest(only_bundle(lab.dst))["guest"]["held"] == "frozen"
    check_merged(lab, watched.vm)
    before = watched.vm.serial("dst")
    time.sleep(2)
    assert watched.vm.serial("dst") == before, "the snapshot let a guest go that policy holds"
    cut.heal()
    watched.hurry()
    watched.migration.wait_completed(60)
    ticks = watched.vm.ticks("dst")
    wait_for(lambda: watched.vm.ticks("dst") > ticks, 30, "tick of the guest")
    verify_memory(watched.vm)


def kill_in_snapshot(lab, host, name, delay):
    """Kills the daemon so long after its snapshot was begun; returns whether one was under way."""
    child = host.popen([Host.build_path("postcopyctl"), "--bus", BUS, "snapshot", name],
                       stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def begun():
        return child.poll() is not None or \
            any(os.path.basename(path).startswith(".") for path in bundles(host))
    wait_for(begun, 20, f"a snapshot under way on {host.name}", 0.002)
    time.sleep(delay)
    host.kill_postcopyd()
    under_way = any(os.path.basename(path).startswith(".") for path in bundles(host))
    child.kill()
    child.wait(20)
    return under_way


def is_left_frozen(host):
    done = host.run("sh", "-c", "cat /sys/fs/cgroup/postcopyd-*/cgroup.freeze", check=False)
    return "1" in done.out.split()


@case("long-snapshot-killed", lab=HOOKED, timeout=400)
def killed(lab):
    """kill -9 of the daemon at all moments of a snapshot, on both sides: a whole bundle or none after
    the next start, and a guest that is not left frozen."""
    watched, cut = watched_pair(lab)
    dst_blocked(lab, watched.vm)
    cut_short = was_frozen = 0
    for round_ in range(16):
        host = lab.hosts[round_ % 2]
        cut_short += kill_in_snapshot(lab, host, watched.vm.name, 0.04 * (round_ // 2))
        was_frozen += is_left_frozen(lab.dst)
        watched.start(host)
        wait_for(lambda: watched.status(host.name)["phase"] == "paused", 20,
                 f"phase paused on {host.name}")
        for path in bundles(host):
            assert not os.path.basename(path).startswith("."), path
            ctl("verify", path)
        assert not is_left_frozen(lab.dst), f"round {round_}: left frozen"
        time.sleep(1)  # bundles are named by the second
    whole = sum(len(bundles(host)) for host in lab.hosts)
    print(f"# of 16 snapshots {cut_short} were cut short, {whole} whole; the guest had to be "
          f"thawed {was_frozen} times")
    assert cut_short > 0 and was_frozen > 0
    cut.heal()
    watched.hurry()
    watched.migration.wait_completed(60)
    ticks = watched.vm.ticks("dst")
    wait_for(lambda: watched.vm.ticks("dst") > ticks, 30, "tick of the guest")
    verify_memory(watched.vm)


def is_running(lab):
    """The destination's guest, by the control monitor, while no postcopyd has it."""
    with Shell(lab, "dst", monitor=True) as dst:
        return dst("status")["status"] == "running"


@case("long-snapshot-stop-killed", lab=HOOKED, timeout=300)
def stop_killed(lab):
    """kill -9 of the daemon while its snapshot has the guest stopped: the next one lets it go, though
    its policy says nothing of it; one that an operator has paused it leaves alone."""
    watched, cut = watched_pair(lab, mib=400, vm_options={"rest": 2000000000})
    name, was_stopped, rounds = watched.vm.name, 0, 0
    while was_stopped < 3:
        rounds += 1
        assert rounds <= 30, "no snapshot was met while it had the guest stopped"
        kill_in_snapshot(lab, lab.dst, name, 0.02 * (rounds % 10))
        stopped = not is_running(lab)
        was_stopped += stopped
        watched.start(lab.dst)
        wait_for(lambda: watched.status("dst")["phase"] == "paused", 20, "phase paused on dst")
        wait_for(lambda: not stopped or any(r["kind"] == "action" and r["from"] == "resume" and
                                            r["to"] == "done"
                                            for r in watched.followers["dst"].records), 30,
                 "resume by the next postcopyd")
        watched.followers.pop("dst").stop()
        lab.dst.kill_postcopyd()
        assert is_running(lab), f"round {rounds}: left stopped"
        watched.start(lab.dst)
        time.sleep(1)  # bundles are named by the second
    print(f"# {was_stopped} of {rounds} kills met a stopped guest; all were let go")
    lab.dst.kill_postcopyd()
    with Shell(lab, "dst", monitor=True) as dst:
        assert dst("qmp", "stop")["outcome"] == "done"
    watched.start(lab.dst)
    wait_for(lambda: watched.status("dst")["phase"] == "paused", 20, "phase paused on dst")
    kill_in_snapshot(lab, lab.dst, name, 0.05)
    watched.start(lab.dst)
    wait_for(lambda: watched.status("dst")["phase"] == "paused", 20, "phase paused on dst")
    time.sleep(4)
    lab.dst.kill_postcopyd()
    assert not is_running(lab), "a guest that an operator had paused goes on"


@case("long-snapshot-qemu-killed", lab=HOOKED, timeout=180)
def qemu_killed(lab):
    """QEMU ends while its memory is read: nothing is left."""
    vm, migration = in_postcopy(lab, mib=1500)
    with Shell(lab, "src") as src:
        lab.cut("link-down")
        assert src("force-pause", "postcopy")["outcome"] == "done"
        src.child.stdin.write(f"snapshot paused {HOLD[0]}\n")
        src.child.stdin.flush()
        wait_for(lambda: any("memory.zst" in os.listdir(path) for path in bundles(lab.src)), 20,
                 "a snapshot under way", 0.005)
        lab.cut("kill-qemu", side="src", domain=vm.name)
        answer = src("ready", timeout=60)
        assert answer.get("outcome") == "failed", answer
        assert "has ended" in answer["reason"], answer
    assert bundles(lab.src) == []


@case("long-snapshot-full", lab=HOOKED, timeout=120)
def full(lab):
    """A disk with too little room: refused, and nothing written."""
    vm, migration = in_postcopy(lab)
    lab.src.run("mkdir", "-m", "700", "-p", FOLDER)
    lab.src.run("mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", FOLDER)
    with Shell(lab, "src") as src:
        lab.cut("link-down")
        assert src("force-pause", "postcopy")["outcome"] == "done"
        answer = snapshot(src, outcome="refused")
        assert "are free" in answer["reason"], answer
    assert bundles(lab.src) == []
    assert lab.src.qemu_pid(vm.name)


@case("long-snapshot-stopped", lab=HOOKED, timeout=120)
def stopped(lab):
    """A guest that waits for no page is stopped, its registers are kept and shown by gdb, and it goes
    on afterwards."""
    vm, migration = in_postcopy(lab, rest=2000000000)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, vm, migration, src, dst)
        snapshot(dst)
        snapshot(src)
        half = only_bundle(lab.dst)
        assert manifest(half)["guest"]["held"] == "stopped", manifest(half)["guest"]
        with open(os.path.join(half, "registers.txt")) as f:
            rip = int(f.read().split("RIP=")[1].split()[0], 16)
        core, _ = check_merged(lab, vm)
        shown = subprocess.run(["gdb", "-batch", "-nx", "-core", core, "-ex", "p/x $rip"],
                               capture_output=True, text=True, timeout=60).stdout
        assert f"= {rip:#x}" in shown, shown
        assert 0x101000 <= rip < 0x110000, hex(rip)  # in the toucher's own code
        again = dst("stop", "paused")
        assert again["outcome"] == "done" and "already" not in again["reason"], again
        assert dst("resume", "paused", "+stopped")["outcome"] == "done"
