# SPDX-License-Identifier: LGPL-2.1-or-later
"""The action `recover` alone, on real VMs and a really broken network; when it is due is the
ladder's business, and tested with it. `run-action` runs it as the daemon would."""

import json
import subprocess
import time

from pcdlab import verify_memory
from pcdlab.case import case
from pcdlab.wait import wait_for

URI = "qemu+tcp://{address}/system"


class Paused:
    """A migration, both sides watched by postcopyd, cut until both are paused."""

    def __init__(self, lab, kind="link-down", mib=48, p2p=True, **options):
        self.lab = lab
        self.vm = lab.vm(mib=mib, **options)
        for host in lab.hosts:
            host.start_postcopyd()
        self.migration = lab.migrate(self.vm, p2p=p2p, postcopy_bandwidth=1)
        self.migration.to_postcopy(0.5)
        self.cut = lab.cut(kind)
        self.migration.wait_paused(10)
        wait_for(lambda: lab.dst.domstate(self.vm.name) == ("running", "post-copy failed"), 10,
                 "pause of the destination")
        self.ticks = self.vm.ticks("dst")

    def action(self, *options, role="source", peer="10.9.0.2", timeout=40):
        """Runs the action; the lines it printed and its exit status."""
        host = self.lab.src if role == "source" else self.lab.dst
        done = host.run(host.build_path("run-action"), "recover", self.vm.name, "--connect",
                        "qemu:///system", "--role", role, "--pid", host.qemu_pid(self.vm.name),
                        "--peer", peer, "--peer-uri", URI, *options, check=False, timeout=timeout)
        assert done.rc in (0, 1), done
        lines = [json.loads(line) for line in done.out.splitlines()]
        for line in lines:
            print(f"# +{line['t'] - self.cut.t:.2f} {line}")
        return lines, done.rc

    def start_waiting(self, *options):
        """The action as the daemon runs it: when the peer answers, and again until it is done."""
        host = self.lab.src
        self.waiting = host.popen(
            [host.build_path("run-action"), "recover", self.vm.name, "--connect", "qemu:///system",
             "--pid", host.qemu_pid(self.vm.name), "--peer", "10.9.0.2", "--peer-uri", URI,
             "--when-answers", *options], stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        assert self.waiting.poll() is None, "done before the network was healed"

    def finish_waiting(self):
        """When it was done (CLOCK_MONOTONIC)."""
        out, _ = self.waiting.communicate(timeout=20)
        lines = [json.loads(line) for line in out.splitlines()]
        for line in lines:
            print(f"# +{line['t'] - self.cut.t:.2f} {line}")
        assert lines[-1]["outcome"] == "done", lines
        return lines[-1]["t"]

    def completes(self):
        self.lab.src.virsh("migrate-setspeed", self.vm.name, "1000", "--postcopy", check=False)
        self.migration.wait_completed(40)
        verify_memory(self.vm, "dst")


def heal_and_recover(lab, kind, seconds):
    paused = Paused(lab, kind)
    paused.start_waiting()
    time.sleep(max(0, paused.cut.t + seconds - time.monotonic()))
    paused.cut.heal()
    took = paused.finish_waiting() - paused.cut.t_healed
    print(f"# cut for {seconds} s: QEMU recovered {took:.2f} s after the heal")
    assert took <= 2, f"{took:.2f} s"
    paused.completes()


@case("long-act-recover-link-5s")
def link_5s(lab):
    """Link down for 5 s: recovering within 2 s of the heal, complete, all pages right."""
    heal_and_recover(lab, "link-down", 5)


@case("long-act-recover-drop-8s")
def drop_8s(lab):
    """Packets silently dropped for 8 s, so nothing tells of the heal: the same."""
    heal_and_recover(lab, "drop", 8)


@case("long-act-recover-drop-4s")
def drop_4s(lab):
    """Dropped for 4 s: shorter than libvirt's keepalive, longer than its answer lasts: the same."""
    heal_and_recover(lab, "drop", 4)


@case("act-recover-alternate")
def alternate(lab):
    """The migration network stays dead: recovering over the other within 5 s of the cut."""
    paused = Paused(lab)
    lines, rc = paused.action("--addresses", "10.9.0.2 10.9.1.2", "--when-answers")
    assert rc == 0 and "10.9.1.2" in lines[-1]["reason"], lines
    took = lines[-1]["t"] - paused.cut.t
    assert took <= 5, f"{took:.2f} s"
    paused.completes()


@case("long-act-recover-second-cut")
def second_cut(lab):
    """The network dies again during the recovery, and heals: recovering within 2 s again."""
    paused = Paused(lab, "drop")
    paused.cut.heal()
    assert paused.action("--when-answers")[1] == 0
    time.sleep(0.5)
    paused.cut = lab.cut("drop")
    paused.migration.wait_paused(10)
    paused.start_waiting()
    paused.cut.heal()
    took = paused.finish_waiting() - paused.cut.t_healed
    assert took <= 2, f"{took:.2f} s"
    paused.completes()


@case("act-recover-managed")
def managed(lab):
    """A migration that virsh manages is recovered, p2p, too."""
    paused = Paused(lab, p2p=False)
    lines, rc = paused.action("--addresses", "10.9.0.2 10.9.1.2")
    assert rc == 0, lines
    paused.completes()


@case("act-recover-dead-network")
def dead_network(lab):
    """A dead network costs an attempt no more than the knock, and is named."""
    paused = Paused(lab)
    lines, rc = paused.action()
    assert rc == 1 and lines[-1]["outcome"] == "failed", lines
    assert lines[-1]["seconds"] < 1 and "10.9.0.2" in lines[-1]["reason"], lines


@case("act-recover-killed")
def killed(lab):
    """Whoever called is killed while the recovery runs: it completes all the same."""
    paused = Paused(lab, mib=64)
    paused.cut.heal()
    host = lab.src
    caller = host.popen([host.build_path("run-action"), "recover", paused.vm.name, "--connect",
                         "qemu:///system", "--pid", host.qemu_pid(paused.vm.name), "--peer",
                         "10.9.0.2", "--peer-uri", URI, "--when-answers", "--linger"],
                        stdout=subprocess.PIPE, text=True)
    wait_for(lambda: paused.migration.status() == "postcopy-active", 10, "recovery")
    caller.kill()
    caller.communicate()
    assert paused.migration.status() == "postcopy-active"
    paused.completes()


@case("act-recover-refused")
def refused(lab):
    """Refused on the destination, and while QEMU goes on migrating (unattended)."""
    vm = lab.vm(mib=48)
    migration = lab.migrate(vm, postcopy_bandwidth=1).to_postcopy(0.5)
    for role, host, says in (("destination", lab.dst, "only the source"),
                             ("source", lab.src, "postcopy-active")):
        done = host.run(host.build_path("run-action"), "recover", vm.name, "--connect",
                        "qemu:///system", "--role", role, "--peer", "10.9.0.2", "--peer-uri", URI,
                        check=False)
        line = json.loads(done.out)
        print(f"# {role}: {line}")
        assert done.rc == 1 and line["outcome"] == "refused" and says in line["reason"], done
    assert migration.status() == "postcopy-active"
