# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sink `webhook` through a cut and a heal: each host's receiver, a real HTTPS server, gets the whole
story of the migration once and in order, whoever was away in between."""

import contextlib
import json
import os
import sys
import time

from pcdlab import proc
from pcdlab.case import Skip, case
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched

TESTS = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path[:0] = [TESTS, os.path.join(TESTS, "host")]
from webhook_server import make_certificates  # noqa: E402

try:
    import strict_schema
except ImportError:
    strict_schema = None

FOLDER = "/etc/postcopyd/webhook"
PORT = 8443
CONFIG = f"""\
[recover]
libvirt-uri = qemu+tcp://{{address}}/system

[sink structured]
type = webhook
url = https://127.0.0.1:{PORT}/structured
signing-key = {FOLDER}/key
ca-file = {FOLDER}/ca.pem

[sink batched]
type = webhook
url = https://127.0.0.1:{PORT + 1}/batched
mode = batched
signing-key = {FOLDER}/key
ca-file = {FOLDER}/ca.pem
"""
HOOKS = "/etc/postcopyd/hooks.d"
HOOK = f"""#!/bin/sh
{{ printf '%s ' "$POSTCOPYD_ID"; cat; }} >> {HOOKS}.story
"""


class Receivers:
    """On each host one for single events and one for batches."""

    def __init__(self, lab):
        if strict_schema is None:
            raise Skip("no jsonschema (Debian: python3-jsonschema)")
        self.lab = lab
        self.children = []
        for host in lab.hosts:
            make_certificates(host.inside(FOLDER))
            for port in PORT, PORT + 1:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.log(host, port))  # of the case before
            host.write(f"{FOLDER}/key", "a key of the lab, not a secret\n")
            host.run("chmod", "0600", f"{FOLDER}/key")

    def start(self):
        for host in self.lab.hosts:
            host.run("ip", "link", "set", "lo", "up")
            for port in PORT, PORT + 1:
                with open(host.path("webhook.out"), "a") as out:
                    self.children.append(host.popen(
                        [os.path.join(TESTS, "host", "webhook_server.py"), FOLDER, port, f"{FOLDER}/key",
                         self.log(host, port)], stdout=out, stderr=out))

    def stop(self):
        for child in self.children:
            if child.poll() is None:
                proc.kill_group(child.pid)
            child.wait()
        self.children = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @staticmethod
    def log(host, port):
        return host.path(f"webhook-{port}.log")

    def got(self, host, port):
        """What the receiver has after it dropped what it has seen, of the domain; all sound."""
        try:
            with open(self.log(host, port), encoding="utf-8") as f:
                events = {e.get("id"): e for e in map(json.loads, f)}
        except FileNotFoundError:
            return []
        for event in events.values():
            faults = strict_schema.faults("cloudevent", event)
            assert not faults, (faults, event)
        return [e["data"] for e in events.values() if e.get("subject")]


def short(record):
    return f"{record['seq']} {record['kind']}:{record.get('from')}->{record.get('to')}"


def has_all(receivers, host, since, *followers):
    """Waits until both receivers of the host have exactly what was told of the domain."""
    def told():
        return [{k: v for k, v in r.items() if k != "t"} for f in followers for r in f.records if "uuid" in r]
    for port in PORT, PORT + 1:
        try:
            wait_for(lambda: receivers.got(host, port) == told(), 60, "the whole story")
        except Exception:
            raise AssertionError(
                f"{host.name} {port}: got {[short(r) for r in receivers.got(host, port)]}, told "
                f"{[short(r) for r in told()]}; {host.postcopyd_log[-1500:]}") from None
    assert len(told()) >= 5, told()
    print(f"# {host.name}: {len(told())} events at each receiver within {time.monotonic() - since:.2f} s")


def real_output_is_sound(lab, watched):
    for host in lab.hosts:
        for name, args in (("list", ["list"]), ("list", ["status", watched.vm.name]),
                           ("incident-list", ["incident", "list"]), ("incident", ["incident", "show", "1"]),
                           ("doctor", ["doctor"])):
            done = host.ctl(*args, "--json", timeout=60)
            faults = strict_schema.faults(name, json.loads(done.out))
            assert not faults, (args, faults)
        for record in watched.followers[host.name].records:
            faults = strict_schema.faults("event", {k: v for k, v in record.items() if k != "t"})
            assert not faults, faults


def cut_and_heal(lab, watched, seconds=4, meanwhile=None):
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 2, "network")
    if meanwhile:
        meanwhile()
    time.sleep(max(0, cut.t + seconds - time.monotonic()))
    cut.heal()
    watched.finish()
    return time.monotonic()


def put_hook(host):
    host.write(f"{HOOKS}/10-story", HOOK)
    os.chmod(host.inside(f"{HOOKS}/10-story"), 0o755)
    host.write(f"{HOOKS}.story", "")


def hook_got(host):
    """As Receivers.got: ids and events of the domain, and how many deliveries that took."""
    with open(host.inside(f"{HOOKS}.story"), encoding="utf-8") as f:
        brought = [line.split(" ", 1) for line in f]
    events = [json.loads(e) for e in dict(brought).values()]
    return [e for e in events if "uuid" in e], len(brought) - len(events)


@case("long-sinks-all", timeout=180)
def all_sinks(lab):
    """Hooks and both ways of the webhook at once: each receiver of each host has the full story once."""
    with Receivers(lab) as receivers:
        receivers.start()
        for host in lab.hosts:
            put_hook(host)
        watched = Watched(lab, config=CONFIG + f"[sink hooks]\ntype = exec\ndirectory = {HOOKS}\n")
        end = cut_and_heal(lab, watched)
        for host in lab.hosts:
            has_all(receivers, host, end, watched.followers[host.name])
            told = [{k: v for k, v in r.items() if k != "t"}
                    for r in watched.followers[host.name].records if "uuid" in r]
            wait_for(lambda: hook_got(host)[0] == told, 60, f"the whole story at the hook of {host.name}")
            assert hook_got(host)[1] == 0, "nobody was killed, and something came twice"
            print(f"# {host.name}: {len(told)} events at the hook, none twice")


@case("long-webhook-story", timeout=180)
def story(lab):
    """Receivers that are there all the time; and all JSON of the real daemons is as the schema says."""
    with Receivers(lab) as receivers:
        receivers.start()
        watched = Watched(lab, config=CONFIG)
        end = cut_and_heal(lab, watched)
        for host in lab.hosts:
            has_all(receivers, host, end, watched.followers[host.name])
        real_output_is_sound(lab, watched)


@case("long-webhook-receiver-down", timeout=180)
def receiver_down(lab):
    """Nobody listens until the migration is over: the same story, late."""
    with Receivers(lab) as receivers:
        watched = Watched(lab, config=CONFIG)
        cut_and_heal(lab, watched)
        assert receivers.got(lab.src, PORT) == []
        receivers.start()
        end = time.monotonic()
        for host in lab.hosts:
            has_all(receivers, host, end, watched.followers[host.name])


@case("long-webhook-killed", timeout=180)
def killed(lab):
    """Nobody listens, and the source's postcopyd is killed while the migration is paused: what it had
    told comes from its successor, then the successor's own."""
    with Receivers(lab) as receivers:
        watched = Watched(lab, config=CONFIG)
        before = []

        def kill():
            time.sleep(1)  # what was told must be on the disk: it is not flushed for each event
            before.append(watched.followers["src"])
            watched.kill_and_restart("src")
        cut_and_heal(lab, watched, 6, kill)
        receivers.start()
        end = time.monotonic()
        has_all(receivers, lab.src, end, *before, watched.followers["src"])
        has_all(receivers, lab.dst, end, watched.followers["dst"])
