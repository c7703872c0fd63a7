# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ways to break things, each with its way to heal. Knows devices, ports and processes; must not
know what anybody should make of the damage."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

from . import proc
from .proc import LabError

MIGRATION_PORTS = "49152-49215"
LIBVIRT_PORT = "16509"
# The well-known port is at dst's end of every connection.
PEER_PORT = {"src": "sport", "dst": "dport"}


@dataclass
class Cut:
    """One thing broken. `t` and `t_healed` are CLOCK_MONOTONIC seconds."""

    breaker: object
    kind: str
    options: dict
    t: float = 0.0
    t_healed: float = 0.0
    state: dict = field(default_factory=dict)

    def heal(self):
        self.breaker.heal_cut(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.heal()


# Packet filters sit at the receiver's door (prerouting): a filter at the sender's would tell its
# TCP about the drop (EPERM), which is not silence.

def _nft(hosts, rule):
    """A break that is one nftables rule on the receiving side of `hosts`."""
    def cut(lab, network, state, **_):
        for name in hosts:
            text = (f"table inet pcd_{state['tag']} {{\n chain c {{\n"
                    f"  type filter hook {'input' if 'reject' in rule else 'prerouting'}"
                    f" priority raw; policy accept;\n"
                    f"  iifname {network.device} {rule.format(end=PEER_PORT[name])}\n }}\n}}\n")
            getattr(lab, name).run("nft", "-f", "-", text_in=text)

    def heal(lab, network, state, **_):
        for name in hosts:
            getattr(lab, name).run("nft", "delete", "table", "inet", f"pcd_{state['tag']}",
                                   check=False)
    return cut, heal


def _link_down(lab, network, state, **_):
    lab.src.run("ip", "link", "set", network.device, "down")


def _link_up(lab, network, state, **_):
    lab.src.run("ip", "link", "set", network.device, "up")


def _reset(lab, network, state, side="src", **_):
    """Aborts the migration connection at one end: the kernel tells that end, and sends a RST."""
    first, last = MIGRATION_PORTS.split("-")
    port = "dport" if side == "src" else "sport"
    done = getattr(lab, side).run("ss", "-KHtn", f"( {port} >= :{first} and {port} <= :{last} )")
    if not done.out.strip():
        raise LabError(f"reset: {side} has no migration connection")


def _rate(lab, network, state, kib_per_s=64, **_):
    for host in lab.hosts:
        host.run("tc", "qdisc", "replace", "dev", network.device, "root", "tbf", "rate",
                 f"{kib_per_s * 8192}bit", "burst", "8kb", "latency", "500ms")


def _unrate(lab, network, state, **_):
    for host in lab.hosts:
        host.run("tc", "qdisc", "del", "dev", network.device, "root", check=False)


def _starve(lab, network, state, domain="g", **_):
    """Stops the destination's receiving thread alone. No packet is lost; its window closes."""
    pid = _qemu(lab, "dst", domain)
    tids = [tid for tid, name in proc.threads(pid) if name == "postcopy/listen"]
    if not tids:
        raise LabError(f"starve: QEMU {pid} has no thread postcopy/listen (not in postcopy?)")
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    child = subprocess.Popen([sys.executable, "-m", "pcdlab.holdthread", str(tids[0])],
                             cwd=package, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             text=True, start_new_session=True)
    state["helper"] = {"pid": child.pid, "started": proc.start_time(child.pid)}
    lab.state.setdefault("helpers", []).append(state["helper"])
    lab.save()
    answer = child.stdout.readline().strip()
    if answer != "held":
        raise LabError(f"starve: thread {tids[0]} cannot be held: {answer or 'no answer'}")


def _feed(lab, network, state, **_):
    helper = state.get("helper")
    if helper and proc.is_alive(helper["pid"], helper["started"]):
        proc.kill(helper["pid"], signal.SIGTERM)
        proc.wait_gone(helper["pid"], 5)


def _qemu(lab, side, domain):
    pid = getattr(lab, side).qemu_pid(domain)
    if pid is None:
        raise LabError(f"{side} has no QEMU of {domain}")
    return pid


def _stop(lab, network, state, side="dst", domain="g", **_):
    state["pid"] = _qemu(lab, side, domain)
    proc.kill(state["pid"], signal.SIGSTOP)


def _continue(lab, network, state, **_):
    if "pid" in state:
        proc.kill(state["pid"], signal.SIGCONT)


def _kill(lab, network, state, side="src", domain="g", **_):
    proc.kill(_qemu(lab, side, domain), signal.SIGKILL)


def _stop_libvirtd(lab, network, state, side="dst", signal_number=signal.SIGTERM, **_):
    state["side"] = side
    getattr(lab, side).stop_libvirtd(signal_number)


def _start_libvirtd(lab, network, state, **_):
    host = getattr(lab, state["side"])
    if host.libvirtd_pid is None:
        host.start_libvirtd()


def _nothing(lab, network, state, **_):
    """Happens once; there is nothing to heal."""



BOTH, TO_DST, TO_SRC = ("src", "dst"), ("dst",), ("src",)

# kind: (what it does, cut, heal)
KINDS = {
    "link-down": ("src's end of the cable is pulled", _link_down, _link_up),
    "drop": ("silently drops everything, both ways", *_nft(BOTH, "drop")),
    "drop-to-dst": ("silently drops what src sends", *_nft(TO_DST, "drop")),
    "drop-to-src": ("silently drops what dst sends", *_nft(TO_SRC, "drop")),
    "reset": ("aborts the migration connection (side=src|dst)", _reset, _nothing),
    "reset-box": ("a box between answers the migration stream with RST, both ways",
                  *_nft(BOTH, f"tcp {{end}} {MIGRATION_PORTS} tcp flags & rst == 0"
                          " reject with tcp reset")),
    "rate": ("limits both ways (kib_per_s=64)", _rate, _unrate),
    "mtu": ("drops packets over 576 bytes, both ways", *_nft(BOTH, "meta length > 576 drop")),
    "libvirt-only": ("drops libvirt's connection alone, both ways",
                     *_nft(BOTH, f"tcp {{end}} {LIBVIRT_PORT} drop")),
    "stream-only": ("drops the migration stream alone, both ways",
                    *_nft(BOTH, f"tcp {{end}} {MIGRATION_PORTS} drop")),
    "starve": ("holds dst's receiving thread (domain=g)", _starve, _feed),
    "sigstop": ("stops a QEMU (side=dst, domain=g)", _stop, _continue),
    "kill-qemu": ("kills a QEMU (side=src, domain=g)", _kill, _nothing),
    "stop-libvirtd": ("ends a libvirtd (side=dst)", _stop_libvirtd, _start_libvirtd),
}


class Breaker:
    """Applies and heals; what is broken is in the lab's state, so that any process can heal."""

    def __init__(self, lab):
        self.lab = lab

    def cut(self, kind, network="migration", **options):
        if kind not in KINDS:
            raise LabError(f"cannot break {kind!r}; kinds: {', '.join(KINDS)}")
        cuts = self.lab.state.setdefault("cuts", [])
        number = self.lab.state["cut_count"] = self.lab.state.get("cut_count", 0) + 1
        cut = Cut(self, kind, {"network": network, **options}, state={"tag": f"cut{number}"})
        cut.t = time.monotonic()
        if KINDS[kind][2] is not _nothing:
            cuts.append({"kind": kind, "options": cut.options, "state": cut.state})
            self.lab.save()
        KINDS[kind][1](self.lab, self.lab.networks[network], cut.state, **options)
        self.lab.note("cut", kind=kind, began=cut.t, **{k: str(v) for k, v in options.items()})
        self.lab.save()
        return cut

    def heal_cut(self, cut):
        cuts = self.lab.state.get("cuts", [])
        entry = next((c for c in cuts if c["state"]["tag"] == cut.state["tag"]), None)
        if entry is None:
            return
        options = {k: v for k, v in cut.options.items() if k != "network"}
        network = self.lab.networks[cut.options["network"]]
        KINDS[cut.kind][2](self.lab, network, cut.state, **options)
        cut.t_healed = self.lab.note("heal", kind=cut.kind)
        cuts.remove(entry)
        self.lab.save()

    def heal(self, kind=None):
        for entry in list(self.lab.state.get("cuts", [])):
            if kind in (None, entry["kind"]):
                self.heal_cut(Cut(self, entry["kind"], entry["options"], state=entry["state"]))
