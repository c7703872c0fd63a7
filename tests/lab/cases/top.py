# SPDX-License-Identifier: LGPL-2.1-or-later
"""postcopyctl top on both hosts, in real terminals, while five real migrations break and are mended by
its keys."""

import contextlib
import os
import re
import shlex
import subprocess
import tempfile

from pcdlab.case import case
from pcdlab.host import BUS, Host
from pcdlab.wait import wait_for
from pcdlab.watched import Watched

CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
"""
PATIENCE = 60


class Screen:
    """postcopyctl top of a host, in a tmux of its own."""

    def __init__(self, host, columns, lines):
        self._folder = tempfile.TemporaryDirectory(prefix="pcd-top-")
        self._env = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "screen-256color"}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "TMUX"):
            self._env.pop(name, None)
        command = host.wrap([Host.build_path("postcopyctl"), "--bus", BUS, "top"])
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(lines),
                   shlex.join(command) + "; echo top ended; exec sleep 600")

    def _tmux(self, *words):
        return subprocess.run(["tmux", "-u", "-S", os.path.join(self._folder.name, "socket"), *words],
                              env=self._env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=20, check=True).stdout

    def resize(self, columns, lines):
        self._tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def keys(self, *keys):
        self._tmux("send-keys", *keys)

    def text(self):
        return self._tmux("capture-pane", "-p")

    def wait(self, *patterns):
        """All of these, on one screen."""
        seen = ""

        def shown():
            nonlocal seen
            seen = self.text()
            return all(re.search(pattern, seen, re.M) for pattern in patterns)
        try:
            wait_for(shown, PATIENCE, "a screen")
        except TimeoutError as late:
            raise AssertionError(f"{patterns} not on\n{seen}") from late
        return seen

    def close(self):
        self._tmux("kill-server")
        self._folder.cleanup()


def show(screen, title, *patterns):
    print(f"# {title}")
    for line in screen.wait(*patterns).rstrip().splitlines():
        print(f"# | {line}")


@case("long-top-five-vms", timeout=600)
def five_vms(lab):
    """Five real VMs: what waits, and why, is seen; one is held and recovered by keys."""
    first = Watched(lab, config=CONFIG, mib=48)
    names = [first.vm.name] + [f"g{i}" for i in range(4)]
    for name in names[1:]:
        lab.migrate(lab.vm(name=name, mib=48), postcopy_bandwidth=1).to_postcopy(0.5)
    with contextlib.ExitStack() as stack:
        src, dst = (stack.enter_context(contextlib.closing(Screen(host, 80, 24))) for host in lab.hosts)
        src.wait("5 migrations", *(rf"^. {name} +src postcopy +\w+ .* [0-9.]+ MiB .*[▁-█]" for name in names))
        cut = lab.cut("link-down")
        show(dst, "the destination, cut off", "5 migrations, 5 in trouble", r"^! .* dst paused .* 1/1 .*█")
        dst.keys("Enter")
        show(dst, "what is the matter", r"\(destination\): paused for", r"wait[s]? for missing memory",
             "postcopyctl (stop|freeze) ")
        dst.keys("i")
        show(dst, "its threads", r"threads of \w+ \(destination\), process \d+, as of",
             r"CPU 0/KVM +0 +. +yes .* (kernel-side-copy|kvm-slow-page-fault|userspace-fault)")
        dst.keys("q")
        dst.resize(200, 30)
        show(dst, "in 200 columns", "POLICY, DOING, NEXT", "PAGES/S", *(rf"^! {name} " for name in names))
        src.keys("/", "g", "0", "Enter")
        src.wait("1 with 'g0'", "^g0: ")
        src.keys("h")
        src.wait("g0: hold: done")
        src.wait(r"^g0: \S+ \(held\)")
        cut.heal()
        for name in names:
            first.hurry(name)
            if name != "g0":
                wait_for(lambda name=name: [r for r in first.followers["src"].records if r.get("domain") == name and
                                            r.get("to") == "completed"], PATIENCE, f"completion of {name}")
        src.wait("^! g0 .* paused")
        src.keys("c")
        src.wait(r"recover g0 \(source\)\? \[y/N\]")
        src.keys("y")
        src.wait("g0: recover: (asked|done)")
        first.hurry("g0")
        show(src, "recovered by a key", "^. g0 .* completed", "g0: recover: done")
        for screen in (src, dst):
            screen.keys("Escape", "q")
            screen.wait("^top ended")
