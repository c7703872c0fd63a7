# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two machines of one kernel, joined by a network that can be cut, with libvirt on both. Starts
domains and migrations there; must not judge what comes of them."""

import base64
import json
import os
from concurrent.futures import ThreadPoolExecutor

from . import cache, shell
from .machine import Machine, MachineLost

BOOT_TIMEOUT = 240
GUEST_MIB = 64
XML = """\
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <loader type='rom'>/usr/share/qemu/qboot.rom</loader>
    <kernel>/payload/toucher.elf</kernel>
    <cmdline>mib={mib} vcpus={vcpus} rest={rest}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model>
    <feature name='svm' policy='disable'/></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type='file'><source path='/var/lib/libvirt/qemu/{name}.serial'/><target port='0'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    {devices}
  </devices>
  <qemu:commandline>
    <qemu:arg value='-chardev'/>
    <qemu:arg value='socket,id=raw,path=/var/lib/libvirt/qemu/{name}.raw,server=on,wait=off'/>
    <qemu:arg value='-mon'/>
    <qemu:arg value='chardev=raw,mode=control'/>
  </qemu:commandline>
</domain>
"""


class Pair:
    def __init__(self, kernel, root, root_key, make_payload, work):
        """`make_payload(capabilities)` makes the payload's image."""
        self.kernel = kernel
        self.capabilities = os.path.join(cache.DIRECTORY, "capabilities",
                                         f"{root_key}-{kernel.release}")
        payload = make_payload(self.capabilities)
        self.src = Machine("h1", 1, kernel, root, payload, work)
        self.dst = Machine("h2", 2, kernel, root, payload, work)
        self.machines = (self.src, self.dst)

    def both(self, function):
        """function(machine) on both at once; the results in their order."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(function, self.machines))

    def wait_for(self, condition, timeout, what, interval=0.5):
        """shell.wait_for() with a machine's patience."""
        return shell.wait_for(condition, timeout * max(m.slower for m in self.machines), what, interval)

    def boot(self):
        for machine in self.machines:
            machine.start()
        self.both(lambda m: m.wait_up(BOOT_TIMEOUT))
        self.both(lambda m: m.measure())  # both at once: what each gets while the other works too

    def end(self):
        for machine in self.machines:
            machine.end()

    def keep_capabilities(self):
        """For the next boot: what libvirt of this kernel has found out about QEMU."""
        if os.path.isdir(self.capabilities):
            return
        folder = "/var/cache/libvirt/qemu/capabilities"
        done = self.dst.sh(f"cd {folder} && for f in *.xml; do echo $f; base64 -w0 $f; echo; done")
        lines = done.out.split()
        unfinished = self.capabilities + ".new"
        os.makedirs(unfinished, exist_ok=True)
        for name, data in zip(lines[::2], lines[1::2]):
            with open(os.path.join(unfinished, os.path.basename(name)), "wb") as f:
                f.write(base64.b64decode(data))
        os.rename(unfinished, self.capabilities)

    # the network

    def cut(self):
        """Nothing passes from now on; dst keeps its carrier. Returns src's and dst's time of it."""
        self.src.monitor("set_link", name="n0", up=False)
        return self.now()

    def heal(self):
        self.src.monitor("set_link", name="n0", up=True)

    def now(self):
        """CLOCK_MONOTONIC of (src, dst)."""
        return tuple(self.both(lambda m: m.run("true").ended))

    # domains

    def start_domain(self, name, mib=GUEST_MIB, vcpus=1, rest=2000, devices="", policy=None):
        xml = XML.format(name=name, memory=mib + 32, mib=mib, vcpus=vcpus, rest=rest, devices=devices)
        self.src.put(f"/run/{name}.xml", xml.encode())
        self.src.run("virsh", "create", f"/run/{name}.xml", timeout=120)
        if policy:
            self.src.run("virsh", "metadata", name, "--uri", "https://postcopyd.org/policy/1", "--key",
                         "postcopyd", "--live", "--set", f"<policy name='{policy}'/>")
        self.wait_for(lambda: "toucher: ready" in self.serial(self.src, name), 60, f"boot of guest {name}")

    def serial(self, machine, name):
        return machine.sh(f"cat /var/lib/libvirt/qemu/{name}.serial", check=False).out

    def pid(self, machine, name):
        """Of the domain's QEMU, or None."""
        out = machine.sh(f"p=$(cat /run/libvirt/qemu/{name}.pid) && grep -q '^State:.[^ZX]' "
                         "/proc/$p/status && echo $p", check=False).out.strip()
        return int(out) if out else None

    def status(self, name):
        """The source QEMU's migration status, or None."""
        done = self.src.run("virsh", "qemu-monitor-command", name, '{"execute":"query-migrate"}',
                            check=False, timeout=40)
        return json.loads(done.out)["return"].get("status") if done.rc == 0 else None

    def to_postcopy(self, *names):
        """Migrates them and returns when the guests run on dst with nearly all of their memory missing.
        They switch over together: what is in post-copy already fetches its memory meanwhile."""
        for name in names:
            self.src.sh(f"setsid virsh migrate --live --postcopy --p2p --bandwidth 1 "
                        f"--postcopy-bandwidth 1 {name} qemu+tcp://10.9.0.2/system tcp://10.9.0.2 "
                        f"> /run/{name}.migrate 2>&1 &")
        for name in names:
            self.wait_for(lambda: self.status(name) == "active", 180, lambda: f"migration of {name}: "
                     + self.src.sh(f"cat /run/{name}.migrate").out, 0.2)
        for name in names:
            self.src.run("virsh", "migrate-postcopy", name)
        for name in names:
            self.wait_for(lambda: self.dst.run("virsh", "domstate", "--reason", name, check=False)
                     .out.strip() == "running (post-copy)", 60,
                     lambda: f"postcopy of {name}, source: {self.status(name)}", 0.2)

    def wait_blocked(self, name, timeout=60):
        """Until vCPU 0 of the destination waits for a page."""
        def blocked():
            pid = self.pid(self.dst, name)
            out = self.dst.sh(f"for t in /proc/{pid}/task/*; do grep -q '^CPU 0/' $t/comm && "
                              "cat $t/stack; done", check=False).out
            return "handle_userfault" in out
        self.wait_for(blocked, timeout, f"vCPU of {name} that waits for a page")

    def verify(self, name, mib=GUEST_MIB, vcpus=1):
        """Checks every page of the guest on dst; the text says what was seen."""
        return self.dst.run("/usr/bin/python3", "/payload/inside/check-memory.py", name, str(mib),
                            str(vcpus), timeout=120).out.strip()

    def is_completed(self, name):
        return self.pid(self.src, name) is None and \
            self.dst.run("virsh", "domstate", name, check=False).out.startswith(("running", "paused"))

    def destroy(self, name):
        """Kills it on both sides, whatever its state."""
        def kill(machine):
            pid = self.pid(machine, name)
            if pid:
                machine.sh(f"kill -CONT {pid}; kill -KILL {pid}", check=False)
            self.wait_for(lambda: self.pid(machine, name) is None, 30, f"end of {name} on {machine.name}")
            self.wait_for(lambda: machine.run("virsh", "domstate", name, check=False, timeout=40).rc != 0 or
                     machine.run("virsh", "destroy", name, check=False, timeout=40).rc == 0,
                     90, f"end of domain {name} on {machine.name}")
        self.both(kill)


def booted(make_pair, say, attempts=3):
    """A pair that is up. Emulated SVM is not above suspicion: a boot that locks up is done again, and
    the output says so."""
    for attempt in range(1, attempts + 1):
        pair = make_pair()
        try:
            pair.boot()
            return pair
        except MachineLost as problem:
            pair.end()
            say(f"# boot {attempt} of {attempts} was lost: {problem}".replace("\n", "\n#   "))
            if attempt == attempts:
                raise
        except BaseException:
            pair.end()
            raise
