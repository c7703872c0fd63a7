# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real incident on the lab's two hosts, and what `status`, `top` and the report show of it. Must not
know how pictures are made: it hands over texts and a page.

Three VMs migrate; the network of two of them is cut, that of the third is not.
"""

import json
import os
import shlex
import subprocess
import tempfile
import time

from pcdlab import Lab, wait_for
from pcdlab.follower import Follower
from pcdlab.host import BUS, Host

CONFIG_PATH = "/etc/postcopyd/postcopyd.conf"
# The lab's libvirts speak plain TCP: its two hosts have no certificates.
CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
[policy]
match = guest3 protect
"""
FLOWS_FOR = 15  # seconds, so that the lines of `top` have a past
TOP_AFTER = 3.5  # seconds after the cut: paused, and the past is still seen
STATUS_AFTER = 6  # after some attempts in vain
TMUX_CONF = "set -g status off\nset -g default-terminal screen-256color\n"


class Terminal:
    """A command of a host, in a tmux of its own."""

    def __init__(self, host, words, columns, rows):
        self._folder = tempfile.TemporaryDirectory(prefix="pcd-pictures-")
        self.columns = columns
        with open(self._path("conf"), "w", encoding="utf-8") as file:
            file.write(TMUX_CONF)
        self._env = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "screen-256color"}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "TMUX"):
            self._env.pop(name, None)
        line = f"\033[1m{host.name}$ postcopyctl {shlex.join(words)}\033[0m\n"
        command = shlex.join(host.wrap([Host.build_path("postcopyctl"), "--bus", BUS, *words]))
        # Not ended: tmux would say so on the screen.
        self._tmux("-f", self._path("conf"), "new-session", "-d", "-x", str(columns), "-y", str(rows),
                   f"printf %s {shlex.quote(line)}; {command}; touch {self._path('done')}; exec sleep 600")

    def _path(self, name):
        return os.path.join(self._folder.name, name)

    def _tmux(self, *words):
        return subprocess.run(["tmux", "-u", "-S", self._path("socket"), *words],
                              env=self._env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=20, check=True).stdout

    def screen(self):
        """With its colours."""
        return self._tmux("capture-pane", "-e", "-p", "-N")

    def ended(self):
        return os.path.exists(self._path("done"))

    def close(self):
        self._tmux("kill-server")
        self._folder.cleanup()


class Incident:
    """`screens` is {name: (text, columns)}, `page` the report of both hosts as HTML."""

    def __init__(self):
        self.screens, self.page = {}, ""
        self._lab = Lab()
        self._terminals = []

    def run(self):
        try:
            with self._lab:
                self._play()
        finally:
            self._close()

    def _close(self):
        while self._terminals:
            self._terminals.pop().close()

    def _play(self):
        src, dst = self._lab.hosts
        followers = []
        for host in self._lab.hosts:
            host.write(CONFIG_PATH, CONFIG)
            host.start_postcopyd(["--config", CONFIG_PATH])
            followers.append(Follower(host))
        migrations = [self._migrate("guest2", "alternate", 1, 160), self._migrate("guest1", "migration", 2, 160),
                      self._migrate("guest3", "migration", 1, 96)]
        top = self._open(src, ["top"], 132, 11)
        time.sleep(FLOWS_FOR)
        with self._lab.cut("link-down") as cut:
            for follower in followers:
                follower.wait("phase", "paused", cut.t, 20)
                follower.wait("cause", "network", cut.t, 20)
            time.sleep(max(0, cut.t + TOP_AFTER - time.monotonic()))
            self._keep("top", top)
            time.sleep(max(0, cut.t + STATUS_AFTER - time.monotonic()))
            self._keep("status-source", self._finished(src, ["status", "guest1"], 80))
            self._keep("status-destination", self._finished(dst, ["status", "guest1"], 120))
        self._close()
        for migration in migrations:
            src.virsh("migrate-setspeed", migration.name, "1000", "--postcopy", check=False)
        for migration in migrations:
            migration.wait_completed(120)
        self.page = self._report(src, dst)

    def _migrate(self, name, network, vcpus, mib):
        vm = self._lab.vm(name, vcpus=vcpus, mib=mib)
        return self._lab.migrate(vm, network=network, postcopy_bandwidth=2).to_postcopy(0.5)

    def _open(self, *args, **options):
        self._terminals.append(Terminal(*args, **options))
        return self._terminals[-1]

    def _finished(self, host, words, columns):
        terminal = self._open(host, words, columns, 40)
        wait_for(terminal.ended, 20, f"the end of postcopyctl {words}")
        return terminal

    def _keep(self, name, terminal):
        self.screens[name] = (terminal.screen(), terminal.columns)

    def _report(self, src, dst):
        """Of guest1, both sides joined."""
        numbers = {}
        for host in (src, dst):
            def ended(host=host):
                listed = [i for i in incidents(host) if i["domain"] == "guest1"]
                numbers[host.name] = str(listed[0]["id"]) if listed else None
                return listed and listed[0]["how"] == "completed"
            wait_for(ended, 30, f"the end of the incident on {host.name}")
        other = dst.ctl("incident", "show", numbers["dst"], "--json").out
        src.write("/run/other.json", other)
        done = src.ctl("incident", "report", numbers["src"], "--with", "/run/other.json", "--html", "-")
        assert done.rc == 0, done
        return done.out


def incidents(host):
    done = host.ctl("incident", "list", "--json")
    return json.loads(done.out) if done.rc == 0 else []
