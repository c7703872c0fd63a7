# SPDX-License-Identifier: LGPL-2.1-or-later
"""postcopyctl doctor: nothing that matters on sound hosts, and each of the broken ones found."""

import json
import os
import signal
import threading
import time

from pcdlab import proc
from pcdlab.case import case
from pcdlab.host import POLICIES, QEMU_CONF, Host
from pcdlab.proc import LabError
from pcdlab.wait import wait_for

CONF = "/etc/postcopyd/postcopyd.conf"
HOOK = "/etc/libvirt/hooks/qemu.d/postcopyd"
LONGEST = 10  # whatever hangs: the asking ends after 6 s, the probe before that

# `debug` is no more than the default, but makes it another lab than that of cases with VMs: these
# libvirtds are restarted with a cgroup v2 in sight.
try:
    HOOKED = {"hook": Host.build_path("postcopyd-hook"), "debug": False}
except LabError:
    HOOKED = {}  # no build: `run --list` works without


def other(lab, host):
    return lab.dst if host is lab.src else lab.src


def sound_conf(lab, host):
    peer = other(lab, host)
    return (f"[recover]\nlibvirt-uri = qemu+tcp://{{address}}/system\n"
            f"[peer {peer.name}]\naddresses = {' '.join(peer.addresses.values())}\n")


def start(host):
    host.start_postcopyd(["--config", CONF])
    connected(host)


def connected(host):
    wait_for(lambda: json.loads(host.ctl("list", "--json").out)["connected"], 10,
             f"postcopyd of {host.name} to reach libvirt")


def ready(lab):
    """Sound hosts, once the machine's cgroup mounts that `ip netns exec` hides are there again."""
    for host in lab.hosts:
        host.write(CONF, sound_conf(lab, host))
        start(host)
    if "cgroup2" in lab.src.run("cat", "/proc/self/mounts").out:
        return
    bad = examine(lab, src="freezer", dst="freezer")
    for host in lab.hosts:
        assert bad[host.name][0]["seen"] == "no cgroup v2 is mounted", bad
        mend(host, bad[host.name][0])


def doctor(host, *args):
    """(exit status, document, seconds)"""
    done = host.ctl("doctor", "--json", *args, timeout=LONGEST + 5)
    assert done.rc in (0, 1) and not done.err, f"{host.name}: exit {done.rc}: {done.err}"
    return done.rc, json.loads(done.out), done.seconds


def matters(document):
    return [f for f in document["findings"] if f["severity"] in ("warning", "error")]


def examine(lab, **expected):
    """Runs doctor on both hosts at once; `src` and `dst`: ids of all findings that may matter.
    Returns these findings by host."""
    found, failed = {}, []

    def one(host):
        try:
            found[host.name] = doctor(host, "--policy-dir", POLICIES)
        except Exception as problem:  # told by the main thread
            failed.append(problem)
    threads = [threading.Thread(target=one, args=[host]) for host in lab.hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    for name, (status, document, seconds) in found.items():
        bad = matters(document)
        text = "; ".join(f"{f['id']}: {f['seen']}" for f in bad)
        print(f"# {name}: {seconds:.1f} s: {text or 'sound'}")
        assert {f["id"] for f in bad} == set(expected.get(name, "").split()), f"{name}: {bad}"
        assert status == (1 if bad else 0) and document["sound"] == (not bad), f"{name}: {status}"
        assert all(f["why"] and f["mend"] for f in bad), f"{name}: no why, or no mend: {bad}"
        assert seconds < LONGEST, f"{name}: {seconds:.1f} s"
    return {name: matters(document) for name, (_, document, _) in found.items()}


def mend(host, finding, at=0):
    """Does what the finding says."""
    host.run("sh", "-c", finding["mend"][at])


def rights_and_time_outs(lab):
    """QEMU gets Debian's user; and /dev/kvm its rights, else libvirt looks at all QEMUs again."""
    lab.src.run("sh", "-c", "mknod -m 666 /run/kvm c 10 232; mount --bind /run/kvm /dev/kvm")
    lab.src.write("/etc/libvirt/qemu.conf", QEMU_CONF.replace('"root"', '"libvirt-qemu"'))
    lab.src.restart_libvirtd()
    connected(lab.src)
    lab.dst.run("sysctl", "-qw", "net.ipv4.tcp_retries2=3")
    bad = examine(lab, src="userfaultfd", dst="tcp-retries")
    assert "libvirt-qemu" in bad["src"][0]["seen"], bad
    assert "3.0 s" in bad["dst"][0]["seen"], bad
    mend(lab.dst, bad["dst"][0])
    lab.src.write("/etc/libvirt/qemu.conf", QEMU_CONF)
    lab.src.restart_libvirtd()
    connected(lab.src)


def hook_and_cgroup(lab):
    """A mended hook is one that came after libvirtd: the next thing to be found."""
    os.chmod(lab.src.inside(HOOK), 0o644)
    mount = lab.dst.run("findmnt", "-nt", "cgroup2", "-o", "TARGET").out.split()[0]
    lab.dst.run("mount", "-o", "remount,bind,ro", mount)
    bad = examine(lab, src="hook", dst="freezer")
    assert "does not freeze" in bad["dst"][0]["seen"], bad
    mend(lab.src, bad["src"][0])
    lab.dst.run("mount", "-o", "remount,bind,rw", mount)


def old_libvirtd_and_unknown_policy(lab):
    lab.dst.write(CONF, sound_conf(lab, lab.dst) + "[policy]\nmatch = web-* no-such-policy\n")
    bad = examine(lab, src="hook-seen", dst="policies")
    assert bad["dst"][0]["about"] == "no-such-policy", bad
    lab.src.restart_libvirtd()
    connected(lab.src)
    lab.dst.write(CONF, sound_conf(lab, lab.dst))


def bad_conf_and_no_daemon(lab):
    lab.src.write(CONF, sound_conf(lab, lab.src) + "[arm]\nnetwork-timeout = 2 parsecs\n")
    lab.dst.stop_postcopyd()
    bad = examine(lab, src="config", dst="daemon")
    assert f"{CONF}:6:" in bad["src"][0]["seen"], bad
    lab.src.write(CONF, sound_conf(lab, lab.src))
    start(lab.dst)


def no_capability_and_no_disk(lab):
    lab.src.stop_postcopyd()
    lab.src.confinement = ["setpriv", "--bounding-set=-sys_ptrace"]
    start(lab.src)
    lab.dst.run("mount", "-t", "tmpfs", "tmpfs", "/var/lib/postcopyd")
    bad = examine(lab, src="capabilities", dst="state-dir")
    assert "CAP_SYS_PTRACE" in bad["src"][0]["seen"], bad
    lab.src.stop_postcopyd()
    lab.src.confinement = []
    start(lab.src)
    lab.dst.run("umount", "/var/lib/postcopyd")


def no_keepalive_and_no_name(lab):
    lab.src.write("/etc/libvirt/qemu.conf", QEMU_CONF + "keepalive_interval = -1\n")
    lab.dst.run("hostname", "localhost.localdomain")
    examine(lab, src="keepalive", dst="hostname")
    lab.src.write("/etc/libvirt/qemu.conf", QEMU_CONF)
    lab.dst.run("hostname", "dst")


def one_network_down(lab):
    lab.dst.run("ip", "link", "set", "mig0", "down")
    for bad in examine(lab, src="peer", dst="peer").values():
        assert [f["severity"] for f in bad] == ["warning"], bad
    lab.dst.run("ip", "link", "set", "mig0", "up")


def no_libvirt(lab):
    lab.dst.stop_libvirtd()
    bad = examine(lab, src="peer", dst="libvirt")["src"]
    assert [f["severity"] for f in bad] == ["error", "error"], bad
    assert "does not listen" in bad[0]["seen"], bad
    lab.dst.start_libvirtd()
    connected(lab.dst)


@case("doctor", timeout=150, lab=HOOKED)
def finds_what_is_broken(lab):
    """Sound hosts are sound; each of 15 broken ones has its finding, no other, and its command."""
    ready(lab)
    examine(lab)
    rights_and_time_outs(lab)
    hook_and_cgroup(lab)
    old_libvirtd_and_unknown_policy(lab)
    bad_conf_and_no_daemon(lab)
    no_capability_and_no_disk(lab)
    no_keepalive_and_no_name(lab)
    no_libvirt(lab)


@case("long-doctor", timeout=120, lab=HOOKED)
def never_hangs(lab):
    """A libvirtd that accepts and says nothing, peers that drop packets, a bus that is dead."""
    ready(lab)
    one_network_down(lab)
    os.kill(lab.dst.libvirtd_pid, signal.SIGSTOP)
    try:
        bad = examine(lab, src="peer", dst="libvirt")["src"]
        assert all("no answer within" in f["seen"] for f in bad), bad
    finally:
        os.kill(lab.dst.libvirtd_pid, signal.SIGCONT)
    os.kill(lab.src.state["dbus"]["pid"], signal.SIGSTOP)
    try:
        examine(lab, src="daemon")
    finally:
        os.kill(lab.src.state["dbus"]["pid"], signal.SIGCONT)
    for host in lab.hosts:
        connected(host)
    for device in ("mig0", "alt0"):
        lab.dst.run("ip", "link", "set", device, "down")
    for bad in examine(lab, src="peer", dst="peer").values():
        assert [f["severity"] for f in bad] == ["error", "error"], bad
    nothing_is_left(lab)


def nothing_is_left(lab):
    """No process that asked, no cgroup, nobody frozen."""
    time.sleep(0.2)
    for host in lab.hosts:
        asking = [p for p in host.pids() if "--ask-libvirt" in " ".join(proc.command_line(p))]
        assert not asking, f"{host.name}: {asking} still ask"
    mount = lab.src.run("findmnt", "-nt", "cgroup2", "-o", "TARGET").out.split()[0]
    left = [n for n in os.listdir(mount) if n.startswith("postcopyd-doctor-")]
    assert not left, f"{mount}: {left}"
