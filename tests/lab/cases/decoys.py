# SPDX-License-Identifier: LGPL-2.1-or-later
"""postcopyd arms, judges and shuts down the migration's connection, and no other one of QEMU's."""

import ctypes
import os
import socket
import time
from contextlib import ExitStack

from pcdlab.case import case
from pcdlab.decoys import CHARDEV, DEVICES, NBD, SERIAL, VNC, Decoys
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched

PIDFD_GETFD = 438
OPTIONS = {"keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
           "idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
           "interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
           "count": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
           "user-timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)}
PORTS = {VNC, SERIAL, NBD, CHARDEV}
ARMED = ("keepalive", "user-timeout")  # what must not be as the kernel makes it

_libc = ctypes.CDLL(None, use_errno=True)


def duplicates(pid):
    """A duplicate of each TCP socket of a process, one after another."""
    pidfd = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            fd = _libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
            if fd < 0:
                continue  # closed in the meantime
            try:
                with socket.socket(fileno=fd) as found:
                    if found.family in (socket.AF_INET, socket.AF_INET6) \
                            and found.type == socket.SOCK_STREAM:
                        yield found
            except OSError:
                os.close(fd)  # no socket at all
    finally:
        os.close(pidfd)


def endpoint(address):
    """As ss and postcopyd write it; libvirt's listener on [::] gives QEMU mapped addresses."""
    return f"{address[0].removeprefix('::ffff:')}:{address[1]}"


def tcp_options(host, domain):
    """(local, peer) -> options, of every TCP socket of a domain's QEMU; peer "" of a listener."""
    found = {}
    for each in duplicates(host.qemu_pid(domain)):
        try:
            peer = endpoint(each.getpeername())
        except OSError:
            peer = ""
        options = {name: each.getsockopt(*which) for name, which in OPTIONS.items()}
        found[endpoint(each.getsockname()), peer] = options
    return found


def service(pair):
    """Which decoy that is: its well-known port and whether it listens; None for a migration."""
    ports = {int(end.rsplit(":", 1)[1]) for end in pair if end} & PORTS
    return (ports.pop(), not pair[1]) if ports else None


def by_service(options):
    return {service(pair): values for pair, values in options.items() if service(pair)}


class Sockets:
    """What QEMU's sockets looked like before postcopyd ran, and what has become of them."""

    def __init__(self):
        self.decoys = None

    def remember(self, vm):
        self.decoys = by_service(tcp_options(vm.lab.src, vm.name))
        # three servers that listen and have a client each, and the chardev that connects
        assert len(self.decoys) == 7, f"decoys before the migration: {self.decoys}"

    def check_armed(self, watched):
        """On each side exactly the connections that postcopyd tells of, and all of these."""
        for host in watched.lab.hosts:
            options = tcp_options(host, watched.vm.name)
            assert by_service(options) == self.decoys, f"{host.name}: {options}"
            others = {pair: values for pair, values in options.items() if not service(pair)}
            connected = {pair: values for pair, values in others.items() if pair[1]}
            told = {(s["local"], s["remote"]) for s in watched.status(host.name)["sockets"]}
            print(f"# {host.name}: of {len(options)} TCP sockets armed: {connected}")
            assert len(connected) == 1 and told == set(connected), f"{host.name}: {told}, {others}"
            for values in connected.values():
                assert all(values[name] for name in ARMED), f"{host.name}: {values}"
            for pair, values in others.items():
                assert pair[1] or not any(values[name] for name in ARMED), f"{pair}: {values}"

    def check_shut(self, watched):
        """The migration's connection has gone, the others are what they were."""
        for host in watched.lab.hosts:
            options = tcp_options(host, watched.vm.name)
            assert by_service(options) == self.decoys, f"{host.name}: {options}"
            left = [pair for pair in options if pair[1] and not service(pair)]
            assert left == [], f"{host.name}: still connected: {left}"


@case("see-decoys")
def see_decoys(lab):
    """VNC, NBD, serial over TCP, a chardev: neither armed nor shut down, and they go on working."""
    sockets = Sockets()
    decoys = {}
    with ExitStack() as stack:
        def open_on(side):
            def opened(vm):
                decoys[side] = stack.enter_context(Decoys(vm, side))
                decoys[side].talk()
                if side == "src":
                    sockets.remember(vm)
            return opened

        watched = Watched(lab, vm_options={"devices": DEVICES, "monitor": True},
                          before=open_on("src"), in_precopy=open_on("dst"))
        assert decoys["src"].ticks() > 0, "the guest's serial port over TCP is silent"
        sockets.check_armed(watched)
        cut = lab.cut("stream-only")
        watched.both_paused(cut.t, TIMEOUT + 1, "network")
        for side in ("src", "dst"):
            shut = watched.told(side, cut.t, "shutdown")
            print(f"# {side}: shut down {len(shut)} connection")
            assert len(shut) <= 1, watched.followers[side].story(cut.t)
        sockets.check_shut(watched)
        for each in decoys.values():
            each.talk()
        cut.heal()
        began = time.monotonic()
        watched.migration.resume(postcopy_bandwidth=2)
        for side in ("src", "dst"):
            watched.followers[side].wait("armed", "armed", began, 10)
        sockets.check_armed(watched)
        for each in decoys.values():
            each.talk()
        decoys["dst"].ticks()
        watched.finish()
        wait_for(decoys["dst"].ticks, 20, "tick over the destination's serial port")
        decoys["dst"].talk()
