# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab itself is tested here, without postcopyd: a test of detection is worth nothing if the
network was not broken, the guest did not run, or memory was lost unnoticed."""

import os
import signal
import subprocess
import sys
import tempfile
import time

from pcdlab import Lab, LabError, ids, lab as lab_module, proc, verify_memory, wait_for
from pcdlab.case import case
from pcdlab.decoys import DEVICES, Decoys
from pcdlab.host import BUS
from pcdlab.traffic import Connection

STREAM, LIBVIRT, OTHER = 49200, 16509, 5900  # stand-ins: a migration port, libvirt's, any other


def expect(condition, text):
    if not condition:
        raise LabError(text)


# What runs

@case()
def boots_with_1_vcpu(lab):
    """a toucher runs, and its memory is what it wrote"""
    vm = lab.vm(mib=16)
    wait_for(lambda: vm.ticks() >= 3, 20, "three ticks")
    first = verify_memory(vm, "src")
    wait_for(lambda: verify_memory(vm, "src")[0] > first[0], 20, "a later round")


@case()
def boots_with_4_vcpus(lab):
    """all four vCPUs write their slices"""
    vm = lab.vm(vcpus=4, mib=16)
    first = verify_memory(vm, "src")
    expect(len(first) == 4, f"slices: {first}")
    wait_for(lambda: all(b > a for a, b in zip(first, verify_memory(vm, "src"))), 20,
             "a later round on every vCPU")


@case()
def verify_sees_a_bad_page(lab):
    """one page changed behind the guest's back is found"""
    vm = lab.vm(mib=16)
    src = lab.src
    src.virsh("suspend", vm.name)
    address = src.virsh("qemu-monitor-command", vm.name, "--hmp",
                        "gpa2hva 0x1400000").out.split()[-1]
    with open(f"/proc/{src.qemu_pid(vm.name)}/mem", "r+b", buffering=0) as memory:
        memory.seek(int(address, 16))
        memory.write(b"\0" * 16)
    try:
        verify_memory(vm, "src")
    except LabError as found:
        expect("page 5120" in str(found), f"another page is blamed: {found}")
        return
    raise LabError("verify_memory() found nothing")


def migrate_and_verify(lab, p2p):
    vm = lab.vm(mib=32)
    with_monitor = lab.dst.record("monitor")
    handle = lab.migrate(vm, p2p=p2p, postcopy_bandwidth=16).to_postcopy(after=0.5)
    handle.wait_completed(60)
    expect(with_monitor.find("postcopy-active"), "dst's QEMU never was in postcopy")
    verify_memory(vm)
    before = vm.ticks("dst")
    wait_for(lambda: vm.ticks("dst") > before, 20, "tick on dst")


@case()
def migrates_p2p(lab):
    """libvirtd to libvirtd, in postcopy, nothing lost"""
    migrate_and_verify(lab, True)


@case()
def migrates_managed_by_virsh(lab):
    """the same without --p2p"""
    migrate_and_verify(lab, False)


@case(timeout=200)
def linux_ticks_on_after_migration(lab):
    """Debian's kernel survives a postcopy migration, its data too"""
    vm = lab.vm(guest="linux")
    wait_for(lambda: vm.ticks() >= 3, 60, "ticks on src")
    lab.migrate(vm, bandwidth=4, postcopy_bandwidth=32).to_postcopy().wait_completed(90)
    wait_for(lambda: "linux: data good" in vm.serial("dst"), 60, "good data on dst")
    expect("BAD" not in vm.serial("dst"), "the guest's data went bad")


# What can be broken: the effect on real traffic, and that it heals

def traffic(lab, kind, src_to_dst, dst_to_src, ping, ports=(STREAM, LIBVIRT + 1), **options):
    """Breaks `kind` under a connection to ports[0] and one to ports[1], which must not care."""
    with Connection(lab, ports[0]) as hit, Connection(lab, ports[1]) as spared:
        for sender in ("src", "dst"):
            expect(hit.carries(sender), f"before the cut, nothing came from {sender}")
        with lab.cut(kind, **options):
            got = (hit.carries("src", timeout=0.6), hit.carries("dst", timeout=0.6),
                   lab.networks["migration"].ping())
            expect(got == (src_to_dst, dst_to_src, ping),
                   f"{kind}: (to dst, to src, ping) is {got}")
            if ping and not src_to_dst:
                expect(spared.carries("src") and spared.carries("dst"),
                       f"{kind} also cut port {ports[1]}")
            expect(lab.networks["alternate"].ping(), f"{kind} also cut the alternate network")
        hit.drain(2.0)
        for sender in ("src", "dst"):
            expect(hit.carries(sender, timeout=5), f"after the heal, nothing came from {sender}")
        expect(lab.networks["migration"].ping(), "after the heal, no ping")


@case()
def cut_link_down(lab):
    """nothing passes, and the end whose cable is pulled has no carrier"""
    traffic(lab, "link-down", False, False, False)


@case()
def cut_drop(lab):
    """nothing passes, silently"""
    traffic(lab, "drop", False, False, False)


@case()
def cut_drop_to_dst(lab):
    """what dst sends still arrives"""
    traffic(lab, "drop-to-dst", False, True, False)


@case()
def cut_drop_to_src(lab):
    """what src sends still arrives"""
    traffic(lab, "drop-to-src", True, False, False)


@case()
def cut_stream_only(lab):
    """the migration's ports are dead, others live"""
    traffic(lab, "stream-only", False, False, True)


@case()
def cut_libvirt_only(lab):
    """libvirt's port is dead, the migration's live"""
    # libvirtd listens on its port on all addresses: take the cut to a connection to it
    with Connection(lab, STREAM) as stream:
        probe = ["busybox", "nc", "-w", "1", lab.dst.addresses["migration"], str(LIBVIRT)]
        expect(lab.src.run(*probe, check=False).rc == 0, "libvirtd does not listen")
        with lab.cut("libvirt-only"):
            expect(lab.src.run(*probe, check=False).rc != 0, "libvirt's port still answers")
            expect(stream.carries("src") and stream.carries("dst"), "the stream was cut too")
        expect(lab.src.run(*probe, check=False).rc == 0, "libvirt's port is still cut")


@case()
def cut_mtu(lab):
    """small packets pass, large ones vanish"""
    with Connection(lab, STREAM) as stream, lab.cut("mtu"):
        expect(lab.networks["migration"].ping() and not lab.networks["migration"].ping(size=1000),
               "ping does not tell small from large")
        expect(stream.carries("src") and not stream.carries("src", size=4000),
               "TCP does not tell small from large")


@case()
def cut_rate(lab):
    """64 KiB/s is what gets through"""
    with Connection(lab, STREAM) as stream:
        with lab.cut("rate"):
            slow = stream.seconds_for(stream.src, stream.dst, 256 * 1024, 20)
            expect(slow and 2.5 < slow < 6, f"256 KiB took {slow} s")
        fast = stream.seconds_for(stream.src, stream.dst, 256 * 1024, 20)
        expect(fast and fast < 1, f"after the heal, 256 KiB took {fast} s")


def is_reset(connection, sender):
    try:
        connection.carries(sender)
        return False
    except ConnectionError:
        return True


@case()
def cut_reset(lab):
    """both ends learn of it at once, on either side"""
    for side in ("src", "dst"):
        with Connection(lab, STREAM) as hit, Connection(lab, OTHER) as spared:
            lab.cut("reset", side=side)
            expect(is_reset(hit, "src") and is_reset(hit, "dst"), f"not reset from {side}")
            expect(spared.carries("src"), "another port was reset")


@case()
def cut_reset_box(lab):
    """the next packet of a stream is answered with RST, at both ends"""
    with Connection(lab, STREAM) as hit, Connection(lab, OTHER) as spared:
        with lab.cut("reset-box"):
            expect(is_reset(hit, "src") and is_reset(hit, "dst"), "not reset")
            expect(spared.carries("src"), "another port was reset")
    with Connection(lab, STREAM) as again:
        expect(again.carries("src"), "still reset after the heal")


# What can be broken in a migration

@case()
def reset_pauses_both_sides(lab):
    """both QEMUs go to postcopy-paused within a second"""
    vm = lab.vm()
    monitor = lab.dst.record("monitor")
    handle = lab.migrate(vm).to_postcopy()
    cut = lab.cut("reset")
    expect(handle.wait_paused(5) - cut.t < 1, "src took longer than 1 s")
    event = monitor.wait("postcopy-paused", 5)
    expect(event.t - cut.t < 1, f"dst took {event.t - cut.t:.2f} s")


@case("long-starved-destination-closes-its-window")
def starved_destination_closes_its_window(lab):
    """no packet is lost, the source's TCP probes a zero window, then all goes on"""
    vm = lab.vm(mib=64)
    handle = lab.migrate(vm, postcopy_bandwidth=8).to_postcopy()
    with lab.cut("starve"):
        def timer():
            out = lab.src.run("ss", "-Htno", "state", "established").out
            return [line for line in out.splitlines()
                    if ":49152" in line and "timer:(persist" in line]
        wait_for(timer, 10, "zero-window probe timer on src")
        time.sleep(2)
        expect(timer(), "the window opened again")
        expect(handle.status() == "postcopy-active", f"src is {handle.status()}")
    handle.wait_completed(60)
    verify_memory(vm)


@case()
def stopped_qemu_answers_again(lab):
    """sigstop stops a whole QEMU: its window closes too; healed, it goes on"""
    vm = lab.vm(mib=32)
    handle = lab.migrate(vm, postcopy_bandwidth=8).to_postcopy()
    with lab.cut("sigstop", side="dst"):
        pid = lab.dst.qemu_pid(vm.name)
        wait_for(lambda: proc.stat_fields(pid)[0] == "T", 5, "stopped main thread")
        time.sleep(1)
        expect(handle.status() == "postcopy-active", f"src is {handle.status()}")
    handle.wait_completed(60)
    verify_memory(vm)


@case()
def killed_source_pauses_destination(lab):
    """dst's QEMU is paused and alive"""
    vm = lab.vm(monitor=True)
    lab.migrate(vm).to_postcopy()
    with vm.qmp() as qmp:
        lab.cut("kill-qemu")
        wait_for(lambda: qmp.command("query-migrate").get("status") == "postcopy-paused", 5,
                 "postcopy-paused on dst")
    expect(lab.src.qemu_pid(vm.name) is None, "src's QEMU lives")


@case()
def libvirtd_restarts_in_postcopy(lab):
    """either libvirtd can be ended and started without ending a QEMU"""
    vm = lab.vm()
    handle = lab.migrate(vm, postcopy_bandwidth=1).to_postcopy()
    pids = [host.qemu_pid(vm.name) for host in lab.hosts]
    lab.src.restart_libvirtd(signal.SIGKILL)
    lab.dst.restart_libvirtd(signal.SIGTERM)
    expect([host.qemu_pid(vm.name) for host in lab.hosts] == pids, "a QEMU has gone")
    expect(lab.dst.domstate(vm.name)[0] == "running", f"dst: {lab.dst.domstate(vm.name)}")
    handle.stop_virsh()


@case()
def long_libvirt_cut_alone_does_not_stop_qemu(lab):
    """libvirt on src reports a failure that is none; all memory arrives"""
    vm = lab.vm(mib=80)
    events = lab.src.record()
    handle = lab.migrate(vm).to_postcopy()
    with lab.cut("libvirt-only"):
        events.wait("Suspended Post-copy Error", 40)
        expect(handle.status() == "postcopy-active", f"src's QEMU is {handle.status()}")
        handle.wait_completed(60)
    verify_memory(vm)


@case()
def long_rate_limit_is_no_failure(lab):
    """64 KiB/s for some seconds: QEMU stays in postcopy, and completes when healed"""
    vm = lab.vm(mib=32)
    handle = lab.migrate(vm, postcopy_bandwidth=8).to_postcopy()
    with lab.cut("rate"):
        time.sleep(10)
        expect(handle.status() == "postcopy-active", f"src's QEMU is {handle.status()}")
    handle.wait_completed(90)
    verify_memory(vm)


@case()
def decoys_stay_connected(lab):
    """VNC, NBD and serial over TCP are told apart from the migration, and survive its reset"""
    vm = lab.vm(devices=DEVICES, monitor=True)
    with Decoys(vm, "src") as decoys:
        lab.migrate(vm).to_postcopy()
        with Decoys(vm, "dst") as others:
            for host in lab.hosts:
                pairs = host.sockets(host.qemu_pid(vm.name))
                expect(len(pairs) >= 4, f"{host.name}: sockets {pairs}")
                mine = host.migration_socket(vm.name)
                expect("4915" in " ".join(mine), f"{host.name}: {mine} is not the migration's")
            lab.cut("reset")
            time.sleep(0.5)
            expect(not decoys.broken() and not others.broken(), "a decoy broke")


HOOK = """#!/bin/sh
[ "$2" = migrate ] && touch /run/hook-ran
cat
"""


@case(lab=None)
def hook_is_called():
    """an executable given to the lab is libvirt's qemu hook on the destination"""
    with tempfile.NamedTemporaryFile("w", suffix=".hook") as hook:
        hook.write(HOOK)
        hook.flush()
        with Lab(hook=hook.name) as lab:
            lab.migrate(lab.vm(mib=16), postcopy_bandwidth=8).to_postcopy().wait_completed(30)
            expect(os.path.exists(lab.dst.inside("/run/hook-ran")), "the hook did not run on dst")


@case()
def bus_lets_postcopyd_own_its_name(lab):
    """each host's bus is its own and allows org.postcopyd"""
    owner = lab.src.popen(["busctl", f"--address={BUS}", "call", "org.freedesktop.DBus",
                           "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName", "su",
                           "org.postcopyd", "0"], stdout=subprocess.PIPE, text=True)
    answer = owner.communicate(timeout=10)[0]
    expect(answer.split() == ["u", "1"], f"the bus answers {answer!r}")
    expect(not lab.dst.bus_has("org.postcopyd"), "dst sees src's name")
    expect(lab.dst.bus_has("org.freedesktop.DBus"), "bus_has() sees nothing")


def recover(lab, network="migration", **vm_options):
    p2p = vm_options.pop("p2p", True)
    vm = lab.vm(mib=32, **vm_options)
    handle = lab.migrate(vm, p2p=p2p, postcopy_bandwidth=1).to_postcopy()
    cut = lab.cut("link-down")
    time.sleep(0.5)
    lab.src.virsh("domjobabort", "--postcopy", vm.name)
    handle.wait_paused(5)
    if network == "migration":
        cut.heal()
    # src's FIN can sit behind a full send queue for minutes: end dst's half of the connection too
    if lab.dst.migration_socket(vm.name):
        lab.cut("reset", side="dst")
    wait_for(lambda: lab.dst.domstate(vm.name) == ("running", "post-copy failed"), 10,
             "paused migration on dst")
    handle.resume(network=network).wait_completed(60)
    verify_memory(vm)
    cut.heal()


@case(timeout=180)
def recovers_by_hand_with_1_vcpu(lab):
    """link down, both paused, healed, resumed: every page is there"""
    recover(lab)


@case("long-recovers-by-hand-with-4-vcpus", timeout=180)
def recovers_by_hand_with_4_vcpus(lab):
    """the same for a migration that virsh manages"""
    recover(lab, vcpus=4, p2p=False)


@case(timeout=180)
def long_recovers_over_the_alternate_network(lab):
    """the cable stays pulled"""
    recover(lab, network="alternate")


# Teardown

def traces(lab_id, inodes):
    """Everything that a lab may leave behind."""
    found = [name for name in os.listdir("/run/netns") if lab_id in name]
    found += [str(pid) for inode in inodes for pid in proc.pids_in_namespace("net", inode)]
    if os.path.exists(ids.state_dir(lab_id)):
        found.append(ids.state_dir(lab_id))
    with open("/proc/self/mounts") as mounts:
        found += [line for line in mounts if lab_id in line]
    for name in os.listdir("/proc"):
        if name.isdigit() and any(lab_id in word for word in proc.command_line(name)):
            found.append(f"process {name}: {proc.command_line(name)}")
    return found


def inodes_of(lab_id):
    return [host["netns_inode"] for host in ids.load(lab_id)["hosts"].values()]


@case(lab=None)
def two_labs_side_by_side():
    """same addresses, same domain names; taking one down does not touch the other"""
    with Lab() as one, Lab() as two:
        one.vm(mib=16)
        b = two.vm(mib=16)
        one.cut("drop")
        expect(two.networks["migration"].ping() and not one.networks["migration"].ping(),
               "one lab's cut shows in the other")
        gone = inodes_of(one.id)
        one.down()
        expect(not traces(one.id, gone), f"left behind: {traces(one.id, gone)}")
        before = b.ticks()
        wait_for(lambda: b.ticks() > before, 20, "tick in the other lab")
        lab_id, gone = two.id, inodes_of(two.id)
    expect(not traces(lab_id, gone), f"left behind: {traces(lab_id, gone)}")


OWNER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pcdlab import Lab, lab
lab.take_down_on_signals()
with Lab() as made:
    vm = made.vm(mib=16)
    made.migrate(vm).to_postcopy()
    made.cut("drop")
    print(made.id, flush=True)
    time.sleep(100)
"""


@case(lab=None, timeout=180)
def teardown_when_the_owner_is_killed():
    """Ctrl-C, SIGTERM and SIGKILL in mid-postcopy leave nothing behind"""
    top = os.path.dirname(os.path.dirname(os.path.abspath(lab_module.__file__)))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        owner = subprocess.Popen([sys.executable, "-c", OWNER, top], stdout=subprocess.PIPE,
                                 text=True, start_new_session=True)
        try:
            lab_id = owner.stdout.readline().strip()
            expect(lab_id, "the lab did not come up")
            inodes = inodes_of(lab_id)
            owner.send_signal(number)
            owner.wait(30)
            wait_for(lambda: not traces(lab_id, inodes), 30, f"clean machine after {number!r}")
        finally:
            proc.kill_group(owner.pid)


@case(lab=None)
def teardown_by_id():
    """a lab that was left up is found and taken down by another process"""
    lab = Lab(detached=True).up()
    try:
        cli = os.path.join(os.path.dirname(os.path.dirname(lab_module.__file__)), "lab")
        inodes = inodes_of(lab.id)
        expect(lab.id in proc.run([cli, "status"]).out, "`lab status` does not list it")
        proc.run([cli, "down", "--all-stale"])
        expect(os.path.exists(lab.dir), "--all-stale took a lab that is in use")
        proc.run([cli, "down", lab.id], timeout=40)
        expect(not traces(lab.id, inodes), f"left behind: {traces(lab.id, inodes)}")
    finally:
        lab.down()
