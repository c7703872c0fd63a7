# SPDX-License-Identifier: LGPL-2.1-or-later
"""One emulated machine: QEMU with TCG, a Debian kernel, systemd, and the agent's port. Knows how to
boot it, run commands in it and end it; not what they are for."""

import base64
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass

from .shell import HarnessError

# No watchdog: a starved machine is not a hung one. A stall that lasts a minute is told all the same, for
# the console's tail is what a lost machine leaves.
CMDLINE = ("console=ttyS0 quiet loglevel=4 panic=5 mitigations=off nokaslr tsc=reliable no_timer_check "
           "nowatchdog rcupdate.rcu_cpu_stall_timeout=60 audit=0 apparmor=0 selinux=0 random.trust_cpu=on "
           "systemd.unified_cgroup_hierarchy=1 systemd.show_status=0 pcd.name={name} pcd.index={index}")
# Before QEMU 8.1 (deba78709ae8, "accel/tcg: Always lock pages before translation") a vCPU thread may
# translate code that another is just writing, and runs the stale translation for ever. Linux patches
# live code through int3 whenever a static key turns, and the first KVM guest turns one in __schedule():
# with thread=multi one machine in three was lost in a handful of probes, spinning in exc_int3. One
# thread for both vCPUs cannot race, and two machines have a core each where there are two cores.
ACCELERATOR = "tcg,thread=single,tb-size=512"
QUIET_SECONDS = 1.1  # inside/slowness.py in a machine of a quiet, usual host
MEMORY = 1536
PR_SET_PDEATHSIG = 1


class MachineLost(HarnessError):
    """The machine does not answer any more; another boot may."""


@dataclass
class Done:
    """What a command in a machine did; rc is None if it was still running at its deadline. `ended` is
    of the machine's own CLOCK_MONOTONIC."""

    rc: int
    out: str
    err: str
    seconds: float
    ended: float


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """`slower` scales every deadline: how many times slower it is than on a usual host."""

    running = set()  # to end them all when the time of the run is up

    def __init__(self, name, index, kernel, root, payload, work):
        self.name, self.index = name, index
        self.kernel, self.root, self.payload, self.work = kernel, root, payload, work
        self.process = self.port = None
        self.boot_seconds = None
        self.slower = 1.0
        self._gone = False
        self._number = 0
        self._answers = {}
        self._lock = threading.Condition()

    def _path(self, suffix):
        return os.path.join(self.work, f"{self.name}.{suffix}")

    def _disk(self, path):
        return ["-drive", f"file={path},if=virtio,format=raw,readonly=on,file.locking=off"]

    def start(self):
        other = os.path.join(self.work, f"h{3 - self.index}.net")
        for suffix in ("net", "port", "qmp"):
            if os.path.exists(self._path(suffix)):
                os.unlink(self._path(suffix))
        argv = ["qemu-system-x86_64", "-machine", "pc", "-accel", ACCELERATOR,
                "-cpu", "EPYC", "-smp", "2", "-m", str(MEMORY), "-nodefaults", "-display", "none",
                "-no-reboot", "-name", f"pcd-kernel-{self.name}",
                "-kernel", self.kernel.image, "-initrd", self.kernel.initrd,
                "-append", CMDLINE.format(name=self.name, index=self.index),
                "-serial", f"file:{self._path('console')}",
                *self._disk(self.root), *self._disk(self.kernel.modules), *self._disk(self.payload),
                "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=ctl,path={self._path('port')},server=on,wait=off",
                "-device", "virtserialport,chardev=ctl,name=ctl",
                "-netdev", f"dgram,id=n0,local.type=unix,local.path={self._path('net')},"
                f"remote.type=unix,remote.path={other}",
                "-device", f"virtio-net-pci,netdev=n0,id=nic0,mac=52:54:00:09:00:0{self.index}",
                "-qmp", f"unix:{self._path('qmp')},server=on,wait=off"]
        self.began = time.monotonic()
        with open(self._path("qemu.log"), "w") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=_die_with_parent, cwd=self.work)
        self.running.add(self)

    def wait_up(self, timeout):
        """Until libvirt answers."""
        deadline = self.began + timeout
        self.port = self._connect(self._path("port"), deadline)
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise MachineLost(f"{self.name}: not up within {timeout:.0f} s{self._last_words()}")
            try:
                done = self.run("virsh", "-c", "qemu:///system", "version", timeout=min(60, left),
                                check=False, grace=min(10, left))
            except MachineLost:
                if self.process.poll() is not None:
                    raise
                continue
            if done.rc == 0:
                self.boot_seconds = time.monotonic() - self.began
                return
            time.sleep(1)

    def _connect(self, path, deadline):
        while time.monotonic() < deadline and self.process.poll() is None:
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(path)
                return s
            except OSError:
                s.close()
                time.sleep(0.1)
        with open(self._path("qemu.log")) as f:
            raise HarnessError(f"{self.name}: QEMU did not start: {f.read().strip()}")

    def _listen(self):
        buffer = b""
        while True:
            try:
                data = self.port.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                with self._lock:
                    self._gone = True
                    self._lock.notify_all()
                return
            buffer += data
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                try:
                    answer = json.loads(line)
                except ValueError:
                    continue  # what the kernel's tty layer echoed before the agent was there
                with self._lock:
                    self._answers[answer.pop("id", None)] = answer
                    self._lock.notify_all()

    def _ask(self, request, timeout):
        with self._lock:
            self._number += 1
            number = self._number
        what = " ".join(request.get("argv", ["put"]))
        try:
            self.port.sendall(json.dumps({"id": number, **request}).encode() + b"\n")
        except OSError as problem:
            raise MachineLost(f"{self.name}: {what}: {problem}{self._last_words()}") from None
        with self._lock:
            self._lock.wait_for(lambda: number in self._answers or self._gone, timeout)
            if number in self._answers:
                return Done(**self._answers.pop(number))
        raise MachineLost(f"{self.name}: " + ("its QEMU has ended" if self._gone else "no answer from "
                          f"the machine within {timeout:.0f} s") + f" to {what}{self._last_words()}")

    def measure(self):
        """Seconds that inside/slowness.py takes there; deadlines go by it from now on."""
        seconds = float(self.run("/usr/bin/python3", "/payload/inside/slowness.py", timeout=300).out)
        self.slower = min(max(self.slower, seconds / QUIET_SECONDS), 6.0)
        return seconds

    def run(self, *argv, timeout=60, check=True, grace=60):
        """Runs a command there. With check, HarnessError unless it exits with 0."""
        timeout *= self.slower
        done = self._ask({"argv": list(argv), "timeout": timeout}, timeout + grace * self.slower)
        if check and done.rc != 0:
            raise HarnessError(f"{self.name}: {' '.join(argv)}: "
                               f"{'no end' if done.rc is None else f'exit {done.rc}'} after "
                               f"{done.seconds:.1f} s: {(done.err or done.out).strip()[-1500:]}")
        return done

    def sh(self, script, **options):
        return self.run("/bin/bash", "-c", script, **options)

    def put(self, path, data, mode=0o644):
        self._ask({"put": path, "mode": mode, "data": base64.b64encode(data).decode()},
                  60 * self.slower)

    def monitor(self, command, **arguments):
        """A command to the machine's own QEMU."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            try:
                s.connect(self._path("qmp"))
            except OSError as problem:
                raise MachineLost(f"{self.name}: {command}: {problem}; console:\n"
                                  f"{self.console_tail()}") from None
            lines = s.makefile("rw")
            for request in ({"execute": "qmp_capabilities"},
                            {"execute": command, "arguments": arguments}):
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                while True:
                    answer = json.loads(lines.readline())
                    if "error" in answer:
                        raise HarnessError(f"{self.name}: {command}: {answer['error']['desc']}")
                    if "return" in answer:
                        break
            return answer["return"]

    def _last_words(self):
        """What is left of a machine that is lost: where its vCPUs are, and its console's tail."""
        try:
            places = [re.search(r"RIP=\w+", self.monitor("human-monitor-command", **{
                "command-line": "info registers", "cpu-index": cpu}))[0] for cpu in (0, 1)]
        except (HarnessError, OSError, ValueError, TypeError):
            places = ["no answer from its QEMU either"]
        return f"; {', '.join(places)}; console:\n{self.console_tail()}"

    def console_tail(self, lines=25):
        try:
            with open(self._path("console"), errors="replace") as f:
                return "\n".join(f.read().splitlines()[-lines:])
        except FileNotFoundError:
            return "no console"

    def end(self):
        self.running.discard(self)
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.port:
            self.port.close()
            self.port = None
