# SPDX-License-Identifier: LGPL-2.1-or-later
"""What docs/examples has for operators, run as they would; its veto hook is in veto.py."""

import os
import subprocess

from pcdlab import verify_memory
from pcdlab.case import case
from pcdlab.host import BUS
from pcdlab.proc import kill_group
from pcdlab.wait import wait_for

DRAIN = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../../docs/examples/drain-host"))
CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
"""
URI = "qemu+tcp://10.9.0.2/system"
# Slow enough for a cut.
SLOWLY = ("--bandwidth", "20", "--postcopy-bandwidth", "1")


class Drain:
    """Two guests on a host that is being drained, the first of them in post-copy."""

    def __init__(self, lab, *options):
        self.lab = lab
        self.vms = [lab.vm(name, mib=48) for name in ("one", "two")]
        for host in lab.hosts:
            host.write("/etc/postcopyd/postcopyd.conf", CONFIG)
            host.start_postcopyd(["--config", "/etc/postcopyd/postcopyd.conf"])
        self.output = os.path.join(lab.dir, "drain.out")
        ctl = f"{lab.src.build_path('postcopyctl')} --bus {BUS}"
        with open(self.output, "w") as out:
            self.script = lab.src.popen([DRAIN, *options, URI, *SLOWLY], stdout=out, stderr=out,
                                        env={**os.environ, "POSTCOPYCTL": ctl})
        self.first = wait_for(self._in_postcopy, 60, lambda: f"guest in post-copy; {self.said()}", 0.1)

    def _in_postcopy(self):
        assert self.script.poll() is None, self.said()
        return next((vm for vm in self.vms
                     if self.lab.dst.domstate(vm.name) == ("running", "post-copy")), None)

    def said(self):
        with open(self.output) as file:
            return file.read()

    def paused(self):
        wait_for(lambda: self.lab.dst.domstate(self.first.name) == ("running", "post-copy failed"), 20,
                 "pause of the destination")

    def ended(self, timeout=120):
        """Its exit status. What copies in the background is hurried."""
        def over():
            for vm in self.vms:
                self.lab.src.virsh("migrate-setspeed", vm.name, "1000", "--postcopy", check=False)
            return self.script.poll() is not None
        try:
            wait_for(over, timeout, lambda: f"end of drain-host; {self.said()}", 0.5)
        finally:
            kill_group(self.script.pid)
        for line in self.said().splitlines():
            print(f"# {line}")
        return self.script.returncode


@case("long-example-drain", timeout=240)
def drain(lab):
    """drain-host with a cut in the middle of it: both guests arrive, whole, and it ends with 0."""
    drained = Drain(lab)
    cut = lab.cut("link-down")
    drained.paused()
    cut.heal()
    assert drained.ended() == 0, drained.said()
    for vm in drained.vms:
        assert f"{vm.name}: arrived" in drained.said(), drained.said()
        print(f"# {verify_memory(vm, 'dst')}")
    assert lab.src.virsh("list", "--name").out.split() == []


@case("long-example-drain-fails", timeout=240)
def drain_fails(lab):
    """drain-host while the network does not come back: ends with 1 in its time, names the guest that
    hangs between the hosts and the one that still runs here; another run after the heal mends it."""
    drained = Drain(lab, "--limit", "8")
    cut = lab.cut("link-down")
    drained.paused()
    assert drained.ended() == 1, drained.said()
    first, second = sorted((vm.name for vm in drained.vms), key=lambda name: name != drained.first.name)
    said = drained.said()
    assert f"{first}: NOT arrived: " in said and "Destroy it on neither host" in said, said
    assert f"2 of 2 guests did not arrive: {first} {second}" in said, said
    assert lab.src.domstate(second)[0] == "running"
    cut.heal()
    wait_for(lambda: lab.src.qemu_pid(first) is None, 90, f"completion of {first}", 0.5)
    print(f"# {verify_memory(drained.first, 'dst')}")


@case("long-example-drain-usage", timeout=30)
def usage(lab):
    """Called wrongly, or where nobody would mend, it migrates nothing and says why."""
    for words, rc, says in (([], 2, "usage"), (["--limit", "soon", URI], 2, "expected seconds"),
                            (["--help"], 2, "usage"), ([URI], 1, "without postcopyd nobody mends")):
        done = lab.src.run("env", f"POSTCOPYCTL={lab.src.build_path('postcopyctl')} --bus {BUS}", DRAIN,
                           *words, check=False, timeout=30)
        assert done.rc == rc and says in done.err, (words, done)
