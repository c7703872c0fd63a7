# SPDX-License-Identifier: LGPL-2.1-or-later
"""postcopyd with no more privilege than its unit leaves it (tools/as-unit), and with less.

The two QEMUs run as libvirt-qemu, as a distribution's do: root's QEMUs would be root's to look at."""

import contextlib
import json
import os
import re
import time

from pcdlab import verify_memory
from pcdlab.bundle import merge, only_bundle, verify_core
from pcdlab.case import case
from pcdlab.host import BUS, Host
from pcdlab.proc import LabError
from pcdlab.vm import VM
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched

try:
    HOOKED = {"hook": Host.build_path("postcopyd-hook")}
except LabError:  # no build: the cases can be listed all the same
    HOOKED = {}

AS_UNIT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../tools/as-unit"))
CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
[policy]
default = protect
[host]
allow-destroy = yes
"""
# The machine's /dev/kvm may be root's alone, and is not ours to change.
OWN_KVM = """set -e
mount -t tmpfs -o mode=755 tmpfs /mnt
mknod -m 666 /mnt/kvm c 10 232
mount --bind /mnt/kvm /dev/kvm
umount -l /mnt
"""
# CAP_SYS_PTRACE stands in for vm.unprivileged_userfaultfd, which is the whole machine's: QEMU 7.2 has
# no other way to a userfaultfd.
EMULATOR = "/etc/libvirt/qemu-of-another"
WRAPPER = """#!/bin/sh
case "$*" in
  *masterKey0*) chown -R libvirt-qemu /var/lib/libvirt/qemu/domain-* ;;
  *) exec /usr/bin/qemu-system-x86_64 "$@" ;; # libvirt looks what QEMU can do
esac
exec setpriv --reuid=libvirt-qemu --regid=libvirt-qemu --clear-groups --inh-caps=+sys_ptrace \
  --ambient-caps=+sys_ptrace /usr/bin/qemu-system-x86_64 "$@"
"""


class OthersVM(VM):
    """A domain whose QEMU is another user's."""

    def xml(self):
        return super().xml().replace("/usr/bin/qemu-system-x86_64", EMULATOR)


def confine(host, *without):
    unit = os.path.join(os.environ["PCD_BUILD"], "units", "postcopyd.service")
    host.confinement = [AS_UNIT, *(f"--without={name}" for name in without), unit]


def prepare(lab):
    for host in lab.hosts:
        host.write(EMULATOR, WRAPPER)
        os.chmod(host.inside(EMULATOR), 0o755)
        with open(host.inside("/etc/libvirt/qemu.conf"), "a", encoding="ascii") as f:
            f.write("clear_emulator_capabilities = 0\n")
        for folder in ("/var/lib/libvirt/qemu", "/var/lib/libvirt/serial"):
            os.chmod(host.inside(folder), 0o777)
        if lab.state["kvm"]:
            host.run("sh", "-c", OWN_KVM)
        confine(host)
        host.restart_libvirtd()
    lab.vm = lambda name="g", **options: OthersVM(lab, name, **options).start()


def mount_cgroup2(vm):
    """`ip netns exec` hides the machine's cgroup mounts; libvirt, started before, is to use none."""
    for host in vm.lab.hosts:
        if "cgroup2" not in host.run("cat", "/proc/self/mounts").out:
            host.run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")


@contextlib.contextmanager
def cgroups_of_libvirt(host, vm):
    """QEMU on `host` in cgroups as libvirt makes them, each vCPU in one of its own. The root of the
    hierarchy, where the lab's QEMUs are, may be written by no one without CAP_DAC_OVERRIDE."""
    top = "/sys/fs/cgroup"
    scope = f"{top}/pcd-{vm.lab.id}-{host.name}"
    pid = host.qemu_pid(vm.name)
    vcpus = [tid for tid in os.listdir(f"/proc/{pid}/task")
             if re.match(r"CPU \d+/", open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii").read())]
    assert len(vcpus) == vm.vcpus, vcpus
    script = [f"mkdir {scope}; echo {pid} >{scope}/cgroup.procs"]
    for number, tid in enumerate(vcpus):
        folder = f"{scope}/vcpu{number}"
        script += [f"mkdir {folder}; echo threaded >{folder}/cgroup.type",
                   f"echo {tid} >{folder}/cgroup.threads"]
    try:
        host.run("sh", "-ec", "\n".join(script))
        yield
    finally:
        host.run("sh", "-c", f"[ ! -d /proc/{pid} ] || echo {pid} >{top}/cgroup.procs; "
                             f"rmdir {scope}/* {scope} 2>/dev/null", check=False)


def act(host, *words, outcome=0):
    done = host.ctl(*words, timeout=60)
    print(f"# {host.name}: {' '.join(words)}: exit {done.rc}: {(done.out + done.err).strip()}")
    assert done.rc == outcome, done
    return done


def has_terminal(host):
    folder = f"/proc/{host.postcopyd_pid}/fd"
    return any(os.readlink(f"{folder}/{fd}").startswith("/dev/pts/") for fd in os.listdir(folder)
               if os.path.islink(f"{folder}/{fd}"))


def confinement(host):
    with open(f"/proc/{host.postcopyd_pid}/status", encoding="ascii") as f:
        return dict(line.split(":\t") for line in f.read().splitlines() if ":\t" in line)


@case("long-privilege-enough", lab=HOOKED, timeout=240)
def enough(lab):
    """Watched, paused, held still, recovered, thawed, destroyed: with the unit's privileges."""
    prepare(lab)
    watched = Watched(lab, config=CONFIG, before=mount_cgroup2)
    for host in lab.hosts:
        seen = confinement(host)
        assert seen["Seccomp"] == "2" and int(seen["CapEff"], 16) < 1 << 22, seen
        assert os.stat(f"/proc/{host.qemu_pid(watched.vm.name)}").st_uid != 0, "QEMU is root"
    status = watched.status("dst")
    assert status["measured"] and status["sockets"][0]["armed"] and not status["note"], status
    wait_for(lambda: has_terminal(lab.dst), 10, "the control monitor's terminal, opened")
    with cgroups_of_libvirt(lab.dst, watched.vm):
        act(lab.dst, "freeze", watched.vm.name)
        act(lab.dst, "resume", watched.vm.name)
        in_trouble(lab, watched)
    for host in lab.hosts:
        assert "not permitted" not in host.postcopyd_log, host.postcopyd_log


def in_trouble(lab, watched):
    """A cut: paused, held still by policy, both halves kept, recovered, thawed, every page right."""
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    wait_for(lambda: watched.status("dst")["blocked-vcpus"] > 0, 10, "a blocked vCPU, as told")
    frozen = wait_for(lambda: [r for r in watched.followers["dst"].records
                               if (r["kind"], r.get("from"), r.get("to")) ==
                               ("action", "freeze", "done")
                               and r["t"] > cut.t], 25, "freeze by policy")
    print(f"# dst: {frozen[0].get('detail', '')}")
    for host in lab.hosts:
        act(host, "snapshot", watched.vm.name)
    core, told = merge(lab, *(only_bundle(host) for host in lab.hosts))
    assert " 0 missing" in told, told
    verify_core(watched.vm, core)
    cut.heal()
    watched.finish(cut.t_healed)
    ticks = watched.vm.ticks("dst")
    wait_for(lambda: watched.vm.ticks("dst") > ticks, 20, "tick of the guest after the thaw")
    print(f"# {verify_memory(watched.vm, 'dst')}")


@case("long-privilege-destroy", lab=HOOKED, timeout=180)
def destroy(lab):
    """stop or its refusal, force-pause, destroy: with the unit's privileges."""
    prepare(lab)
    watched = Watched(lab, config=CONFIG, before=mount_cgroup2)
    name = watched.vm.name
    act(lab.dst, "hold", name)
    act(lab.src, "hold", name)
    done = lab.dst.ctl("stop", name, timeout=60)
    print(f"# stop: exit {done.rc}: {(done.out + done.err).strip()}")
    assert done.rc == 0 or "refused" in done.out + done.err, done
    act(lab.dst, "force-pause", name)
    watched.followers["src"].wait("phase", "paused", time.monotonic() - 10, 12)
    lab.cut("kill-qemu", side="src", domain=name)
    wait_for(lambda: lab.src.domstate(name) is None, 10, "end of the source")
    act(lab.dst, "destroy", name, "--order", "destination-first", "--without-proof")
    wait_for(lambda: lab.dst.qemu_pid(name) is None, 10, "end of the destination")


@case("long-privilege-debug", lab={**HOOKED, "tcg": True}, timeout=240)
def debug(lab):
    """Backtraces, a core and stacks of another user's QEMU, with the unit's privileges."""
    prepare(lab)
    watched = Watched(lab, config=CONFIG, before=mount_cgroup2)
    name = watched.vm.name
    act(lab.src, "hold", name)
    act(lab.dst, "hold", name)
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    done = lab.dst.ctl("debug", name, timeout=60)
    print(f"# debug: exit {done.rc}: {done.err.strip()}")
    # libc's names; without unwind tables there would be no way to main ().
    assert done.rc == 0 and "__libc_start" in done.out, done
    act(lab.dst, "debug", name, "--mode", "stacks")
    done = lab.dst.run("sh", "-c", '"$@" >/dev/null', "sh", lab.dst.build_path("postcopyctl"),
                       "--bus", BUS, "debug", name, "--mode", "core")
    print(f"# core: {done.err.strip()}")
    cut.heal()
    act(lab.src, "release", name)
    watched.finish(cut.t_healed)
    print(f"# {verify_memory(watched.vm, 'dst')}")


def lacks(lab, watched, capability):
    """What the daemon on dst, started without that capability, says of the migration."""
    lab.dst.stop_postcopyd()
    confine(lab.dst, capability)
    watched.start(lab.dst)

    def found():
        done = lab.dst.ctl("status", watched.vm.name, "--json")
        listed = json.loads(done.out)["migrations"] if done.rc == 0 else []
        return listed and listed[0]
    wait_for(found, 10, "the migration, found again")
    time.sleep(2)
    status = found()
    print(f"# without {capability}: {status['sockets']} {status['note']!r}")
    return status


def can_probe(lab, watched, *without):
    done = lab.dst.run(AS_UNIT, *(f"--without={name}" for name in without),
                       lab.dst.confinement[-1], Host.build_path("socket-watch"), "--destination",
                       "--no-arm", "--no-shut", "--seconds", "1", "--pid",
                       lab.dst.qemu_pid(watched.vm.name))
    told = [json.loads(line)["what"] for line in done.out.splitlines() if '"watching"' in line]
    assert told, done
    return told == ["can-probe"]


@case("long-privilege-each-needed", lab=HOOKED, timeout=180)
def each_needed(lab):
    """Without any one of the unit's capabilities something does not work."""
    prepare(lab)
    watched = Watched(lab, config=CONFIG, before=mount_cgroup2)
    status = lacks(lab, watched, "CAP_SYS_PTRACE")
    assert not any(s["armed"] for s in status["sockets"]), status
    status = lacks(lab, watched, "CAP_DAC_OVERRIDE")
    assert not any(s["armed"] for s in status["sockets"]), status
    lacks(lab, watched, "CAP_SYS_ADMIN")
    with cgroups_of_libvirt(lab.dst, watched.vm):
        done = act(lab.dst, "freeze", watched.vm.name, outcome=1)
    assert "not permitted" in done.out + done.err or "CAP_SYS_ADMIN" in done.out + done.err, done
    assert can_probe(lab, watched), "the unit's own capabilities do not suffice to probe"
    assert not can_probe(lab, watched, "CAP_NET_ADMIN"), "a probe without CAP_NET_ADMIN"
