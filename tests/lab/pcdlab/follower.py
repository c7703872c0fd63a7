# SPDX-License-Identifier: LGPL-2.1-or-later
"""Follows what a host's postcopyd tells, through `postcopyctl events --follow --json`.
Must not judge: cases do."""

import json
import subprocess
import threading
import time

from . import proc
from .host import BUS
from .wait import wait_for


class Follower:
    """`records` grows in a thread; each is the JSON object of one line, with `t`, CLOCK_MONOTONIC
    seconds when postcopyd told it."""

    def __init__(self, host):
        self.host = host
        self.records = []
        self.bad = []
        self._child = host.popen(
            [host.build_path("postcopyctl"), "--bus", BUS, "events", "--follow", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._child.stdout:
            try:
                record = json.loads(line)
                record["t"] = record["monotonic-usec"] / 1e6
                self.records.append(record)
            except (ValueError, KeyError):
                self.bad.append(line.rstrip("\n"))

    def find(self, kind, to=None, since=0.0):
        """The first record of that kind since then, or None."""
        for record in list(self.records):
            if record["t"] >= since and record["kind"] == kind and to in (None, record.get("to")):
                return record
        return None

    def wait(self, kind, to, since, timeout):
        """Waits until `timeout` seconds after `since` (plus a moment for delivery)."""
        return wait_for(lambda: self.find(kind, to, since),
                        max(since + timeout - time.monotonic(), 0) + 0.3,
                        f"{kind} -> {to} on {self.host.name} within {timeout:g} s; told: "
                        f"{self.story(since)} {self.bad}", 0.02)

    def story(self, since=0.0):
        """What was told since then, in short."""
        return [f"+{r['t'] - since:.2f} {r['kind']}:{r.get('from')}->{r.get('to')}"
                for r in self.records if r["t"] >= since - 0.5]

    def stop(self):
        if self._child.poll() is None:
            proc.kill_group(self._child.pid)
        self._child.wait()
        self._thread.join(5)
