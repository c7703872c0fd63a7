# SPDX-License-Identifier: LGPL-2.1-or-later
"""What postcopyd must see on each side, on real VMs and a really broken network: the table of the
README, row by row. Bounds are in seconds from the moment of the cut."""

import json
import signal
import sys
import time

from pcdlab.case import case
from pcdlab.follower import Follower
from pcdlab.journal import check_no_incident
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched


def network_case(kind, within=TIMEOUT + 1, cause="network", **options):
    def run(lab):
        watched = Watched(lab)
        cut = lab.cut(kind, **options)
        watched.both_paused(cut.t, within, cause)
    return run


@case("see-link-down")
def link_down(lab):
    """Link down: paused, cause network, on both sides within network-timeout + 1 s."""
    network_case("link-down")(lab)


@case("see-drop-both-ways")
def drop_both(lab):
    """Packets silently dropped both ways: the same."""
    network_case("drop")(lab)


@case("see-stream-only")
def stream_only(lab):
    """Only the migration stream is dropped, libvirt's connection lives: the same."""
    network_case("stream-only")(lab)


def one_way(lab, kind):
    watched = Watched(lab)
    cut = lab.cut(kind)
    for side in ("src", "dst"):
        record = watched.followers[side].wait("phase", "paused", cut.t, 3 * TIMEOUT)
        print(f"# {side}: paused after {record['t'] - cut.t:.2f} s, cause "
              f"{watched.status(side)['cause']}")
        assert record["t"] - cut.t <= 3 * TIMEOUT


@case("see-drop-to-dst")
def drop_to_dst(lab):
    """What the source sends is dropped: paused on both sides within 3 x network-timeout."""
    one_way(lab, "drop-to-dst")


@case("see-drop-to-src")
def drop_to_src(lab):
    """What the destination sends is dropped: the same."""
    one_way(lab, "drop-to-src")


@case("see-reset")
def reset(lab):
    """The connection is reset by a box between: paused on both sides within 1 s."""
    watched = Watched(lab)
    cut = lab.cut("reset-box")
    for side in ("src", "dst"):
        watched.paused(side, cut.t, 1.0, "peer-closed")


@case("see-abort")
def abort(lab):
    """virsh domjobabort --postcopy: cause operator on the source, peer-closed on the destination."""
    watched = Watched(lab)
    began = time.monotonic()
    lab.src.virsh("domjobabort", watched.vm.name, "--postcopy")
    watched.paused("src", began, 1.0, "operator")
    watched.paused("dst", began, 1.0, "peer-closed")


@case("long-see-rate-limit", timeout=180)
def rate_limit(lab):
    """64 KiB/s for 60 s: never leaves postcopy, slow at most."""
    watched = Watched(lab)
    cut = lab.cut("rate", kib_per_s=64)
    time.sleep(60)
    watched.never_left_postcopy(cut.t)
    for side in ("src", "dst"):
        flows = watched.told(side, cut.t, "flow")
        print(f"# {side}: flow {flows}")
        assert "stalled" not in flows, watched.followers[side].story(cut.t)
    cut.heal()
    watched.finish()


@case("see-starved", timeout=120)
def starved(lab):
    """The destination's receiving thread stands still for 8 s: nothing is paused by us."""
    watched = Watched(lab, postcopy_bandwidth=100, mib=400)
    cut = lab.cut("starve", domain=watched.vm.name)
    time.sleep(8)
    watched.never_left_postcopy(cut.t)
    cut.heal()
    watched.finish()


@case("long-see-starved-20s", timeout=150)
def starved_long(lab):
    """The same for 20 s, longer than the kernel's own time-out that backs us up."""
    watched = Watched(lab, postcopy_bandwidth=100, mib=400)
    cut = lab.cut("starve", domain=watched.vm.name)
    time.sleep(20)
    watched.never_left_postcopy(cut.t)
    cut.heal()
    watched.finish()


@case("see-unattended", timeout=180)
def unattended(lab):
    """libvirt's connection is cut, the stream lives: unattended, then completed, never paused."""
    watched = Watched(lab)
    cut = lab.cut("libvirt-only")
    watched.followers["src"].wait("unattended", "yes", cut.t, 45)
    watched.never_left_postcopy(cut.t)
    # The destination's libvirtd still waits in Finish and reports no failure: there it is attended.
    print(f"# dst: unattended {watched.status('dst')['unattended']}")
    cut.heal()
    watched.finish()
    for side in ("src", "dst"):
        assert "paused" not in watched.told(side, cut.t), watched.followers[side].story(cut.t)


@case("see-source-killed")
def source_killed(lab):
    """The source's QEMU is killed: gone there, paused with cause peer-closed on the destination."""
    watched = Watched(lab)
    cut = lab.cut("kill-qemu", side="src", domain=watched.vm.name)
    gone = watched.followers["src"].wait("phase", "gone", cut.t, 1.0)
    print(f"# src: gone after {gone['t'] - cut.t:.2f} s")
    watched.paused("dst", cut.t, 1.0, "peer-closed")


@case("see-virsh-managed")
def virsh_managed(lab):
    """A migration that virsh manages, not p2p: link down is seen as for p2p."""
    watched = Watched(lab, p2p=False)
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")


def right_phase(watched, side, phase, since, within):
    """`status` says so by then; returns when it did (as polled)."""
    def says():
        done = getattr(watched.lab, side).ctl("status", watched.vm.name, "--json")
        if done.rc:
            return None
        status = json.loads(done.out)
        stale = not status["connected"]
        return status["migrations"][0]["phase"] == phase and not stale and time.monotonic()
    when = wait_for(says, max(0, since + within - time.monotonic()) + 2, f"{phase} on {side}", 0.02)
    print(f"# {side}: {phase} after {when - since:.2f} s")
    assert when - since <= within, f"{side}: {phase} only after {when - since:.2f} s"


@case("see-started-in-postcopy")
def started_in_postcopy(lab):
    """postcopyd started in mid-postcopy: right phase within 1 s, and armed: a cut is seen."""
    watched = Watched(lab, start=False)
    for host in lab.hosts:
        began = time.monotonic()
        host.start_postcopyd(wait=0)
        right_phase(watched, host.name, "postcopy", began, 1.0)
        watched.followers[host.name] = Follower(host)
    watched.wait_armed()
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")


@case("see-started-in-pause")
def started_in_pause(lab):
    """postcopyd started in mid-pause: right phase within 1 s; after a recovery, armed again."""
    watched = Watched(lab, start=False)
    lab.src.virsh("domjobabort", watched.vm.name, "--postcopy")
    watched.migration.wait_paused(5)
    for host in lab.hosts:
        began = time.monotonic()
        host.start_postcopyd(wait=0)
        right_phase(watched, host.name, "paused", began, 1.0)
        watched.followers[host.name] = Follower(host)
    began = time.monotonic()
    watched.migration.resume(postcopy_bandwidth=1)
    for side in ("src", "dst"):
        watched.followers[side].wait("phase", "postcopy", began, 10)
        watched.followers[side].wait("armed", "armed", began, 10)
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")


def restarted(lab, side, paused):
    """libvirtd restarted; the right phase within 2 s of its return, and what happens next is seen."""
    watched = Watched(lab)
    if paused:
        cut = lab.cut("drop")
        watched.both_paused(cut.t, TIMEOUT + 1, "network")
        cut.heal()
    host = getattr(lab, side)
    host.stop_libvirtd(signal.SIGKILL)
    watched.followers[side].wait("libvirt", "disconnected", time.monotonic() - 5, 10)
    host.start_libvirtd()
    right_phase(watched, side, "paused" if paused else "postcopy", time.monotonic(), 2.0)
    if not paused:
        time.sleep(1)
        cut = lab.cut("link-down")
        watched.both_paused(cut.t, TIMEOUT + 1, "network")


@case("see-libvirtd-restart-src-postcopy")
def restart_src_postcopy(lab):
    """The source's libvirtd is killed and restarted in mid-postcopy."""
    restarted(lab, "src", False)


@case("see-libvirtd-restart-dst-postcopy")
def restart_dst_postcopy(lab):
    """The destination's libvirtd is killed and restarted in mid-postcopy."""
    restarted(lab, "dst", False)


@case("see-libvirtd-restart-src-pause")
def restart_src_pause(lab):
    """The source's libvirtd is killed and restarted in mid-pause."""
    restarted(lab, "src", True)


@case("see-libvirtd-restart-dst-pause")
def restart_dst_pause(lab):
    """The destination's libvirtd is killed and restarted in mid-pause."""
    restarted(lab, "dst", True)


@case("see-recovery", timeout=120)
def recovery(lab):
    """Cut, healed and recovered by hand: recovering, postcopy, armed anew, completed; twice cut."""
    watched = Watched(lab, vcpus=4)
    for _ in range(2):
        cut = lab.cut("link-down")
        watched.both_paused(cut.t, TIMEOUT + 1, "network")
        cut.heal()
        began = time.monotonic()
        watched.migration.resume(postcopy_bandwidth=1)
        for side in ("src", "dst"):
            watched.followers[side].wait("phase", "recovering", began, 10)
            watched.followers[side].wait("phase", "postcopy", began, 10)
            watched.followers[side].wait("armed", "armed", began, 10)
    watched.finish()


@case("see-plain-completion", timeout=120)
def plain(lab):
    """An undisturbed migration: precopy, postcopy, completed, nothing else is told, and no incident."""
    watched = Watched(lab, mib=64)
    watched.finish()
    assert watched.told("src", 0) == ["precopy", "postcopy", "completed"], watched.told("src", 0)
    assert watched.told("dst", 0) == ["precopy", "postcopy", "completed"], watched.told("dst", 0)
    for side in ("src", "dst"):
        assert watched.told(side, 0, "shutdown") == [], watched.followers[side].story()
        assert watched.told(side, 0, "action") == [], watched.followers[side].story()
    for host in lab.hosts:
        check_no_incident(host)


if __name__ == "__main__":
    sys.exit("run me with tests/lab/run 'see-*'")
