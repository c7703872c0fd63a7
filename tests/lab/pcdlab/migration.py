# SPDX-License-Identifier: LGPL-2.1-or-later
"""One migration from src to dst by virsh, and its recovery. Knows how to start it and how to tell
by ground truth where it is; must not break anything."""

import os
import subprocess
import time

from . import proc
from .proc import LabError
from .wait import wait_for


class Migration:
    """A handle; the migration itself is a virsh process.

    p2p                 libvirtd to libvirtd, else managed by virsh
    bandwidth           MiB/s in precopy; low enough that a busy guest does not converge
    postcopy_bandwidth  MiB/s in postcopy; memory / this is about how long there is to break it
    network             "migration" or "alternate", of both libvirt's connection and the stream
    transport           of libvirt's connection; see tls.use_tls() for "tls"
    tls                 the stream is encrypted, too
    unsafe              disks are in files that both hosts see, by one kernel's cache
    """

    def __init__(self, lab, vm, p2p=True, bandwidth=20, postcopy_bandwidth=2, network="migration",
                 transport="tcp", tls=False, unsafe=False):
        self.lab = lab
        self.vm = vm
        self.name = vm.name
        self.p2p = p2p
        self.bandwidth = bandwidth
        self.postcopy_bandwidth = postcopy_bandwidth
        self.network = network
        self.transport = transport
        self.tls = tls
        self.unsafe = unsafe
        self.virsh = None
        self.t_start = self.t_postcopy = self.t_resume = None

    def _command(self, network, *options):
        address = self.lab.dst.addresses[network]
        return ["virsh", "-c", "qemu:///system", "migrate", "--live", "--postcopy",
                *(["--p2p"] if self.p2p else []),
                *(["--tls"] if self.tls else []),
                *(["--unsafe"] if self.unsafe else []), *options,
                "--postcopy-bandwidth", str(self.postcopy_bandwidth), self.name,
                f"qemu+{self.transport}://{address}/system", f"tcp://{address}"]

    def _spawn(self, argv):
        number = len(self.lab.state["migrations"])
        self.output_path = os.path.join(self.lab.dir, f"migration-{number}.out")
        with open(self.output_path, "w") as out:
            self.virsh = self.lab.src.popen(argv, stdout=out, stderr=out)
        self.lab.state["migrations"].append({"name": self.name, "p2p": self.p2p})
        self.lab.save()

    def start(self):
        self._spawn(self._command(self.network, "--bandwidth", str(self.bandwidth)))
        self.t_start = self.lab.note("migrate", name=self.name, p2p=self.p2p)
        return self

    @property
    def output(self):
        with open(self.output_path, errors="replace") as f:
            return f.read()

    def wait(self, timeout):
        """virsh's exit status. Mind: its 0 or 1 is libvirt's opinion, not the migration's state."""
        try:
            return self.virsh.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"virsh migrate {self.name} still runs after {timeout:g} s") from None

    def status(self):
        """The source QEMU's own word; None once it has ended or libvirt cannot say."""
        try:
            return self.lab.src.migration_status(self.name)
        except LabError:
            return None

    def _fail_if_ended(self):
        if self.virsh.poll() is not None:
            raise LabError(f"migration of {self.name} ended early: exit {self.virsh.returncode}: "
                           f"{self.output.strip()}")

    def to_postcopy(self, after=0.0, timeout=30):
        """Switches over `after` seconds into precopy. Returns when the guest runs on dst: anything
        done to the migration before that is not a postcopy failure (and may lose the guest)."""
        def running():
            self._fail_if_ended()
            return self.status() == "active"
        wait_for(running, timeout, f"active migration of {self.name}")
        time.sleep(after)
        self.lab.src.virsh("migrate-postcopy", self.name)

        def switched():
            self._fail_if_ended()
            return self.status() == "postcopy-active" and \
                self.lab.dst.domstate(self.name) == ("running", "post-copy")
        wait_for(switched, timeout, f"postcopy of {self.name}", 0.02)
        self.t_postcopy = self.lab.note("postcopy", name=self.name)
        return self

    def wait_paused(self, timeout):
        """Until the source QEMU says `postcopy-paused`; returns when (CLOCK_MONOTONIC)."""
        wait_for(lambda: self.status() == "postcopy-paused", timeout,
                 lambda: f"postcopy-paused of {self.name} (now: {self.status()})", 0.02)
        return time.monotonic()

    def resume(self, network=None, postcopy_bandwidth=1000):
        """Starts a recovery and returns at once; wait_completed() tells how it went.

        The limit of the first attempt would hold again; by default the rest goes at full speed.
        """
        self.postcopy_bandwidth = postcopy_bandwidth
        if self.virsh and self.virsh.poll() is None:
            self.wait(60)  # libvirt refuses while the first job's owner is there
        self._spawn(self._command(network or self.network, "--postcopy-resume"))
        self.t_resume = self.lab.note("resume", name=self.name, network=network or self.network)
        return self

    def is_completed(self):
        """libvirt ends the source's QEMU when, and only when, all memory has arrived."""
        return self.lab.src.qemu_pid(self.name) is None and \
            (self.lab.dst.domstate(self.name) or ("",))[0] == "running"

    def wait_completed(self, timeout):
        """virsh's exit status is not asked: libvirt 9.0 to 10.10 may report a failure of a
        recovery that goes on and completes."""
        wait_for(self.is_completed, timeout, self._how_it_stands, 0.1)
        self.lab.note("completed", name=self.name)
        return self

    def _how_it_stands(self):
        src, dst = (host.domstate(self.name) for host in self.lab.hosts)
        return (f"completion of {self.name} (src: {self.status()}, {src}; dst: {dst}; "
                f"virsh: {self.virsh.poll()} {self.output.strip()})")

    def stop_virsh(self):
        if self.virsh and self.virsh.poll() is None:
            proc.kill_group(self.virsh.pid)
            self.virsh.wait()
