#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""device-faults.py FOLDER PREFIX KVM [KIND...]: lets the devices of a QEMU run into missing pages and
records the threads that wait there, as fixtures of tests/unit/test-thread-class. A real post-copy between
two QEMUs on this machine, whose source is stopped; whether the thread can be traced and whether QMP `stop`
gets past it is tried. Beside it: dma-guest.elf, record.py, fault-guest. Needs root and KVM. SLOWER in the
environment scales every limit."""

import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SLOWER = float(os.environ.get("SLOWER", 1))
LATE = 20 * SLOWER  # seconds after which `stop` is taken to hang
MIB = 48
# Of the machine, with blocks of 512 bytes as the guest reads them. Its file systems are in memory, where
# O_DIRECT fails (6.1), or QEMU reads into a buffer of its own and copies (6.12: 6.12-amd-bounce.txt).
BLOCK_DEVICE = "/dev/vda"
USER, COPY = "userspace-fault", "kernel-side-copy"
# KIND: (devices, the guest's command line, start of the thread's name, path, what happens)
DISK = "-drive if=none,id=d,format=raw,file={disk},file.locking=off,readonly={readonly},cache={cache} " \
       "-device virtio-blk-pci,drive=d,disable-modern=on"
KINDS = {
    "main": (DISK, "", "qemu-system", USER,
             "virtio-blk without iothread: the main thread reads a request from a missing page"),
    "iothread": ("-object iothread,id=io0 " + DISK + ",iothread=io0", "", "IO io0", USER,
                 "virtio-blk: its iothread reads a request from a missing page"),
    "vcpu": (DISK + ",ioeventfd=off", "", "CPU 0", USER,
             "virtio-blk without ioeventfd: the vCPU's thread, outside KVM_RUN and holding QEMU's big "
             "lock, reads a request from a missing page"),
    "read": (DISK, "data=1", "worker", COPY,
             "virtio-blk: a worker thread reads from the page cache into a missing page"),
    "direct": (DISK, "data=1", "worker", COPY,
               "virtio-blk, cache=none: a worker thread reads a disk directly into a missing page"),
    "vhost": ("-netdev tap,id=n,ifname={tap},script=no,downscript=no,vhost=on "
              "-device virtio-net-pci,netdev=n,disable-modern=on", "net=1 data=1", "vhost-", COPY,
              "vhost-net: its worker sends a frame from a missing page"),
}


class Qemu:
    def __init__(self, work, name, arguments):
        self.monitor_path, self.serial = f"{work}/{name}.qmp", f"{work}/{name}.serial"
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-machine", "pc,accel=kvm", "-cpu", "qemu64,-svm", "-m", str(MIB + 16),
             "-bios", "qboot.rom", "-nodefaults", "-display", "none", "-name", name + ",debug-threads=on", *arguments,
             "-serial", f"file:{self.serial}", "-qmp", f"unix:{self.monitor_path},server=on,wait=off"])
        self.monitor = socket.socket(socket.AF_UNIX)
        wait(lambda: not self.monitor.connect_ex(self.monitor_path), 120, f"monitor of {name}")
        self.lines = self.monitor.makefile("rw")
        self.monitor.settimeout(120 * SLOWER)
        self.lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                sys.exit(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def migrate_with(self):
        self.ask("migrate-set-capabilities", capabilities=[{"capability": "postcopy-ram", "state": True}])

    def ticks(self):
        with open(self.serial) as f:
            return f.read().count(".")

    def end(self):
        self.process.kill()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass  # in the kernel, waiting for a page that will not come: ends with the machine


def wait(condition, seconds, what):
    seconds *= SLOWER
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            sys.exit(f"no {what} within {seconds:.0f} s")
        time.sleep(0.02)
    return value


def waiting(pid, name):
    """(process, thread) that waits for a page. Before Linux 6.4 a vhost worker is a thread of the kernel,
    named after its owner: a process of its own."""
    tasks = glob.glob(f"/proc/{pid}/task/*")
    if name == "vhost-":
        tasks += glob.glob("/proc/[0-9]*/task/*")
    for task in tasks:
        try:
            with open(task + "/comm") as comm, open(task + "/stack") as stack:
                called, frames = comm.read(), stack.read()
        except OSError:
            continue
        if called.startswith(name) and "handle_userfault" in frames and \
                (name != "vhost-" or called.strip() == f"vhost-{pid}"):
            return re.match(r"/proc/(\d+)/task/(\d+)", task).groups()
    return None


def stop_gets_past(qemu):
    qemu.monitor.settimeout(LATE)
    try:
        qemu.ask("stop")
        return True
    except (TimeoutError, OSError):
        return False


def record(kind, folder, prefix, kvm, work):
    devices, line, name, path, situation = KINDS[kind]
    direct = kind == "direct"
    disk, taps = os.path.join(work, "disk"), [f"pcdk{os.getpid() % 100000}{x}" for x in "sd"]
    with open(disk, "wb") as f:
        f.write(bytes(1 << 20))
    if direct and os.path.exists(BLOCK_DEVICE):
        disk = BLOCK_DEVICE
    for tap in taps if "{tap}" in devices else []:
        subprocess.run(["ip", "tuntap", "add", tap, "mode", "tap"], check=True)
        subprocess.run(["ip", "link", "set", tap, "up"], check=True)
    qemus = []
    try:
        for side, tap in zip(("source", "destination"), taps):
            more = devices.format(disk=disk, tap=tap, readonly="on" if direct else "off",
                                  cache="none" if direct else "writeback")
            qemus.append(Qemu(work, side, ["-kernel", f"{HERE}/dma-guest.elf", "-append",
                                           f"mib={MIB} {line}", *more.split()] +
                              (["-incoming", "defer"] if side == "destination" else [])))
        source, destination = qemus
        wait(lambda: source.ticks() > 2, 240, "tick of the guest")
        for qemu in qemus:
            qemu.migrate_with()
        source.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 20, "max-postcopy-bandwidth": 1 << 20})
        destination.ask("migrate-incoming", uri=f"unix:{work}/migration")
        source.ask("migrate", uri=f"unix:{work}/migration")
        wait(lambda: source.ask("query-migrate").get("status") == "active", 120, "migration")
        source.ask("migrate-start-postcopy")
        wait(lambda: destination.ticks() > 2, 240, "tick on the destination")
        source.process.send_signal(19)
        pid, thread = wait(lambda: waiting(destination.process.pid, name), 120, f"{name} that waits")
        time.sleep(0.3)
        into = os.path.join(work, "recorded")
        os.makedirs(into)
        with open(f"/proc/{pid}/task/{thread}/comm") as f:
            comm = f.read().strip()
        version = subprocess.run(["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE,
                                 text=True).stdout
        subprocess.run([sys.executable, f"{HERE}/record.py", pid, into, prefix, "--thread", thread,
                        "--samples", "2", "--kvm", kvm, "--situation", situation, "--qemu",
                        re.search(r"version (\S+)", version)[1] + " accel=kvm"], check=True)
        traceable = subprocess.run([f"{HERE}/fault-guest", "trace", thread], stdout=subprocess.PIPE,
                                   text=True, check=True, timeout=60 * SLOWER).stdout.strip()
        kickable = "yes" if stop_gets_past(destination) else "no"
        expect = f"blocked=yes path={path} kickable={kickable} {traceable} spinning=no " \
                 f"vcpu={0 if kind == 'vcpu' else -1}"
        with open(glob.glob(f"{into}/*")[0]) as f:
            text = f.read()
        with open(f"{folder}/{prefix}-{kind}.txt", "w") as f:
            f.write(text.replace("# expect: ?\n", f"# expect: {expect}\n"))
        print(f"{kind}: {comm}: {expect}", flush=True)
    finally:
        for qemu in qemus:
            qemu.end()
        for tap in taps if "{tap}" in devices else []:
            subprocess.run(["ip", "link", "del", tap], check=False)


def main():
    folder, prefix, kvm, *kinds = sys.argv[1:]
    failed = 0
    for kind in kinds or KINDS:
        # A stuck QEMU may outlive its kill while it waits in the kernel: each has its own folder.
        work = tempfile.mkdtemp(prefix="device-faults-")
        try:
            record(kind, folder, prefix, kvm, work)
        except (SystemExit, Exception) as problem:
            failed += 1
            print(f"{kind}: {type(problem).__name__}: {problem}", flush=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return 1 if failed else 0


sys.exit(main())
