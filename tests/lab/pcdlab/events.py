# SPDX-License-Identifier: LGPL-2.1-or-later
"""Records libvirt's or QEMU's events through virsh, independently of postcopyd.
Must not interpret them beyond their time."""

import re
import subprocess
import threading
import time
from dataclasses import dataclass

from . import proc
from .wait import wait_for

COMMANDS = {
    "lifecycle": ["event", "--all", "--loop", "--timestamp"],
    "monitor": ["qemu-monitor-event", "--loop", "--timestamp"],
}
STAMP = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{3})([+-]\d{4}): (.*)$")


@dataclass
class Event:
    t: float  # CLOCK_MONOTONIC, when virsh got it (ms resolution)
    text: str


def monotonic_of(stamp):
    """virsh stamps with the wall clock; the offset is taken now, soon after the event."""
    day, milliseconds, zone, _ = stamp
    wall = time.mktime(time.strptime(day, "%Y-%m-%d %H:%M:%S"))
    shown = (int(zone[:3]) * 60 + int(zone[0] + zone[3:]) % 60) * 60
    here = time.localtime(wall).tm_gmtoff
    return wall + here - shown + int(milliseconds) / 1000 - (time.time() - time.monotonic())


class Recorder:
    """`events` grows in a thread; stop() ends it."""

    def __init__(self, host, what):
        self.events = []
        self.what = what
        self._child = host.popen(
            ["stdbuf", "-oL", "virsh", "-c", "qemu:///system", *COMMANDS[what]],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        time.sleep(0.3)  # virsh does not say when it has registered

    def _read(self):
        for line in self._child.stdout:
            match = STAMP.match(line.rstrip("\n"))
            if match:
                self.events.append(Event(monotonic_of(match.groups()), match.group(4)))
            elif line.strip():
                self.events.append(Event(time.monotonic(), line.rstrip("\n")))

    def find(self, pattern, since=0.0):
        """The first event since then whose text matches, or None."""
        for event in list(self.events):
            if event.t >= since and re.search(pattern, event.text):
                return event
        return None

    def wait(self, pattern, timeout, since=0.0):
        return wait_for(lambda: self.find(pattern, since), timeout, f"event /{pattern}/", 0.02)

    def stop(self):
        if self._child.poll() is None:
            proc.kill_group(self._child.pid)
        self._child.wait()
        self._thread.join(5)
