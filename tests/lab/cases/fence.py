# SPDX-License-Identifier: LGPL-2.1-or-later
"""Destroying what cannot be completed, and only that; and the rules that hold whatever a policy says:
a libvirtd that hangs, hold, dry-run. Real VMs; the policy is shipped `fence` with shorter times."""

import json
import os
import signal
import time

from pcdlab import proc, verify_memory
from pcdlab.case import case
from pcdlab.host import POLICIES
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched

CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
"""
FENCE = CONFIG + "[policy]\ndefault = fence-soon\n"
ALLOWED = FENCE + "[host]\nallow-destroy = yes\n"
DIRECTORY = "/etc/postcopyd/lab-policies"
FENCE_SOON = {
    "name": "fence-soon",
    "description": "As fence, without its patience.",
    "steps": [
        {"when": "paused", "after": "0s", "do": "notify"},
        {"when": "paused", "after": "0s", "do": "recover"},
        {"when": "paused", "after": "2s", "do": "destroy", "with": {"order": "destination-first"}},
        {"when": "gone", "after": "0s", "do": "notify"},
    ],
}


def add_policy(lab):
    """The shipped policies and fence-soon; returns postcopyd's arguments for them."""
    for host in lab.hosts:
        for name in os.listdir(POLICIES):
            if name.endswith(".json") and not name.endswith(".schema.json"):
                with open(os.path.join(POLICIES, name)) as f:
                    host.write(f"{DIRECTORY}/{name}", f.read())
        host.write(f"{DIRECTORY}/fence-soon.json", json.dumps(FENCE_SOON))
    return ["--policy-dir", DIRECTORY]


def actions(watched, side, name=None, since=0.0):
    """(action, what became of it, why), in the order told."""
    return [(r["from"], r["to"], r.get("detail", "")) for r in list(watched.followers[side].records)
            if r["kind"] == "action" and r["t"] >= since and name in (None, r["from"])]


def incidents(host):
    """The journal's incidents with their timelines, newest first."""
    def ask(*words):
        done = host.ctl("incident", *words, "--json", "--state-dir", "/var/lib/postcopyd")
        assert done.rc == 0, done
        return json.loads(done.out)
    return [ask("show", str(entry["id"])) for entry in ask("list")]


def journaled(host, action):
    """(intents, results) of that action in the newest incident."""
    newest = incidents(host)[:1]
    timeline = newest[0]["timeline"] if newest else []
    return tuple([e for e in timeline if e["type"] == kind and e.get("action") == action]
                 for kind in ("intent", "result"))


def source_killed_in_pause(lab, config):
    """Both sides paused by a dead link, then the source's QEMU is killed and the link healed, so
    that the destination can ask the source's libvirt."""
    watched = Watched(lab, config=config, args=add_policy(lab))
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    killed = lab.cut("kill-qemu", side="src", domain=watched.vm.name)
    cut.heal()
    gone = watched.followers["src"].wait("phase", "gone", killed.t, 5)
    print(f"# src: gone {gone['t'] - killed.t:.2f} s after the kill: {gone.get('detail', '')}")
    return watched, killed


def nobody_brought_it_back(watched, killed):
    """No recovery succeeded, nothing was resumed, the source's QEMU is not there; and it is told
    why the recovery ended."""
    lab, name = watched.lab, watched.vm.name
    for side in ("src", "dst"):
        for action in ("recover", "resume"):
            assert "done" not in [a[1] for a in actions(watched, side, action)], \
                actions(watched, side)
    assert watched.told("src", killed.t) == ["gone"], watched.followers["src"].story(killed.t)
    assert lab.src.qemu_pid(name) is None and lab.src.domstate(name) is None
    for recovery in actions(watched, "src", "recover"):
        print(f"# src: {recovery}")
    asked = lab.src.ctl("recover", name, timeout=30)
    print(f"# src: postcopyctl recover: exit {asked.rc}: {asked.err.strip()}")
    assert asked.rc == 1 and asked.err.strip(), asked


@case("respond-fence-source-killed", timeout=120)
def source_killed(lab):
    """Source killed in a pause, destroying allowed: gone there, the destination destroyed, journaled,
    told; nothing recovered or resumed."""
    watched, killed = source_killed_in_pause(lab, ALLOWED)
    assert watched.status("dst")["policy"] == "fence-soon", watched.status("dst")

    def destroyed():
        return "done" in [a[1] for a in actions(watched, "dst", "destroy")]
    # libvirt gives a QEMU that waits for a page 10 s to end by itself.
    wait_for(destroyed, 30, f"destroy done; {watched.followers['dst'].story(killed.t)}")
    print(f"# dst: destroyed {time.monotonic() - killed.t:.1f} s after the kill: "
          f"{actions(watched, 'dst', 'destroy')}")
    assert lab.dst.qemu_pid(watched.vm.name) is None
    assert lab.dst.domstate(watched.vm.name) is None
    watched.followers["dst"].wait("phase", "gone", killed.t, 40)
    nobody_brought_it_back(watched, killed)
    intents, results = journaled(lab.dst, "destroy")
    print(f"# journal: {intents[-1]} {results[-1]}")
    assert results[-1]["outcome"] == "done" and results[-1]["ticket"] == intents[-1]["ticket"]
    assert intents[-1]["who"] == "policy fence-soon", intents
    assert journaled(lab.src, "destroy") == ([], [])


@case("rule-4-policy-cannot-destroy-either", timeout=120)
def not_allowed(lab):
    """The same without allow-destroy: the policy is passed over, the destination left as it is."""
    watched, killed = source_killed_in_pause(lab, FENCE)
    assert watched.status("dst")["policy"] == "recover", watched.status("dst")
    time.sleep(8)
    assert actions(watched, "dst", "destroy") == [], actions(watched, "dst")
    assert lab.dst.qemu_pid(watched.vm.name), "destroyed in spite of rule 4"
    assert lab.dst.domstate(watched.vm.name) == ("running", "post-copy failed")
    nobody_brought_it_back(watched, killed)
    asked = lab.dst.ctl("destroy", watched.vm.name, "--order", "destination-first", timeout=40)
    print(f"# dst: postcopyctl destroy: exit {asked.rc}: {asked.err.strip()}")
    assert asked.rc == 1 and "allow-destroy" in asked.err, asked
    assert lab.dst.qemu_pid(watched.vm.name), "destroyed in spite of rule 4"


@case("rule-3-not-while-it-could-complete", timeout=120)
def could_complete(lab):
    """Both sides live, the link dead, destroying allowed: the policy's destroy is refused for want of
    proof, and the migration completes after all."""
    watched = Watched(lab, config=ALLOWED, args=add_policy(lab))
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    time.sleep(8)
    told = actions(watched, "dst", "destroy") + actions(watched, "src", "destroy")
    print(f"# destroy: {told}")
    assert "done" not in [a[1] for a in told] and "refused" in [a[1] for a in told], told
    cut.heal()
    watched.followers["src"].wait("phase", "postcopy", cut.t_healed, 20)
    watched.finish()
    print(f"# {verify_memory(watched.vm, 'dst')}")


class Stopped:
    """Both libvirtds hang (SIGSTOP); nothing may be asked of virsh meanwhile."""

    def __init__(self, lab):
        self.pids = [host.libvirtd_pid for host in lab.hosts]

    def __enter__(self):
        for pid in self.pids:
            proc.kill(pid, signal.SIGSTOP)
        return self

    def __exit__(self, *_):
        for pid in self.pids:
            proc.kill(pid, signal.SIGCONT)


def qemu_paused(monitors, since, within):
    """By QEMU's own word, on a monitor that is not libvirt's. Returns when, by side."""
    when = {}

    def both():
        for side, monitor in monitors.items():
            if side not in when and \
                    monitor.command("query-migrate")["status"] == "postcopy-paused":
                when[side] = time.monotonic() - since
        return len(when) == 2
    try:
        wait_for(both, within, "both QEMUs paused", 0.02)
    except TimeoutError as late:
        raise TimeoutError(f"{late}; only {when}") from None
    return when


@case("rule-7-libvirtd-stopped", timeout=120)
def libvirtd_stopped(lab):
    """Both libvirtds hang in mid-postcopy and the link dies: both QEMUs are paused all the same,
    postcopyctl answers, and when they go on, phases are right and the migration is recovered."""
    watched = Watched(lab, config=CONFIG, vm_options={"monitor": True})
    monitors = {side: watched.vm.qmp(side) for side in ("src", "dst")}
    try:
        with Stopped(lab):
            time.sleep(1)
            cut = lab.cut("link-down")
            when = qemu_paused(monitors, cut.t, TIMEOUT + 1)
            print(f"# QEMU paused after {when['src']:.2f} s on src, {when['dst']:.2f} s on dst")
            slowest = 0.0
            while time.monotonic() < cut.t + 10:
                for host in lab.hosts:
                    answer = host.ctl("list")
                    assert answer.rc == 0, answer
                    slowest = max(slowest, answer.seconds)
                time.sleep(0.2)
            print(f"# slowest postcopyctl list: {slowest * 1000:.0f} ms")
            assert slowest < 1.0, slowest
        back = time.monotonic()
        for side in ("src", "dst"):
            wait_for(lambda: watched.status(side)["phase"] == "paused", 10,
                     f"phase paused on {side}: {watched.followers[side].story(cut.t)}")
            print(f"# {side}: phase right {time.monotonic() - back:.2f} s after libvirtd went on")
    finally:
        for monitor in monitors.values():
            monitor.close()
    cut.heal()
    watched.followers["src"].wait("phase", "postcopy", cut.t_healed, 20)
    watched.finish()
    print(f"# {verify_memory(watched.vm, 'dst')}")


def left_alone(watched, seconds, kind="link-down"):
    """Paused by a network that heals: for that long nothing is done about it on either side."""
    lab = watched.lab
    cut = lab.cut(kind)
    for side in ("src", "dst"):
        watched.followers[side].wait("phase", "paused", cut.t, TIMEOUT + 1)
    cut.heal()
    time.sleep(seconds)
    for side in ("src", "dst"):
        assert watched.status(side)["phase"] == "paused", watched.followers[side].story(cut.t)
    assert watched.migration.status() == "postcopy-paused"
    return cut


@case("rule-8-hold", timeout=120)
def hold(lab):
    """A domain that an operator holds is left alone by its policy; released, it is recovered."""
    watched = Watched(lab, config=CONFIG)
    name = watched.vm.name
    for host in lab.hosts:
        assert host.ctl("hold", name).rc == 0
    left_alone(watched, 5)
    for side in ("src", "dst"):
        assert actions(watched, side) == [], actions(watched, side)
    released = time.monotonic()
    for host in lab.hosts:
        assert host.ctl("release", name).rc == 0
    record = watched.followers["src"].wait("phase", "postcopy", released, 15)
    print(f"# postcopy {record['t'] - released:.2f} s after the release")
    watched.finish()


@case("rule-8-dry-run", timeout=120)
def dry_run(lab):
    """postcopyd --dry-run tells what it would do, does none of it, for operators neither, and
    journals no intent; a daemon that is started without it does it."""
    watched = Watched(lab, config=CONFIG, args=["--dry-run"], start=False)
    watched.start()
    name = watched.vm.name
    for side in ("src", "dst"):
        wait_for(lambda: watched.status(side)["phase"] == "postcopy", 5, f"postcopy on {side}")
    # Nothing is armed, so that both ends have to be told.
    left_alone(watched, 5, "reset")
    for side in ("src", "dst"):
        assert "armed" not in watched.told(side, 0, "armed"), watched.followers[side].story()
    told = actions(watched, "src")
    print(f"# src: {told}")
    assert ("recover", "would") in [a[:2] for a in told], told
    for side in ("src", "dst"):
        assert {a[1] for a in actions(watched, side)} <= {"would"}, actions(watched, side)
    asked = lab.src.ctl("recover", name, timeout=30)
    print(f"# postcopyctl recover: exit {asked.rc}: {asked.out.strip()} {asked.err.strip()}")
    assert watched.migration.status() == "postcopy-paused"
    assert journaled(lab.src, "recover") == ([], [])
    watched.args.remove("--dry-run")
    for host in lab.hosts:
        watched.followers.pop(host.name).stop()
        host.stop_postcopyd()
    began = time.monotonic()
    watched.start()
    wait_for(lambda: ("recover", "done") in [a[:2] for a in actions(watched, "src", since=began)], 15,
             "recovery by a daemon without --dry-run")
    print(f"# recovered {time.monotonic() - began:.2f} s after its start without --dry-run")
    watched.finish()
