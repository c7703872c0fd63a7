# SPDX-License-Identifier: LGPL-2.1-or-later
"""TCP connections of a QEMU that are not its migration: VNC, a serial port over TCP, an NBD export.
Whoever looks for the migration's socket must leave these alone."""

import socket

from .proc import LabError
from .traffic import socket_in

VNC, SERIAL, NBD = 5999, 7777, 10809

DEVICES = f"""\
<serial type='tcp'><source mode='bind' host='0.0.0.0' service='{SERIAL}'/><protocol type='raw'/>
    <target port='1'/></serial>
    <graphics type='vnc' port='{VNC}' autoport='no' listen='0.0.0.0'/>
    <video><model type='none'/></video>"""


class Decoys:
    """For a VM made with `devices=DEVICES, monitor=True`: opens every decoy of its QEMU on `host`
    and keeps one client connected to each, from the other host over the migration network."""

    def __init__(self, vm, host):
        lab = vm.lab
        server = getattr(lab, host)
        client = lab.dst if server is lab.src else lab.src
        with vm.qmp(host) as qmp:
            address = {"type": "inet", "data": {"host": "0.0.0.0", "port": str(NBD)}}
            qmp.command("blockdev-add", {"driver": "null-co", "node-name": "decoy", "size": 1 << 20,
                                         "read-zeroes": True})
            qmp.command("nbd-server-start", {"addr": address})
            qmp.command("block-export-add", {"type": "nbd", "id": "decoy", "node-name": "decoy"})
        self.clients = {}
        for name, port in (("vnc", VNC), ("serial", SERIAL), ("nbd", NBD)):
            target = (server.addresses["migration"], port)
            self.clients[name] = socket_in(client, lambda: socket.create_connection(target, 5))
        for name, greeting in (("vnc", b"RFB 003"), ("nbd", b"NBDMAGIC")):
            got = self._read(name, len(greeting))
            if got != greeting:
                raise LabError(f"decoy {name} greets with {got!r}")

    def _read(self, name, size):
        self.clients[name].settimeout(5)
        data = b""
        while len(data) < size:
            more = self.clients[name].recv(size - len(data))
            if not more:
                break
            data += more
        return data

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
