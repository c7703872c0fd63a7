# SPDX-License-Identifier: LGPL-2.1-or-later
"""A migration in postcopy that a postcopyd watches on each side. Must not break anything: cases do."""

import json
import time

from .follower import Follower
from .wait import wait_for

TIMEOUT = 2.0  # postcopyd.conf's default network-timeout


class Watched:
    """A migration in postcopy with a postcopyd on each side, and what they tell."""

    def __init__(self, lab, p2p=True, start=True, mib=200, vcpus=1, vm_options=None,
                 before=None, in_precopy=None, config=None, args=(), **options):
        """`before(vm)` runs before the migration, `in_precopy(vm)` while both QEMUs are there;
        `config` is the text of both hosts' postcopyd.conf, `args` are for both postcopyds."""
        self.lab = lab
        self.args = list(args)
        if config is not None:
            for host in lab.hosts:
                host.write("/etc/postcopyd/postcopyd.conf", config)
            self.args += ["--config", "/etc/postcopyd/postcopyd.conf"]
        self.vm = lab.vm(mib=mib, vcpus=vcpus, **(vm_options or {}))
        self.followers = {}
        if before:
            before(self.vm)
        if start:
            self.start()
        self.migration = lab.migrate(self.vm, p2p=p2p, **{"postcopy_bandwidth": 1, **options})
        if in_precopy:
            wait_for(lambda: self.migration.status() == "active", 30, "active migration")
            in_precopy(self.vm)
        self.migration.to_postcopy(1)
        if start:
            self.wait_armed()

    def start(self, *hosts):
        for host in hosts or self.lab.hosts:
            host.start_postcopyd(self.args)
            self.followers[host.name] = Follower(host)

    def kill_and_restart(self, side):
        host = getattr(self.lab, side)
        self.followers.pop(side).stop()
        host.kill_postcopyd()
        self.start(host)

    def wait_armed(self):
        for host in self.lab.hosts:
            self.followers[host.name].wait("armed", "armed", time.monotonic() - 60, 62)

    def paused(self, side, since, within, cause):
        """The phase, and the cause, which may be told a moment after it."""
        follower = self.followers[side]
        record = follower.wait("phase", "paused", since, within)
        took = record["t"] - since
        assert took <= within, f"{side}: paused only after {took:.2f} s; {follower.story(since)}"
        told = wait_for(lambda: follower.find("cause", cause, since), 2,
                        f"cause {cause} on {side}; told: {follower.story(since)}")
        print(f"# {side}: paused after {took:.2f} s, cause {told['to']}: {told.get('detail', '')}")

    def both_paused(self, since, within, cause):
        for side in ("src", "dst"):
            self.paused(side, since, within, cause)

    def status(self, side):
        done = getattr(self.lab, side).ctl("status", self.vm.name, "--json")
        assert done.rc == 0, f"status on {side}: {done}"
        return json.loads(done.out)["migrations"][0]

    def told(self, side, since, kind="phase"):
        return [r["to"] for r in self.followers[side].records
                if r["t"] >= since and r["kind"] == kind]

    def never_left_postcopy(self, since):
        for side in ("src", "dst"):
            status = self.status(side)
            assert self.told(side, since) == [], f"{side}: {self.followers[side].story(since)}"
            assert status["phase"] == "postcopy", f"{side}: {status}"
            assert self.told(side, since, "shutdown") == [], self.followers[side].story(since)

    def hurry(self, name=None):
        """Takes the limit off the background copying, so that it ends soon."""
        self.lab.src.virsh("migrate-setspeed", name or self.vm.name, "1000", "--postcopy",
                           check=False)

    def finish(self, since=None):
        """Lets it run to its end, and nobody may have got in its way."""
        self.hurry()
        self.migration.wait_completed(60)
        for side in ("src", "dst"):
            self.followers[side].wait("phase", "completed", time.monotonic() - 70, 75)
