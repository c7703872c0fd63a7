# SPDX-License-Identifier: LGPL-2.1-or-later
"""A veth pair between the two hosts. Knows how it is made, not how it is broken."""

from . import proc


class Network:
    """10.9.`number`.0/24; the device has the same name on both hosts."""

    def __init__(self, lab, name, device, number):
        self.lab = lab
        self.name = name
        self.device = device
        self.number = number

    def make(self):
        src, dst = self.lab.hosts
        proc.run(["ip", "link", "add", self.device, "netns", src.netns, "type", "veth",
                  "peer", "name", self.device, "netns", dst.netns])
        for host in self.lab.hosts:
            proc.run(["ip", "-n", host.netns, "addr", "add", f"{host.addresses[self.name]}/24",
                      "dev", self.device])
            proc.run(["ip", "-n", host.netns, "link", "set", self.device, "up"])

    def ping(self, sender="src", timeout=1, size=56):
        """Whether one echo request is answered."""
        host = getattr(self.lab, sender)
        peer = self.lab.dst if host is self.lab.src else self.lab.src
        return bool(host.run("busybox", "ping", "-q", "-c", "1", "-s", size, "-W", timeout,
                             peer.addresses[self.name], check=False, timeout=timeout + 5))
