# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each action does on real VMs, run by itself (tools/act-shell), without daemon and ladder."""

import json
import os
import time

from pcdlab.case import case
from pcdlab.host import Host
from pcdlab.proc import LabError
from pcdlab.shell import Shell, dst_blocked, in_postcopy, paused_pair
from pcdlab.verify import verify_memory
from pcdlab.wait import wait_for

try:
    HOOKED = {"hook": Host.build_path("postcopyd-hook")}
except LabError:  # no build: the cases can be listed all the same
    HOOKED = {}
HOOKED_TCG = {**HOOKED, "tcg": True}


def quick_virsh(lab, vm):
    for words in (("list",), ("domstate", vm.name)):
        took = lab.dst.virsh(*words).seconds
        assert took < 1.0, f"virsh {words} took {took:.2f} s"


def recover_and_verify(lab, vm, migration):
    lab.heal()
    migration.wait_paused(20)
    migration.resume()
    wait_for(lambda: lab.src.qemu_pid(vm.name) is None, 60, "end of the source", 0.1)


def recover_out_of_band(lab, vm, dst):
    """The only way while a `stop` is pending: libvirt's own commands hang with QEMU's main loop."""
    lab.heal()
    uri = f"tcp:{lab.dst.addresses['migration']}:49210"
    answer = dst("oob", "migrate-recover", json.dumps({"uri": uri}, separators=(",", ":")))
    assert answer["outcome"] == "done", answer
    for arguments in ({"execute": "migrate-set-parameters",
                       "arguments": {"max-postcopy-bandwidth": 0}},
                      {"execute": "migrate", "arguments": {"uri": uri, "resume": True}}):
        lab.src.qmp_by_libvirt(vm.name, arguments)


def protect(lab, vcpus):
    """As policy `protect` does it: stop refused, freeze, recovery with frozen vCPUs, thaw."""
    vm, migration = in_postcopy(lab, vcpus=vcpus)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, vm, migration, src, dst)
        blocked = dst_blocked(lab, vm)
        answer = dst("stop", "paused")
        assert answer["outcome"] == "refused", answer
        assert blocked[0]["path"] in answer["reason"], answer
        assert answer["ms"] < 50, answer
        dst("ask", "begin")
        answer = dst("freeze", "paused")
        assert answer["outcome"] == "done", answer
        again = dst("stop", "paused")
        assert again["outcome"] == "refused", again
        before = vm.serial("dst")
        quick_virsh(lab, vm)
        time.sleep(2)
        assert vm.serial("dst") == before, "the guest went on while frozen"
        asked = dst("ask", "end")
        print(f"# {asked['asked']} questions while frozen: worst answer {asked['worst']} ms")
        assert asked["failed"] == 0 and asked["worst"] < 100 * slack(), asked
        dst("ask", "begin")
        recover_and_verify(lab, vm, migration)
        time.sleep(0.5)
        assert vm.serial("dst") == before, "the guest went on while frozen, after the recovery"
        # QEMU's main loop has work of its own in a recovery, frozen vCPUs or not.
        asked = dst("ask", "end")
        print(f"# {asked['asked']} questions while it recovers: worst answer {asked['worst']} ms")
        assert asked["failed"] == 0 and asked["worst"] < 1000, asked
        assert dst("resume", "completed")["outcome"] == "done"
        ticks = vm.ticks("dst")
        wait_for(lambda: vm.ticks("dst") > ticks, 20, "tick of the guest after the thaw")
    wait_for(migration.is_completed, 30, "completion")
    verify_memory(vm)
    no_folders(lab)


def slack():
    """A machine that others load answers later; alone it is 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def no_folders(lab):
    left = [n for n in lab.dst.run("ls", "/sys/fs/cgroup").out.split() if n.startswith("postcopyd-")]
    assert not left, left


@case("long-act-protect", lab=HOOKED, timeout=180)
def act_protect(lab):
    """Stop refused with the path named, freeze, recovery with the vCPU frozen, thaw, memory good."""
    protect(lab, 1)


@case("long-act-protect-4", lab=HOOKED, timeout=180)
def act_protect_4(lab):
    """The same with 4 vCPUs."""
    protect(lab, 4)


@case("long-act-protect-tcg", lab=HOOKED_TCG, timeout=180)
def act_protect_tcg(lab):
    """The same on TCG."""
    protect(lab, 1)


def force_pause_by(lab, side, way, role_monitor):
    vm, migration = in_postcopy(lab, mib=200)
    with Shell(lab, side, monitor=role_monitor) as shell:
        lab.cut("link-down")
        answer = shell("force-pause", "postcopy", f"way={way}")
        assert answer["outcome"] == "done", answer
        assert answer["ms"] < 2000, answer
        if side == "src":
            migration.wait_paused(2)
        else:
            wait_for(lambda: lab.dst.domstate(vm.name) == ("running", "post-copy failed"), 3,
                     "post-copy failed on dst")


@case("act-force-pause-src-libvirt", lab=HOOKED)
def pause_src_libvirt(lab):
    """force-pause on the source by virDomainAbortJobFlags."""
    force_pause_by(lab, "src", "libvirt", False)


@case("act-force-pause-src-socket", lab=HOOKED)
def pause_src_socket(lab):
    """force-pause on the source by shutdown of the socket."""
    force_pause_by(lab, "src", "socket", False)


@case("act-force-pause-dst-monitor", lab=HOOKED)
def pause_dst_monitor(lab):
    """force-pause on the destination by migrate-pause out of band."""
    force_pause_by(lab, "dst", "monitor", True)


@case("act-force-pause-dst-socket", lab=HOOKED)
def pause_dst_socket(lab):
    """force-pause on the destination by shutdown of the socket."""
    force_pause_by(lab, "dst", "socket", True)


@case("act-force-pause-deadlock", lab=HOOKED, timeout=180)
def pause_deadlock(lab):
    """Source paused, destination knows nothing: the destination's force-pause resolves it."""
    vm, migration = in_postcopy(lab, mib=96)
    with Shell(lab, "dst", monitor=True) as dst:
        lab.cut("drop")
        lab.src.virsh("domjobabort", vm.name, "--postcopy")
        migration.wait_paused(5)
        lab.heal()
        assert dst("force-pause", "postcopy")["outcome"] == "done"
        recover_and_verify(lab, vm, migration)
    wait_for(migration.is_completed, 30, "completion")
    verify_memory(vm)


@case("act-rule-1-stop-race", lab=HOOKED, timeout=180)
def stop_race(lab):
    """A stop sent past the gate hangs: out of band goes on, and it completes when the page comes."""
    vm, migration = in_postcopy(lab)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, vm, migration, src, dst)
        dst_blocked(lab, vm)
        assert dst("qmp", "stop")["outcome"] == "failed"
        assert dst("oob", "query-yank")["outcome"] == "done"
        assert dst("qmp", "query-status")["outcome"] == "failed"
        recover_out_of_band(lab, vm, dst)
        wait_for(lambda: dst("qmp", "query-status")["outcome"] == "done", 10, "a monitor again")
        ticks = vm.ticks("dst")
        time.sleep(1)
        assert vm.ticks("dst") == ticks, "the late stop was not carried out"
        assert dst("resume", "completed")["outcome"] == "done"
        time.sleep(1)
        assert vm.ticks("dst") == ticks, "resume undid a stop that was not postcopyd's"
        assert dst("resume", "completed", "+stopped")["outcome"] == "done"
        wait_for(lambda: vm.ticks("dst") > ticks, 20, "tick after cont")


@case("long-act-rule-3-resume-past-libvirt", lab=HOOKED, timeout=180)
def resume_past_libvirt(lab):
    """Why nobody may make the source's QEMU reconnect past a libvirt that is in a resume of its own:
    virsh's hangs while a stop is pending; what is then recovered past it completes, but libvirt
    leaves the source behind for good, fit to be started beside the guest."""
    vm, migration = in_postcopy(lab)
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, vm, migration, src, dst)
        dst_blocked(lab, vm)
        assert dst("qmp", "stop")["outcome"] == "failed"
        lab.heal()
        migration.resume()
        time.sleep(10)
        assert migration.virsh.poll() is None and migration.status() == "postcopy-paused"
        recover_out_of_band(lab, vm, dst)
        wait_for(lambda: migration.status() == "completed", 20, "completion")
        time.sleep(3)
        status = lab.src.qmp_by_libvirt(vm.name, "query-status")["status"]
        print(f"# virsh: {migration.output.strip()}; source: {lab.src.domstate(vm.name)}, {status}")
        assert lab.src.domstate(vm.name) == ("paused", "post-copy") and status == "postmigrate"


@case("act-rule-1-no-monitor", timeout=120)
def no_monitor(lab):
    """Without the hook: stop is refused; freeze works on KVM by where the thread stands alone."""
    vm, migration = in_postcopy(lab)
    with Shell(lab, "dst") as dst:
        def absent():
            return "no control monitor" in dst("ready")["reason"]
        wait_for(absent, 5, "the keeper's reason")
        answer = dst("stop", "postcopy")
        assert answer["outcome"] == "refused", answer
        answer = dst("freeze", "postcopy")
        assert answer["outcome"] == ("done" if lab.state["kvm"] else "refused"), answer
        assert dst("resume", "postcopy")["outcome"] == "done"
        no_folders(lab)


@case("act-rule-3-source", lab=HOOKED)
def rule_3(lab):
    """On the source: no resume, no stop, no freeze, in no phase and with no flag."""
    vm, _ = in_postcopy(lab)
    with Shell(lab, "src") as src:
        for action in ("resume", "stop", "freeze"):
            for phase in ("postcopy", "paused", "completed", "failed"):
                answer = src(action, phase, "+force", "+stopped")
                assert answer["outcome"] == "refused", answer


@case("act-rule-4-destroy", lab=HOOKED, timeout=180)
def rule_4(lab):
    """destroy: not without allow-destroy, not without proof; done once the source is gone."""
    vm, migration = in_postcopy(lab)
    peer = f"peer-uri=qemu+tcp://{lab.src.addresses['alternate']}/system"
    order = "order=destination-first"
    with Shell(lab, "src") as src, Shell(lab, "dst", monitor=True) as dst:
        paused_pair(lab, vm, migration, src, dst)
        for words in ((peer, order, "without-proof=true", "+force"), (order, "+allow-destroy"),
                      (peer, order, "+allow-destroy"),
                      (peer, "order=source-first", "without-proof=true", "+allow-destroy")):
            answer = dst("destroy", "paused", *words)
            assert answer["outcome"] == "refused", (words, answer)
        assert dst("destroy", "postcopy", peer, order, "+allow-destroy", "+force")["outcome"] == \
            "refused"
        assert lab.dst.qemu_pid(vm.name)
        lab.cut("kill-qemu", side="src", domain=vm.name)
        wait_for(lambda: lab.src.domstate(vm.name) is None, 10, "end of the source")
        answer = dst("destroy", "paused", peer, order, "+allow-destroy")
        assert answer["outcome"] == "done", answer
        assert lab.dst.qemu_pid(vm.name) is None


@case("act-young", lab=HOOKED)
def young(lab):
    """force-pause right after switchover is refused: it could lose the guest."""
    in_postcopy(lab)
    with Shell(lab, "dst", monitor=True) as dst:
        assert dst("force-pause", "postcopy", "+young")["outcome"] == "refused"
        assert dst("force-pause", "precopy")["outcome"] == "refused"
        assert dst("force-pause", "device")["outcome"] == "refused"
