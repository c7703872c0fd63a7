# SPDX-License-Identifier: LGPL-2.1-or-later
"""One domain: its XML, its start, its serial log. Knows nothing of migrations."""

import os
import re
import signal
from xml.sax.saxutils import escape

from . import disks
from . import guest as guests
from .guest import kvm_boots_linux
from .proc import LabError
from .qmp import QMP
from .wait import wait_for

XML = """\
<domain type='{type}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>{backing}
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>{loader}
    <kernel>{kernel}</kernel>{initrd}
    <cmdline>{cmdline}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  {cpu}
  <on_crash>preserve</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type='file'>
      <source path='/var/lib/libvirt/serial/{name}.log'/><target port='0'/>
    </serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    {devices}
  </devices>{commandline}
</domain>
"""

# QEMU's smallest firmware. Under kvm_pvm SeaBIOS takes 3 to 6 s to reach the kernel, this 0.2 s.
QBOOT = "/usr/share/qemu/qboot.rom"

MONITOR = """
  <qemu:commandline>
    <qemu:arg value='-chardev'/>
    <qemu:arg value='socket,id=labmon,path={path},server=on,wait=off'/>
    <qemu:arg value='-mon'/>
    <qemu:arg value='chardev=labmon,mode=control'/>
  </qemu:commandline>"""

MEMFD = """
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"""

# The same on both hosts and on every machine; nested SVM would only be in the way.
KVM_CPU = ("<cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model>"
           "<feature name='svm' policy='disable'/></cpu>")


class VM:
    """A domain that starts on src.

    name     the domain's name, unique in the lab
    guest    "toucher" (writes `mib` MiB of memory, round after round) or "linux"
    vcpus    1 to 16; each owns a slice of the toucher's memory
    rest     how many PAUSEs the toucher makes after each page: slows it down
    memory   MiB; by default what the guest needs
    devices  more device XML (decoys: VNC, serial over TCP …)
    tcg      this VM does not use KVM even where it works
    memfd    the memory is a shared memfd, not anonymous
    disks    raw disk images that both hosts see; the toucher writes numbers to them, and no more
             memory than its first round: see disks.py
    dma      it reads the first of them into its memory by DMA instead
    monitor  gives QEMU a QMP socket of the tests' own, on both hosts; see qmp()
    """

    def __init__(self, lab, name="g", guest="toucher", vcpus=1, mib=64, rest=0, memory=None,
                 devices="", tcg=False, monitor=False, memfd=False, disks=(),
                 dma=False):
        self.lab = lab
        self.name = name
        self.guest = guest
        self.vcpus = vcpus
        self.mib = mib
        self.rest = rest
        self.memory = memory or (256 if guest == "linux" else mib + 32)
        self.devices = devices
        self.monitor = monitor
        self.memfd = memfd
        self.disks = list(disks)
        self.dma = dma
        self.kvm = lab.state["kvm"] and not tcg and (guest != "linux" or kvm_boots_linux())
        if guest == "toucher" and self.memory < mib + 18:
            raise LabError(f"{name}: {mib} MiB to touch do not fit into {self.memory} MiB")

    @classmethod
    def attach(cls, lab, name):
        """A VM of a lab that another process started."""
        try:
            return cls(lab, name, **lab.state["vms"][name])
        except KeyError:
            raise LabError(f"lab {lab.id} has no VM {name!r}; it has "
                           f"{', '.join(lab.state['vms']) or 'none'}") from None

    def xml(self):
        if self.guest == "linux":
            kernel, initrd, _ = guests.linux()
            cmdline = "console=ttyS0 quiet panic=-1"
            initrd = f"\n    <initrd>{initrd}</initrd>"
        else:
            kernel, initrd = guests.toucher(self.lab.dir), ""
            cmdline = f"mib={self.mib} vcpus={self.vcpus} rest={self.rest}"
            if self.disks:
                cmdline += f" disks={len(self.disks)} sectors={disks.sectors(self.disks[0])}" \
                           f" dma={int(self.dma)}"
        small = self.guest == "toucher" and os.path.exists(QBOOT)
        return XML.format(
            loader=f"\n    <loader type='rom'>{QBOOT}</loader>" if small else "",
            type="kvm" if self.kvm else "qemu", name=self.name, memory=self.memory,
            vcpus=self.vcpus, backing=MEMFD if self.memfd else "", kernel=kernel, initrd=initrd, cmdline=escape(cmdline),
            cpu=KVM_CPU if self.kvm else "", devices=self.devices + disks.xml(self.disks),
            commandline=MONITOR.format(path=self.monitor_path) if self.monitor else "")

    def start(self, timeout=60):
        """Starts it on src and waits until the guest says that it is ready."""
        src = self.lab.src
        for host in self.lab.hosts:  # QEMU truncates it, but only when it opens it
            if os.path.exists(host.inside(self.serial_path)):
                os.unlink(host.inside(self.serial_path))
        self.lab.state["vms"][self.name] = {
            "guest": self.guest, "vcpus": self.vcpus, "mib": self.mib, "rest": self.rest,
            "memory": self.memory, "devices": self.devices, "tcg": not self.kvm,
            "monitor": self.monitor, "memfd": self.memfd, "disks": self.disks,
            "dma": self.dma}
        self.lab.save()
        path = os.path.join(self.lab.dir, f"{self.name}.xml")
        with open(path, "w") as f:
            f.write(self.xml())
        src.virsh("create", path, timeout=timeout)
        self.lab.note("vm-start", name=self.name, accelerator="kvm" if self.kvm else "tcg")
        wait_for(lambda: f"{self.guest}: ready" in self.serial("src"), timeout,
                 f"'{self.guest}: ready' on the serial port of {self.name}")
        return self

    @property
    def monitor_path(self):
        return f"/run/{self.name}-lab.qmp"

    def qmp(self, host="dst", **options):
        """Connects to the tests' own monitor there (monitor=True): works where libvirt's commands
        would wait 30 s, as on a destination in postcopy."""
        return QMP(getattr(self.lab, host).inside(self.monitor_path), **options)

    @property
    def serial_path(self):
        return f"/var/lib/libvirt/serial/{self.name}.log"

    def serial(self, host="src"):
        """What the guest has written to its serial port on that host."""
        try:
            with open(getattr(self.lab, host).inside(self.serial_path), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def ticks(self, host="src"):
        """How often the guest has ticked on that host: shows that it runs."""
        text = self.serial(host)
        if self.guest == "linux":
            return len(re.findall(r"^tick \d+", text, re.M))
        return text.count(".")

    def destroy(self):
        """Ends it on both hosts, whatever its state. The processes are killed first: libvirt's
        destroy gives a QEMU that waits for pages 10 s to end by itself, in vain."""
        for host in self.lab.hosts:
            pid = host.qemu_pid(self.name)
            if pid is not None:
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
        for host in self.lab.hosts:
            def gone():
                if host.qemu_pid(self.name) is None and host.domstate(self.name) is None:
                    return True
                host.virsh("destroy", self.name, check=False, timeout=20)
                return False
            # libvirt may still be busy with the migration's end when QEMU has gone
            wait_for(gone, 40, f"end of {self.name} on {host.name}", 0.2)
        self.lab.state["vms"].pop(self.name, None)
        self.lab.save()
