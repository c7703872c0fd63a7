# SPDX-License-Identifier: LGPL-2.1-or-later
"""Somebody outside forbids an action: it waits for exactly as long as that is said, and what the
hook does otherwise, sleeping for ever or being anybody's, costs no more than its time-out."""

import json
import os
import shutil
import time

from pcdlab import verify_memory
from pcdlab.case import case
from pcdlab.wait import wait_for
from pcdlab.watched import TIMEOUT, Watched

EXAMPLE = os.path.realpath(os.path.join(
    os.path.dirname(__file__), "../../../docs/examples/veto-fenced-host"))
HOOK = "/etc/postcopyd/veto.d/fenced-host"
CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
[veto]
command = /etc/postcopyd/veto.d
timeout = 2s
retry = 1s
"""


def install(lab, source=EXAMPLE, mode=0o755):
    for host in lab.hosts:
        target = host.inside(HOOK)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)
        os.chmod(target, mode)


def write_hook(lab, script, mode=0o755):
    for host in lab.hosts:
        host.write(HOOK, f"#!/bin/sh\n{script}\n")
        os.chmod(host.inside(HOOK), mode)


def actions(watched, side, since=0.0):
    return [r for r in watched.followers[side].records
            if r["kind"] == "action" and r["t"] >= since]


def completed(watched):
    def told():
        watched.hurry()
        return all(f.find("phase", "completed") for f in watched.followers.values())
    wait_for(told, 60, "completion told on both sides", 0.5)
    print(f"# {verify_memory(watched.vm, 'dst')}")


def incident(host):
    """The timeline of the one incident in this host's journal."""
    def ask(*args):
        done = host.ctl("incident", *args, "--json", "--state-dir", "/var/lib/postcopyd")
        assert done.rc == 0, done
        return json.loads(done.out)
    listed = ask("list")
    assert len(listed) == 1, listed
    return ask("show", str(listed[0]["id"]))["timeline"]


@case("long-veto-holds", timeout=180)
def holds(lab):
    """The example for a fenced host: not recovered after a heal for as long as it forbids that, and
    soon after; the journal and status name the hook and its reason."""
    install(lab)
    lab.src.write("/run/fencing/this-host", "node src is being fenced by pacemaker\n")
    watched = Watched(lab, config=CONFIG)
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    told = watched.followers["src"].wait("action", "vetoed", cut.t, 30)
    assert told["from"] == "recover" and HOOK in told["detail"], told
    assert "node src is being fenced by pacemaker" in told["detail"], told
    cut.heal()
    time.sleep(8)
    begun = [r for r in actions(watched, "src", cut.t)
             if (r["from"], r["to"]) == ("recover", "started")]
    assert begun == [], begun
    status = watched.status("src")
    assert status["phase"] == "paused" and [
        (veto["action"], veto["by"], veto["reason"]) for veto in status["vetoes"]] == [
            ("recover", HOOK, "node src is being fenced by pacemaker")], status
    text = lab.src.ctl("status", watched.vm.name).out
    assert f"Vetoed:    recover, by {HOOK}: node src is being fenced by pacemaker" in text, text
    os.unlink(lab.src.inside("/run/fencing/this-host"))
    lifted = time.monotonic()
    over = watched.followers["src"].wait("action", "permitted", lifted, 10)
    back = watched.followers["dst"].wait("phase", "postcopy", lifted, 15)
    print(f"# permitted {over['t'] - lifted:.2f} s and first page {back['t'] - lifted:.2f} s after "
          f"the veto was lifted")
    assert over["t"] - lifted <= 5, over
    completed(watched)
    assert watched.status("src")["vetoes"] == []
    events = [entry["event"] for entry in incident(lab.src) if entry["type"] == "event"]
    story = [(entry.get("from"), entry.get("to"), entry.get("detail")) for entry in events
             if entry.get("from") == "recover" and entry.get("to") in ("vetoed", "permitted")]
    assert [entry[1] for entry in story] == ["vetoed", "permitted"], story
    assert HOOK in story[0][2] and HOOK in story[1][2], story


@case("long-veto-sleeps", timeout=180)
def sleeps(lab):
    """A hook that sleeps for ever, and default = allow: the first attempt waits for the time-out and
    for nothing else, detection does not; what the hook began is killed with it."""
    write_hook(lab, "sleep 98765 &\nsleep 98765")
    watched = Watched(lab, config=CONFIG)
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    paused = watched.followers["src"].find("phase", "paused", cut.t)["t"]
    told = watched.followers["src"].wait("action", "unanswered", cut.t, 30)
    assert HOOK in told["detail"] and "did not answer within 2 s" in told["detail"], told
    begun = wait_for(lambda: [r for r in actions(watched, "src", cut.t)
                              if (r["from"], r["to"]) == ("recover", "started")], 20, "an attempt")
    took = begun[0]["t"] - paused
    print(f"# the first attempt began {took:.2f} s after the pause")
    assert 2.0 <= took <= 6.0, took
    cut.heal()
    watched.followers["dst"].wait("phase", "postcopy", cut.t_healed, 20)
    completed(watched)
    left = wait_for(lambda: not lab.src.run("pgrep", "-f", "sleep 98765", check=False).out, 10,
                    "end of what the hook began")
    assert left


@case("long-veto-refused", timeout=180)
def refused(lab):
    """A hook that anybody may write is named at the start and by --check-config, and not run: the
    default holds."""
    write_hook(lab, "echo deny; touch /run/veto-ran", 0o777)
    watched = Watched(lab, config=CONFIG)
    for host in lab.hosts:
        log = host.postcopyd_log
        assert f"{HOOK} is writable by everyone" in log, log
    done = lab.src.run(lab.src.build_path("postcopyd"), "--check-config", "--policy-dir",
                       os.path.realpath(os.path.join(EXAMPLE, "../../../policies")), "--config",
                       "/etc/postcopyd/postcopyd.conf", check=False)
    assert done.rc != 0 and f"{HOOK} is writable by everyone" in done.err, done
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    cut.heal()
    watched.followers["dst"].wait("phase", "postcopy", cut.t_healed, 20)
    told = watched.followers["src"].find("action", "unanswered", cut.t)
    assert told and f"{HOOK} is writable by everyone" in told["detail"], told
    completed(watched)
    assert not os.path.exists(lab.src.inside("/run/veto-ran"))
