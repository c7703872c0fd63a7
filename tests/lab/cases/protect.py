# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holding a guest still, fencing it, and the operator's own word, through the daemon: by policy,
metadata and postcopyctl, on real VMs."""

import json
import os
import random
import time
from concurrent import futures

from pcdlab import verify_memory
from pcdlab.case import case
from pcdlab.host import Host
from pcdlab.journal import check_journal
from pcdlab.proc import LabError
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched

try:
    HOOKED = {"hook": Host.build_path("postcopyd-hook")}
except LabError:  # no build: the cases can be listed all the same
    HOOKED = {}
HOOKED_TCG = {**HOOKED, "tcg": True}

CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
"""
REST = 2_000_000_000  # PAUSEs: longer than a case, at 70 ns or more each
METADATA = ["--uri", "https://postcopyd.org/policy/1", "--key", "postcopyd", "--live", "--set"]


def mount_cgroup2(lab):
    """`ip netns exec` hides the machine's cgroup mounts; libvirt, started before, is to use none."""
    for host in lab.hosts:
        if "cgroup2" not in host.run("cat", "/proc/self/mounts").out:
            host.run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")


def wish(policy):
    def before(vm):
        mount_cgroup2(vm.lab)
        vm.lab.src.virsh("metadata", vm.name, *METADATA, f"<policy name='{policy}'/>")
    return before


def action(watched, side, name, outcome, since, within):
    """Waits for an action's end; returns its record."""
    def told():
        for r in watched.followers[side].records:
            if r["kind"] == "action" and (r["from"], r["to"]) == (name, outcome) and r["t"] >= since:
                return r
        return None
    record = wait_for(told, max(0, since + within - time.monotonic()),
                      f"{name} {outcome} on {side}; told: {watched.followers[side].story(since)}")
    print(f"# {side}: {name} {outcome} after {record['t'] - since:.2f} s: "
          f"{record.get('detail', '')}")
    return record


def stands_still(vm, seconds=2):
    before = vm.serial("dst")
    time.sleep(seconds)
    return vm.serial("dst") == before


def protected(lab):
    watched = Watched(lab, config=CONFIG, before=wish("protect"))
    assert watched.status("dst")["policy"] == "protect", watched.status("dst")
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    paused = watched.followers["dst"].find("phase", "paused", cut.t)["t"]
    done = action(watched, "dst", "freeze", "done", paused, 20)
    assert done["t"] - paused >= 9.5, "earlier than the policy says"
    assert stands_still(watched.vm)
    for words in (("list",), ("domstate", watched.vm.name)):
        took = lab.dst.virsh(*words).seconds
        assert took < 1.0, f"virsh {words} took {took:.2f} s"
    cut.heal()
    watched.hurry()
    action(watched, "dst", "resume", "done", cut.t_healed, 60)
    watched.migration.wait_completed(60)
    ticks = watched.vm.ticks("dst")
    wait_for(lambda: watched.vm.ticks("dst") > ticks, 20, "tick of the guest after the thaw")
    print(f"# {verify_memory(watched.vm, 'dst')}")


@case("respond-protect", lab=HOOKED, timeout=180)
def protect_kvm(lab):
    """Policy protect by metadata: held still in the pause, recovered, thawed, ticking; monitors
    answer throughout."""
    protected(lab)


@case("respond-protect-tcg", lab=HOOKED_TCG, timeout=180)
def protect_tcg(lab):
    """The same on TCG."""
    protected(lab)


def stop_pends(lab, monitor):
    """A `stop` that nobody inspected for: what a race leaves behind. QEMU's main loop hangs."""
    try:
        monitor.command("stop", timeout=2)
    except TimeoutError:
        pass
    try:
        monitor.command("query-status", timeout=1)
    except TimeoutError:
        return
    raise LabError("QEMU answers: no vCPU waited for a page")


@case("long-respond-stop-race", lab=HOOKED, timeout=240)
def stop_race(lab):
    """A stop is pending in a pause, so that nobody's libvirt can recover: the destination's postcopyd
    finds out, listens out of band, invites the source, whose postcopyd comes; the stop comes true."""
    watched = Watched(lab, config=CONFIG, vm_options={"monitor": True},
                      before=lambda vm: mount_cgroup2(lab))
    vm, monitor = watched.vm, watched.vm.qmp("dst")
    healthy = lab.dst.ctl("recover", vm.name)
    assert healthy.rc == 1 and "only the source" in healthy.err, healthy
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    wait_for(lambda: stands_still(vm), 20, "a vCPU that waits for a page")
    refused = lab.dst.ctl("recover", vm.name)
    print(f"# recover on dst, QEMU answers: exit {refused.rc}: {refused.err.strip()}")
    assert refused.rc == 1 and "try it there" in refused.err, refused
    stop_pends(lab, monitor)
    early = lab.dst.ctl("recover", vm.name, timeout=40)
    print(f"# recover on dst, network dead: exit {early.rc}: {early.err.strip()}")
    assert early.rc == 1 and "10.9.0.1" in early.err, early
    time.sleep(3)
    assert watched.status("src")["phase"] == "paused"
    cut.heal()  # nobody does anything from here on
    for side in ("src", "dst"):
        action(watched, side, "recover", "done", cut.t_healed, 40)
    watched.hurry()
    for side in ("src", "dst"):
        watched.followers[side].wait("phase", "completed", cut.t_healed, 60)
    for side in ("src", "dst"):
        done = [r for r in watched.followers[side].records
                if r["kind"] == "action" and (r["from"], r["to"]) == ("recover", "done")]
        assert len(done) == 1, watched.followers[side].story(cut.t)
    assert wait_for(lambda: lab.src.domstate(vm.name) is None, 20, "end of the source")
    assert monitor.command("query-status", timeout=5)["status"] == "paused"
    assert stands_still(vm), "the late stop was not carried out"
    monitor.close()
    # libvirt 9.0 sees a stop, not a post-copy, when the migration completes, and keeps its job.
    lab.dst.restart_libvirtd()
    ticks = vm.ticks("dst")
    lab.dst.virsh("resume", vm.name)
    wait_for(lambda: vm.ticks("dst") > ticks, 20, "tick of the guest after its resume")
    print(f"# {verify_memory(vm, 'dst')}")


def plain_libvirt(lab):
    """What a person has without postcopyd, at a destination whose vCPU waits for a page: seconds
    until `virsh suspend` failed, and how long raw QMP `stop` had no answer."""
    vm = lab.vm(monitor=True, mib=200)
    lab.migrate(vm, postcopy_bandwidth=1).to_postcopy(1)
    monitor = vm.qmp("dst")
    try:
        lab.cut("reset")
        wait_for(lambda: monitor.command("query-migrate")["status"] == "postcopy-paused", 20,
                 "postcopy-paused on dst")
        wait_for(lambda: stands_still(vm), 20, "a vCPU that waits for a page")
        suspend = lab.dst.virsh("suspend", vm.name, timeout=60, check=False)
        print(f"# virsh suspend: exit {suspend.rc} after {suspend.seconds:.1f} s: "
              f"{' '.join(suspend.err.split())}")
        assert suspend.rc != 0, suspend
        began = time.monotonic()
        try:
            monitor.command("stop", timeout=10)
        except TimeoutError:
            pass
        stop = time.monotonic() - began
        hangs = False
        try:
            monitor.command("query-status", timeout=2)
        except TimeoutError:
            hangs = True
        print(f"# raw QMP stop: {'no answer' if stop >= 10 else 'answered'} after {stop:.1f} s; "
              f"query-status after it: {'no answer' if hangs else 'answered'} within 2 s")
        return suspend.seconds, stop
    finally:
        monitor.close()


@case("long-respond-invited-source-killed", lab=HOOKED, timeout=180)
def invited_source_killed(lab):
    """The source's QEMU is killed while an invitation of the destination's waits there: no recovery."""
    watched = Watched(lab, config=CONFIG, vm_options={"monitor": True},
                      before=lambda vm: mount_cgroup2(lab))
    vm, monitor = watched.vm, watched.vm.qmp("dst")
    assert lab.src.ctl("hold", vm.name).rc == 0  # nobody takes the invitation
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    wait_for(lambda: stands_still(vm), 20, "a vCPU that waits for a page")
    stop_pends(lab, monitor)
    cut.heal()

    def invited():
        return "postcopyd-recover_" in json.dumps(lab.src.qmp_by_libvirt(vm.name, "query-chardev"))
    with futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lab.dst.ctl, "recover", vm.name, timeout=60)
        wait_for(invited, 30, "an invitation")
        killed = lab.cut("kill-qemu", side="src", domain=vm.name)
        told = asked.result()
    print(f"# recover on dst: exit {told.rc} {time.monotonic() - killed.t:.2f} s after the kill: "
          f"{told.err.strip()}")
    assert told.rc == 1 and "its domain is gone since" in told.err, told
    monitor.close()


@case("long-protect-beside-libvirt", lab=HOOKED, timeout=400)
def beside_libvirt(lab):
    """Policy protect holds a guest still while monitors answer; beside it, on the same hosts, plain
    `virsh suspend` fails after 30 s and raw QMP `stop` hangs."""
    protected(lab)
    lab.clean()
    suspend, stop = plain_libvirt(lab)
    assert suspend >= 25, f"virsh suspend took {suspend:.1f} s"
    assert stop > 5, f"raw stop was answered after {stop:.1f} s"


def fence(lab, config):
    watched = Watched(lab, config=config, before=wish("fence"))
    killed = lab.cut("kill-qemu", side="src", domain=watched.vm.name)
    watched.followers["src"].wait("phase", "gone", killed.t, 2)
    return watched, killed


def killed_while_protecting(lab):
    """Both postcopyds killed at random moments of one incident under protect."""
    watched = Watched(lab, config=CONFIG, before=wish("protect"))
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    kills = 0
    while time.monotonic() < cut.t + 14:  # protect freezes 10 s after the pause
        time.sleep(random.uniform(0, 1.5))
        watched.kill_and_restart(random.choice(("src", "dst")))
        kills += 1
    wait_for(lambda: stands_still(watched.vm, 1), 20, "a guest that stands still")
    cut.heal()
    watched.hurry()
    for side in ("dst", "src"):
        time.sleep(random.uniform(0, 0.3))
        watched.kill_and_restart(side)
        kills += 1
    watched.hurry()
    watched.migration.wait_completed(60)
    ticks = watched.vm.ticks("dst")
    wait_for(lambda: watched.vm.ticks("dst") > ticks, 20, "tick of the guest after the thaw")
    print(f"# {verify_memory(watched.vm, 'dst')}")
    ends = ("completed", "ended while postcopyd was away")
    done = check_journal(lab.dst, *ends)
    assert done["notify"] == ["done"] and done["resume"].count("done") == 1, done
    assert set(done["freeze"]) <= {"done", "unknown"} and done["freeze"].count("done") <= 1, done
    check_journal(lab.src, *ends)
    return kills


@case("long-rule-5-killed-50-times-while-protecting", lab=HOOKED, timeout=1800)
def killed_50_times(lab):
    """postcopyd of either side is killed at 50 random moments: frozen, recovered, thawed, once."""
    kills = 0
    while kills < 50:
        lab.clean()
        kills += killed_while_protecting(lab)
    print(f"# {kills} kills")


@case("rule-4-metadata-cannot-destroy", timeout=120)
def rule_4(lab):
    """A tenant's metadata asks for fence; this host does not allow it: the default applies."""
    watched, killed = fence(lab, CONFIG)
    assert watched.status("dst")["policy"] == "recover", watched.status("dst")
    time.sleep(3)
    done = lab.dst.ctl("destroy", watched.vm.name, "--order", "destination-first", timeout=40)
    print(f"# destroy by an operator: exit {done.rc}: {done.err.strip()}")
    assert done.rc == 1, done
    assert lab.dst.qemu_pid(watched.vm.name), "destroyed in spite of rule 4"


def refused_after_completion(watched):
    for verb in ("freeze", "stop"):
        late = watched.lab.dst.ctl(verb, watched.vm.name, "--force")
        assert late.rc == 1 and "virsh suspend" in late.err and "try" not in late.err, late
    print(f"# after completion: exit {late.rc}: {late.err.strip()}")


def vcpu_time(host, name):
    """In clock ticks of the kernel: a toucher that runs never halts."""
    threads = f"/proc/{host.qemu_pid(name)}/task"
    total = 0
    for tid in os.listdir(threads):
        with open(f"{threads}/{tid}/stat", encoding="ascii") as stat:
            comm, fields = stat.read().split("(", 1)[1].rsplit(")", 1)
        if comm.startswith("CPU "):
            total += sum(map(int, fields.split()[11:13]))
    return total


def is_held(host, name):
    before = vcpu_time(host, name)
    time.sleep(2)
    return vcpu_time(host, name) == before


def stop_if_possible(host, name):
    """(nullable): refused until the daemon has the control monitor."""
    done = host.ctl("stop", name, timeout=20)
    return done if done.rc == 0 else None


def held_after_completion(lab, verb):
    """Policy observe: the guest is held by @verb in the migration, and stays so when that ends. For a
    stop it rests after its first round: no vCPU may wait for a page."""
    config = CONFIG + "[policy]\nmatch = g observe\n[watch]\nkeep-ended = 3s\n"
    rest = {"mib": 64, "vm_options": {"rest": REST}} if verb == "stop" else {}
    watched = Watched(lab, config=config, before=lambda vm: mount_cgroup2(lab), start=False, **rest)
    watched.start()
    vm, dst = watched.vm, lab.dst
    began = time.monotonic()
    if verb == "freeze":
        lab.src.virsh("domjobabort", vm.name, "--postcopy")
        watched.migration.wait_paused(10)
        assert dst.ctl(verb, vm.name, timeout=20).rc == 0
        watched.hurry()
        done = lab.src.ctl("recover", vm.name, "--wait", "--timeout", "60s", timeout=90)
        assert done.rc == 0, done
    else:
        stopped = wait_for(lambda: stop_if_possible(dst, vm.name), 40, "a stop by dst's daemon", 1)
        print(f"# {stopped.out.strip()}")
        watched.hurry()
    watched.followers["dst"].wait("phase", "completed", began, 60)
    refused_after_completion(watched)

    def held():
        shown = dst.ctl("status", vm.name).out
        row = [line for line in dst.ctl("list").out.splitlines() if "completed" in line]
        return f"held still by {verb}" in shown and f"postcopyctl resume {vm.name}" in shown and \
            len(row) == 1 and "completed (held still)" in row[0]
    wait_for(held, 20, "status and list that say held still")
    time.sleep(6)
    assert held() and is_held(dst, vm.name), dst.ctl("status").out
    watched.kill_and_restart("dst")
    wait_for(held, 30, "a new postcopyd that knows of the held guest")
    print("#", dst.ctl("status", vm.name).out.strip().replace("\n", "\n# "))
    print(f"# {dst.domstate(vm.name)} to libvirt")
    assert is_held(dst, vm.name)
    thaw = dst.ctl("resume", vm.name, timeout=20)
    print(f"# {thaw.out.strip()}")
    undone = {"freeze": "1 vCPUs thawed", "stop": "QEMU told to go on"}[verb]
    assert thaw.rc == 0 and undone in thaw.out, thaw
    spent = vcpu_time(dst, vm.name)
    assert dst.domstate(vm.name)[0] == "running", dst.domstate(vm.name)
    wait_for(lambda: vcpu_time(dst, vm.name) > spent, 20, "a guest that runs after its resume")
    wait_for(lambda: dst.ctl("status", vm.name).rc == 4, 40, "an empty list")
    check_journal(dst, "completed")
    print(f"# {verify_memory(vm, 'dst')}")


@case("long-protect-held-after-completion", lab=HOOKED, timeout=240)
def frozen_after_completion(lab):
    """Who froze the guest has it listed after the end, over keep-ended and a killed postcopyd, until
    it is resumed."""
    held_after_completion(lab, "freeze")


@case("long-protect-stopped-after-completion", lab=HOOKED, timeout=240)
def stopped_after_completion(lab):
    """The same of a guest that QMP `stop` holds."""
    held_after_completion(lab, "stop")


@case("respond-operator-verbs", lab=HOOKED, timeout=180)
def verbs(lab):
    """An operator stops (refused, with the way out), freezes, resumes, holds, releases, recovers."""
    watched = Watched(lab, config=CONFIG, before=lambda vm: mount_cgroup2(lab))
    name = watched.vm.name
    assert lab.src.ctl("hold", name).rc == 0
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    time.sleep(2)
    stop = lab.dst.ctl("stop", name)
    print(f"# stop: exit {stop.rc} in {stop.seconds * 1000:.0f} ms: {stop.err.strip()}")
    assert stop.rc == 1 and "freeze" in stop.err, stop
    assert lab.dst.ctl("freeze", name, timeout=20).rc == 0
    assert stands_still(watched.vm)
    thaw = lab.dst.ctl("resume", name, timeout=20)
    assert thaw.rc == 0, thaw
    refused = lab.src.ctl("resume", name)
    assert refused.rc == 1, refused
    nowhere = lab.src.ctl("recover", name, "--network", "10.8.0.0/24")
    print(f"# recover by a network without the peer: exit {nowhere.rc}: {nowhere.err.strip()}")
    assert nowhere.rc == 1 and "in 10.8.0.0/24: it has 10.9.0.2;" in nowhere.err, nowhere
    plan = lab.src.ctl("recover", name, "--network", "10.9.0.0/24", "--dry-run")
    assert plan.rc == 0 and "over 10.9.0.2 (qemu+tcp://10.9.0.2/system)" in plan.out, plan
    cut.heal()
    time.sleep(3)
    assert watched.status("src")["phase"] == "paused", "recovered although held"
    watched.hurry()
    done = lab.src.ctl("recover", name, "--wait", "--timeout", "60s", timeout=90)
    print(f"# recover --wait: exit {done.rc}: {done.out.strip()} {done.err.strip()}")
    assert done.rc == 0, done
    assert lab.src.ctl("release", name).rc == 0
    watched.followers["dst"].wait("phase", "completed", cut.t_healed, 60)
    refused_after_completion(watched)
    ticks = watched.vm.ticks("dst")
    wait_for(lambda: watched.vm.ticks("dst") > ticks, 20, "tick of a guest that nobody may freeze")
    print(f"# {verify_memory(watched.vm, 'dst')}")


@case("long-protect-journal-lost", lab=HOOKED, timeout=180)
def journal_lost(lab):
    """The guest is frozen, and postcopyd ends and loses its journal: it finds the freeze, and thaws."""
    watched = Watched(lab, config=CONFIG, before=lambda vm: mount_cgroup2(lab))
    name = watched.vm.name
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    assert lab.dst.ctl("freeze", name, timeout=20).rc == 0
    cut.heal()
    watched.followers["dst"].wait("phase", "postcopy", cut.t_healed, 30)
    watched.followers.pop("dst").stop()
    lab.dst.kill_postcopyd()
    lab.dst.run("sh", "-c", "rm /var/lib/postcopyd/journal.sqlite*")
    watched.start(lab.dst)
    assert watched.status("dst")["phase"] == "postcopy" and stands_still(watched.vm)
    watched.hurry()
    watched.migration.wait_completed(60)
    ticks = watched.vm.ticks("dst")
    wait_for(lambda: watched.vm.ticks("dst") > ticks, 20, "tick of the guest after the thaw")
    assert check_journal(lab.dst, "completed") == {"resume": ["done"]}


@case("respond-policy-set-under-way", timeout=120)
def policy_set(lab):
    """postcopyctl policy set takes effect at once in a pause: from observe to recover."""
    config = CONFIG + "[policy]\nmatch = g observe\n"
    watched = Watched(lab, config=config, start=False)
    watched.start()
    lab.src.virsh("domjobabort", watched.vm.name, "--postcopy")
    watched.migration.wait_paused(5)
    time.sleep(2)
    status = watched.status("src")
    assert (status["phase"], status["policy"]) == ("paused", "observe"), status
    done = lab.src.ctl("policy", "set", watched.vm.name, "recover", "--policy-dir",
                       os.path.realpath(os.path.join(os.path.dirname(__file__),
                                                     "../../../policies")))
    assert done.rc == 0, done
    print(f"# {json.dumps(watched.status('src'))[:200]}")
    # A person paused it: policy leaves that alone until told to recover.
    done = lab.src.ctl("recover", watched.vm.name, timeout=30)
    assert done.rc == 0, done
    watched.finish()


@case("long-rule-8-dry-run-touches-nothing")
def dry_run(lab):
    """With --dry-run nothing is armed, shut down or recovered: what would be done is told."""
    watched = Watched(lab, config=CONFIG, start=False, args=["--dry-run"])
    watched.start()
    for side in ("src", "dst"):
        watched.followers[side].wait("armed", "found", time.monotonic() - 60, 62)
    cut = lab.cut("drop")
    time.sleep(4)
    for side in ("src", "dst"):
        assert watched.status(side)["phase"] == "postcopy", watched.status(side)
        assert watched.told(side, cut.t, "shutdown") == [], watched.followers[side].story(cut.t)
    # The destination, not armed, has nothing outstanding that could go unanswered.
    assert watched.status("src")["flow"] == "stalled", watched.status("src")
    lab.src.virsh("domjobabort", watched.vm.name, "--postcopy")
    watched.followers["src"].wait("phase", "paused", cut.t, 10)
    cut.heal()
    time.sleep(3)
    assert watched.status("src")["phase"] == "paused", watched.status("src")
    done = lab.src.ctl("recover", watched.vm.name)
    print(f"# recover: exit {done.rc}: {done.out.strip()} {done.err.strip()}")
    assert watched.status("src")["phase"] == "paused", watched.status("src")
