# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab as a whole: brings two hosts up, remembers them on disk, takes everything down.
Knows nothing of how things are broken or what a guest does."""

import atexit
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from . import guest, ids, proc
from .breaks import Breaker
from .host import Host
from .migration import Migration
from .network import Network
from .proc import ENDING, LabError
from .vm import VM

_mine = {}  # id -> Lab: what this process must take down when it ends


class Lab:
    """Use as a context manager, or call up() and down().

    hook     an executable to install as libvirt's qemu hook on both hosts
    debug    libvirtd logs its QEMU driver in full
    tcg      never use KVM
    detached the lab outlives this process (the command line's `lab up`)
    installed a folder as `meson install --destdir` makes it: both hosts have that installed
    """

    def __init__(self, lab_id=None, hook=None, debug=False, tcg=False, detached=False, installed=None):
        self.id = lab_id or ids.new_id()
        self.dir = ids.state_dir(self.id)
        self.hook = hook
        self.debug = debug
        self.detached = detached
        self.installed = installed
        self.state = {"id": self.id, "owner": ids.me(), "hosts": {},
                      "kvm": not tcg and guest.kvm_works(), "vms": {}, "migrations": []}
        self._make_parts()
        self._reaper = None
        self.is_up = False

    def _make_parts(self):
        self.src = Host(self, "src")
        self.dst = Host(self, "dst")
        self.hosts = (self.src, self.dst)
        self.networks = {"migration": Network(self, "migration", "mig0", 0),
                         "alternate": Network(self, "alternate", "alt0", 1)}
        self.breaker = Breaker(self)

    @classmethod
    def attach(cls, lab_id):
        """A lab that another process brought up."""
        state = ids.load(lab_id)
        if state is None:
            raise LabError(f"there is no lab {lab_id}; `lab status` lists what there is")
        self = cls.__new__(cls)
        self.id, self.dir, self.state = lab_id, ids.state_dir(lab_id), state
        self.hook, self.debug, self._reaper, self.is_up = None, False, None, True
        self.installed = None
        self._make_parts()
        return self

    def save(self):
        ids.save(self.id, self.state)

    def note(self, what, **details):
        """Writes down something done to the lab; returns when (CLOCK_MONOTONIC, seconds)."""
        now = time.monotonic()
        with open(os.path.join(self.dir, "history.jsonl"), "a") as f:
            f.write(json.dumps({"t": now, "what": what, **details}) + "\n")
        return now

    def history(self, what=None):
        try:
            with open(os.path.join(self.dir, "history.jsonl")) as f:
                entries = [json.loads(line) for line in f]
        except FileNotFoundError:
            return []
        return [entry for entry in entries if what in (None, entry["what"])]

    # Up and down

    def up(self):
        began = time.monotonic()
        if os.geteuid() != 0:
            raise LabError("the lab needs root: namespaces, KVM, userfaultfd")
        # Whoever enters a mount namespace again leaves a chroot: libvirtd would be that of outside.
        seen = proc.run(["nsenter", "-t", str(os.getpid()), "-m", "stat", "-c", "%d:%i", "/"]).out.strip()
        here = os.stat("/")
        if seen != f"{here.st_dev}:{here.st_ino}":
            raise LabError("the lab does not work in a chroot; a container or a machine of its own does")
        ids.create(self.id, self.state)
        _mine[self.id] = self
        self._start_reaper()
        try:
            for host in self.hosts:
                host.make_namespaces()
            for network in self.networks.values():
                network.make()
            for host in self.hosts:
                host.configure(self.hook, self.debug)
                host.start_daemons()
            for host in self.hosts:
                host.wait_libvirtd()
                host.share_capabilities()
        except BaseException as problem:
            if not isinstance(problem, SystemExit):  # Ctrl-C needs no explanation
                self.dump(sys.stderr)
            self.down()
            raise
        self.is_up = True
        if self.detached:
            self.let_go()
        self.note("up", seconds=round(time.monotonic() - began, 2))
        return self

    def let_go(self):
        """From now on this lab outlives this process."""
        self.state["owner"] = None
        self.save()
        _mine.pop(self.id)
        self._reaper.stdin.write(b"let go")
        self._stop_reaper()

    def adopt(self):
        """From now on this lab ends with this process, whoever brought it up."""
        self.state["owner"] = ids.me()
        self.save()
        _mine[self.id] = self
        self._start_reaper()
        return self

    def _start_reaper(self):
        """A child that outlives us and takes the lab down when our end of its pipe closes:
        the only thing that helps against SIGKILL."""
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self._reaper = subprocess.Popen(
            [sys.executable, "-m", "pcdlab.reaper", self.id], stdin=subprocess.PIPE, cwd=package,
            start_new_session=True)

    def down(self):
        """Takes down whatever there is of this lab; safe at any time, any number of times."""
        for host in self.hosts:
            host.stop_recorders()
        take_down(self.id)
        self.is_up = False
        _mine.pop(self.id, None)
        self._stop_reaper()

    def _stop_reaper(self):
        if self._reaper:
            self._reaper.stdin.close()
            self._reaper.wait(30)
            self._reaper = None

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()

    def dump(self, out):
        """What a person needs after a failure: the history and the end of every log."""
        print(f"--- lab {self.id}", file=out)
        for entry in self.history():
            print(f"  {entry['t']:.3f} {json.dumps(entry)}", file=out)
        for pattern in ("*/*.out", "*/anchor.log", "*/log/*.log", "*/log/qemu/*.log",
                        "migration-*.out"):
            for path in sorted(glob.glob(os.path.join(self.dir, pattern))):
                with open(path, errors="replace") as f:
                    lines = f.read().splitlines()[-30:]
                print(f"--- {os.path.relpath(path, self.dir)} (last {len(lines)} lines)", file=out)
                for line in lines:
                    print(f"  {line[:400]}", file=out)

    # VMs, migrations, breaking things

    def vm(self, name="g", **options):
        """Defines and starts a VM on src; see VM."""
        return VM(self, name, **options).start()

    def migrate(self, vm, **options):
        """Starts a migration from src to dst and returns at once; see Migration."""
        return Migration(self, vm, **options).start()

    def cut(self, kind, **options):
        """Breaks something; see breaks.KINDS. Returns a Cut with .t and .heal()."""
        return self.breaker.cut(kind, **options)

    def heal(self, kind=None):
        """Heals one kind, or everything."""
        self.breaker.heal(kind)

    def clean(self):
        """Heals everything, ends all domains, postcopyds and recorders: the lab as new."""
        self.heal()
        for host in self.hosts:
            host.stop_recorders()
            host.kill_postcopyd()
            shutil.rmtree(host.inside("/var/lib/postcopyd"), ignore_errors=True)
            os.makedirs(host.inside("/var/lib/postcopyd"), exist_ok=True)
            if host.libvirtd_pid is None:
                host.start_libvirtd()
        for name in list(self.state["vms"]):
            VM.attach(self, name).destroy()


def take_down(lab_id):
    """Takes down a lab by id alone. Kills only what runs in the lab's own network namespaces and
    the processes it recorded."""
    state = ids.load(lab_id) or {"hosts": {}}
    for helper in state.get("helpers", []):
        if proc.is_alive(helper["pid"], helper["started"]):
            proc.kill(helper["pid"])
    for name in ids.HOSTS:
        netns = ids.netns(lab_id, name)
        inodes = {state["hosts"].get(name, {}).get("netns_inode")}
        if os.path.exists(f"/run/netns/{netns}"):
            inodes.add(os.stat(f"/run/netns/{netns}").st_ino)
        inodes.discard(None)
        for inode in inodes:
            _kill_all_in(inode)
        if os.path.exists(f"/run/netns/{netns}"):
            proc.run(["ip", "netns", "del", netns], check=False)
    shutil.rmtree(ids.state_dir(lab_id), ignore_errors=True)


def _kill_all_in(inode):
    """Repeats: a daemon killed may just have forked. A D-state thread (a vCPU whose page will
    never come) does die of SIGKILL, but not at once."""
    own = os.stat("/proc/self/ns/net").st_ino
    if inode == own:
        raise LabError("refusing to kill everything in our own network namespace")
    deadline = time.monotonic() + 20
    killed = set()
    while pids := proc.pids_in_namespace("net", inode):
        for pid in pids:
            proc.kill(pid)
            killed.add(pid)
        if time.monotonic() > deadline:
            raise LabError(f"processes {pids} do not die")
        for pid in pids:
            try:
                os.waitpid(pid, os.WNOHANG)
            except OSError:
                pass
        time.sleep(0.02)
    _remove_freezers(killed)


def _remove_freezers(pids):
    """The cgroups in which postcopyd held vCPUs of these QEMUs: without it nobody removes them."""
    with open("/proc/self/mounts") as mounts:
        tops = [line.split()[1] for line in mounts if line.split()[2] == "cgroup2"]
    for folder in (found for top in tops for pid in pids for found in glob.glob(f"{top}/postcopyd-{pid}-*")):
        try:
            os.rmdir(folder)
        except OSError:  # never a reason to leave the rest of a lab standing
            pass


def take_down_stale():
    """Takes down every lab whose owner is gone; returns their ids."""
    stale = [lab_id for lab_id in ids.known() if ids.is_stale(lab_id)]
    for lab_id in stale:
        take_down(lab_id)
    return stale


def _down_all_mine():
    for lab in list(_mine.values()):
        lab.down()


def take_down_on_signals():
    """Turns the ending signals into SystemExit, so that context managers and atexit run."""
    def end(number, _):
        for other in ENDING:  # a second Ctrl-C must not interrupt the clean-up
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)
    for number in ENDING:
        signal.signal(number, end)


atexit.register(_down_all_mine)
