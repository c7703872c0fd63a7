# SPDX-License-Identifier: LGPL-2.1-or-later
"""Copies of a paused guest's disks in its snapshot: of one moment, bit for bit, though the guest
writes on; and nothing of ours is left in QEMU, however it ends."""

import json
import os
import subprocess
import time

from pcdlab import disks
from pcdlab.bundle import FOLDER, bundles, ctl, manifest, only_bundle
from pcdlab.case import case
from pcdlab.host import BUS, Host
from pcdlab.proc import LabError
from pcdlab.shell import Shell, mount_cgroup2, paused_pair
from pcdlab.wait import wait_for

try:
    HOOKED = {"hook": Host.build_path("postcopyd-hook")}
except LabError:  # no build: the cases can be listed all the same
    HOOKED = {}
HOLD = f"directory={FOLDER}"
OURS = "pcd-copy-"


class Pair:
    """A guest that writes to its disks, in a cut postcopy; it waits for no page."""

    def __init__(self, lab, mib=24, n=2, **options):
        self.lab = lab
        paths = [disks.make(os.path.join(lab.dir, f"disk{i}.raw"), mib, i) for i in range(n)]
        self.originals = []
        for path in paths:
            with open(path, "rb") as f:
                self.originals.append(f.read())
        self.paths = paths
        self.vm = lab.vm(mib=64, disks=paths, monitor=True, **options)
        self.migration = lab.migrate(self.vm, postcopy_bandwidth=1, unsafe=True).to_postcopy(0.5)

    def last_on_disk(self):
        return disks.last_number([self._read(path) for path in self.paths])

    @staticmethod
    def _read(path):
        with open(path, "rb") as f:
            return f.read()

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

    def finish(self):
        self.lab.heal()
        self.migration.wait_paused(20)
        self.migration.resume()
        self.migration.wait_completed(60)
        ticks = self.vm.ticks("dst")
        wait_for(lambda: self.vm.ticks("dst") > ticks, 30, "tick of the guest after the recovery")


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
