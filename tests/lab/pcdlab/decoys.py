# SPDX-License-Identifier: LGPL-2.1-or-later
"""TCP connections of a QEMU that are not its migration: VNC, a serial port over TCP, an NBD export, a
chardev that QEMU itself connects. Whoever looks for the migration's socket must leave these alone."""

import fcntl
import socket
import struct
import termios
import time

from .proc import LabError
from .traffic import socket_in
from .wait import wait_for

VNC, SERIAL, NBD, CHARDEV = 5999, 7777, 10809, 7778

# No video: a viewer makes QEMU's main thread read video memory, which a destination may not have yet.
DEVICES = f"""\
<serial type='tcp'><source mode='bind' host='0.0.0.0' service='{SERIAL}'/><protocol type='raw'/>
    <target port='1'/></serial>
    <graphics type='vnc' port='{VNC}' autoport='no' listen='0.0.0.0'/>
    <video><model type='none'/></video>"""


class Decoys:
    """For a VM made with `devices=DEVICES, monitor=True`: opens every decoy of its QEMU on `host`
    and keeps one client connected to each, from the other host over the migration network, in the
    state in which a viewer, an NBD client … spends its life."""

    def __init__(self, vm, host):
        lab = vm.lab
        self.server = getattr(lab, host)
        self.peer = lab.dst if self.server is lab.src else lab.src
        self.clients = {}
        with vm.qmp(host) as qmp:
            self._export(qmp)
            self.clients["chardev"] = self._accept_chardev(qmp)
        for name, port in (("vnc", VNC), ("serial", SERIAL), ("nbd", NBD)):
            target = (self.server.addresses["migration"], port)
            self.clients[name] = socket_in(self.peer,
                                           lambda target=target: socket.create_connection(target, 5))
        self._start_vnc(self.clients["vnc"])
        self._start_nbd(self.clients["nbd"])

    @staticmethod
    def _export(qmp):
        address = {"type": "inet", "data": {"host": "0.0.0.0", "port": str(NBD)}}
        qmp.command("blockdev-add", {"driver": "null-co", "node-name": "decoy", "size": 1 << 20,
                                     "read-zeroes": True})
        qmp.command("nbd-server-start", {"addr": address})
        qmp.command("block-export-add", {"type": "nbd", "id": "decoy", "node-name": "decoy"})

    def _accept_chardev(self, qmp):
        """Like the source's migration: a connection that QEMU makes to the same peer."""
        address = (self.peer.addresses["migration"], CHARDEV)
        listener = socket_in(self.peer, lambda: socket.create_server(address))
        try:
            listener.settimeout(5)
            inet = {"type": "inet", "data": {"host": address[0], "port": str(CHARDEV)}}
            qmp.command("chardev-add", {"id": "decoy", "backend": {
                "type": "socket", "data": {"addr": inet, "server": False}}})
            return listener.accept()[0]
        finally:
            listener.close()

    @staticmethod
    def _read(client, size):
        client.settimeout(5)
        data = b""
        while len(data) < size:
            more = client.recv(size - len(data))
            if not more:
                raise LabError(f"a decoy's connection ended after {data!r}")
            data += more
        return data

    def _start_vnc(self, client):
        """RFC 6143, 7.1 to 7.3."""
        if not self._read(client, 12).startswith(b"RFB 003"):
            raise LabError("decoy vnc does not speak RFB")
        client.send(b"RFB 003.008\n")
        self._read(client, self._read(client, 1)[0])
        client.send(b"\1")  # security: none
        if self._read(client, 4) != bytes(4):
            raise LabError("decoy vnc wants a password")
        client.send(b"\1")  # shared
        length = struct.unpack(">20xI", self._read(client, 24))[0]
        self._read(client, length)

    def _start_nbd(self, client):
        """Fixed newstyle negotiation with NBD_OPT_EXPORT_NAME."""
        if not self._read(client, 18).startswith(b"NBDMAGICIHAVEOPT"):
            raise LabError("decoy nbd does not speak NBD")
        client.send(struct.pack(">I8sII5s", 3, b"IHAVEOPT", 1, 5, b"decoy"))
        self._read(client, 10)

    # One round of traffic on each, answered

    def talk(self):
        """Raises unless every decoy does its work."""
        for name in self.clients:
            try:
                getattr(self, f"_talk_{name}")(self.clients[name])
            except (OSError, TimeoutError, LabError) as problem:
                raise LabError(f"decoy {name} of {self.server.name}: {problem}") from None

    def _talk_vnc(self, client):
        self._drain(client)
        client.send(struct.pack(">BBHHHH", 3, 0, 0, 0, 16, 16))
        if self._read(client, 1) != b"\0":
            raise LabError("no FramebufferUpdate")
        self._drain(client)

    def _talk_nbd(self, client):
        cookie = time.monotonic_ns()
        client.send(struct.pack(">IHHQQI", 0x25609513, 0, 0, cookie, 4096, 512))
        if self._read(client, 16 + 512) != struct.pack(">IIQ", 0x67446698, 0, cookie) + bytes(512):
            raise LabError("a wrong answer to a read")

    def _talk_serial(self, client):
        """The guest's ticks come only while it runs, see ticks(); what is sent must arrive."""
        client.send(b"x")
        self._wait_sent(client)

    _talk_chardev = _talk_serial

    @staticmethod
    def _wait_sent(client):
        def acknowledged():
            left = fcntl.ioctl(client.fileno(), termios.TIOCOUTQ, bytes(4))
            return struct.unpack("i", left)[0] == 0
        wait_for(acknowledged, 5, "acknowledgement", 0.02)

    @staticmethod
    def _drain(client):
        """Reads until it is quiet; returns what came."""
        client.settimeout(0.2)
        data = b""
        try:
            while more := client.recv(1 << 16):
                data += more
        except TimeoutError:
            return data
        raise LabError("the connection ended")

    def ticks(self):
        """How many of the guest's ticks have come over the serial port since last asked."""
        return self._drain(self.clients["serial"]).count(b".")

    def broken(self):
        """The names of the decoys whose connection has ended."""
        found = []
        for name, client in self.clients.items():
            client.setblocking(False)
            try:
                while client.recv(4096):
                    pass
                found.append(name)
            except BlockingIOError:
                pass
            except OSError:
                found.append(name)
        return found

    def close(self):
        for client in self.clients.values():
            client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
