# SPDX-License-Identifier: LGPL-2.1-or-later
"""Receivers of events during a real incident: each has the whole story, and none is waited for."""

import json
import os
import statistics
import time

from pcdlab.case import case
from pcdlab.follower import Follower
from pcdlab.wait import wait_for
from pcdlab.watched import Watched

CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
"""
HOOKS = "/etc/postcopyd/hooks.d"
LATE = "/etc/postcopyd/late.d"
TWO_SINKS = CONFIG + f"""\
[sink hooks]
type = exec
timeout = 3s
directory = {HOOKS}
[sink late]
type = exec
directory = {LATE}
"""
STORY = """#!/bin/sh
[ ! -e {folder}.down ] || exit 75
{{ printf '%s ' "$POSTCOPYD_ID"; cat; }} >> {folder}.story
"""


def put_hook(host, folder, name, text):
    host.write(f"{folder}/{name}", text)
    os.chmod(host.inside(f"{folder}/{name}"), 0o755)


def story(host, folder):
    """What the receiver was brought, in order: its ids, and the events without repetitions."""
    with open(host.inside(f"{folder}.story"), encoding="utf-8") as f:
        brought = [line.split(" ", 1) for line in f]
    events = dict(brought)
    return [i for i, _ in brought], [json.loads(e) for e in events.values()], list(events)


def sinks(host):
    done = host.ctl("sinks", "--json")
    assert done.rc == 0, done
    return {s["sink"]: s for s in map(json.loads, done.out.splitlines())}


def told_all(host, *names):
    return wait_for(lambda: all(sinks(host)[n]["waiting"] == 0 and sinks(host)[n]["state"] == "idle"
                                for n in names), 120, f"nothing waiting for {names}", 0.5)


def completed(watched):
    def told():
        watched.hurry()
        return watched.followers["src"].find("phase", "completed")
    wait_for(told, 60, "completion told by the source", 0.5)


@case("long-sinks-story", timeout=300)
def whole_story(lab):
    """Two receivers, one of which is down all the time, and postcopyd killed in the middle: each has
    each event in order, and the same; at most what was under way came twice."""
    src = lab.src
    for folder in (HOOKS, LATE):
        put_hook(src, folder, "10-story", STORY.format(folder=folder))
        os.makedirs(lab.dst.inside(folder), exist_ok=True)
    src.write(f"{LATE}.down", "")
    watched = Watched(lab, config=TWO_SINKS)
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, 10, "network")
    told_all(src, "hooks")
    before = list(watched.followers["src"].records)
    watched.kill_and_restart("src")
    cut.heal()
    completed(watched)
    told_all(src, "hooks")
    late = sinks(src)["late"]
    assert late["delivered"] == 0 and late["waiting"] > 10 and "again" in late["last-error"], late
    os.unlink(src.inside(f"{LATE}.down"))
    told_all(src, "hooks", "late")
    expected = [(r["kind"], r.get("to"), r["time"]) for r in
                before + watched.followers["src"].records]
    for folder in (HOOKS, LATE):
        ids, events, once = story(src, folder)
        numbers = [int(i.rsplit("-", 1)[1]) for i in once]
        assert numbers == list(range(1, len(numbers) + 1)), numbers
        assert len(ids) - len(once) <= 1, ids
        got = [(e["kind"], e.get("to"), e["time"]) for e in events]
        missing = [e for e in expected if e not in got]
        assert not missing, f"{folder}: {missing}"
        print(f"# {folder}: {len(once)} events, {len(ids) - len(once)} of them twice")
    assert story(src, HOOKS)[1:] == story(src, LATE)[1:]


def restart_buses(watched):
    """What was told before is asked for anew: followers end with the bus."""
    for host in watched.lab.hosts:
        host.restart_bus()
    for host in watched.lab.hosts:
        wait_for(lambda: host.ctl("list").rc == 0, 30, f"postcopyd of {host.name} on the new bus")
        watched.followers.pop(host.name).stop()
        watched.followers[host.name] = Follower(host)


def incident(lab, config, new_bus=False):
    """Seconds from the cut to the pause, and from the heal to the recovery, at the source."""
    lab.clean()
    watched = Watched(lab, config=config)
    cut = lab.cut("link-down")
    if new_bus:
        restart_buses(watched)
    paused = watched.followers["src"].wait("phase", "paused", cut.t, 30)["t"] - cut.t
    watched.followers["dst"].wait("phase", "paused", cut.t, 30)
    time.sleep(2)
    cut.heal()
    recovered = watched.followers["src"].wait("phase", "postcopy", cut.t_healed, 60)["t"]
    completed(watched)
    return paused, recovered - cut.t_healed


@case("long-sinks-hang", timeout=600)
def hang(lab):
    """A hook that sleeps for ever, and a receiver that never takes anything, or a bus that restarts:
    incidents are seen and ended as fast as without them, side by side."""
    for host in lab.hosts:
        put_hook(host, HOOKS, "10-sleep", "#!/bin/sh\ntrap '' TERM\nsleep 1000\nsleep 1000\n")
        put_hook(host, LATE, "10-down", "#!/bin/sh\nexit 75\n")
    took = {(CONFIG, False): [], (TWO_SINKS, False): [], (CONFIG, True): []}
    for _ in range(3):
        for how, times in took.items():
            times.append(incident(lab, *how))
            slept = how[0] == TWO_SINKS and "did not end within" in lab.src.postcopyd_log
            assert slept or how[0] == CONFIG
    for what, column in (("pause", 0), ("recovery", 1)):
        without, beside, bus = (statistics.median(t[column] for t in times) for times in took.values())
        print(f"# {what}: {without:.2f} s without sinks, {beside:.2f} s beside those that hang, "
              f"{bus:.2f} s while the bus restarts")
        assert max(beside, bus) <= without * 1.5 + 0.5, (what, took)
