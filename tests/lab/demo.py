#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo: a real VM migrates between two real libvirt hosts, the network dies in mid-postcopy, and
postcopyd sees it and recovers it. Everything it prints after a `$` is what that command printed. Run it as ./demo.

Exit status: 0 all went as promised, 1 something did not, 128 + N ended by signal N.
"""

import argparse
import json
import os
import re
import shlex
import sys
import textwrap
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pcdlab import Lab, ids, verify_memory  # noqa: E402
from pcdlab import lab as lab_module  # noqa: E402
from pcdlab.follower import Follower  # noqa: E402
from pcdlab.wait import wait_for  # noqa: E402

NAME = "guest1"
INDENT = " " * 13
PAUSED_WITHIN = 3.0  # network-timeout of 2 s, and 1 s to notice and tell
CUT_FOR = 6.0  # after some attempts in vain, and well before the next
RECOVERED_WITHIN = 2.0  # from the heal; the delays between attempts are cut short when the peer answers
COMPLETED_WITHIN = 30.0
# The lab's libvirts speak plain TCP: its two hosts have no certificates.
CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
"""
CONFIG_PATH = "/etc/postcopyd/postcopyd.conf"
IDLE_THREAD = r"\d+ .* [A-Z] +no +- +none "  # as `postcopyctl inspect` prints one


class Broken(Exception):
    """Something did not go as promised."""


def promise(kept, text):
    if not kept:
        raise Broken(text)


class Narrator:
    """Prints for people; plain unless it is a terminal."""

    def __init__(self):
        self.began = time.time()
        self.steps = 0
        self.colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ \
            and os.environ.get("TERM") != "dumb"

    def seconds(self):
        return time.time() - self.began

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colours else text

    def line(self, text=""):
        print(text, flush=True)

    def step(self, what, why):
        self.steps += 1
        self.line()
        self.line(self.paint("1;36", f"[{self.seconds():6.1f} s] {self.steps}. {what}"))
        for part in textwrap.wrap(why, 85):
            self.line(self.paint("2", INDENT + part))

    def say(self, text, good=None):
        code = {True: "32", False: "31", None: "0"}[good]
        for part in textwrap.wrap(text, 85, break_on_hyphens=False):
            self.line(INDENT + self.paint(code, part))

    def command(self, where, text):
        self.line(self.paint("1", f"  {where}$ {text}"))

    def output(self, text):
        for line in text.rstrip("\n").splitlines():
            self.line(f"  {line}".rstrip())


class Demo:
    def __init__(self, lab, tell):
        self.lab = lab
        self.tell = tell
        self.sides = {host.name: host for host in lab.hosts}
        self.followers = {}
        self.rows = {}
        self.vm = self.migration = self.cut = None

    # What people would type

    def ctl(self, side, *words, keep=None, rest="more lines", good=(0,)):
        """Runs postcopyctl there and shows what it prints; `keep` picks lines, `rest` says what the
        others are."""
        done = self.sides[side].ctl(*words, timeout=20)
        self.tell.command(side, "postcopyctl " + shlex.join(words))
        lines = done.out.splitlines()
        kept = [line for line in lines if keep is None or keep(line)]
        self.tell.output("\n".join(kept))
        if len(kept) < len(lines):
            self.tell.output(f"({len(lines) - len(kept)} {rest})")
        promise(done.rc in good, f"postcopyctl {shlex.join(words)} on {side}: exit {done.rc}: "
                              f"{done.err.strip()}")
        return done.out

    def known(self, side):
        """What postcopyd on that side knows of our migration; None if nothing."""
        done = self.sides[side].ctl("status", NAME, "--json")
        found = json.loads(done.out)["migrations"] if done.rc == 0 else []
        return found[0] if found else None

    # The two views, side by side

    def look(self, side):
        """(what libvirt says, what postcopyd says) of a side, now."""
        state = self.sides[side].domstate(NAME)
        libvirt = f"{state[0]} ({state[1]})" if state else "no such domain"
        known = self.known(side)
        if known is None:
            return libvirt, "nothing"
        words = [known["phase"], known["flow"] if known["phase"] == "postcopy" else "",
                 f"cause {known['cause']}" if known["cause"] != "none" else ""]
        if known["blocked-vcpus"] and known["phase"] in ("postcopy", "paused", "recovering"):
            words.append(f"{known['blocked-vcpus']} of {known['vcpus']} vCPUs blocked")
        return libvirt, ", ".join(word for word in words if word and word != "none")

    def show_views(self, since):
        """A line for each side that changed."""
        for side in self.sides:
            views = self.look(side)
            if self.rows.get(side) != views:
                self.rows[side] = views
                at = f"+{time.monotonic() - since:5.1f} s"
                self.tell.line(f"  {at:>9}  {side}  libvirt: {views[0]:<27} "
                               f"postcopyd: {self.tell.paint('33', views[1])}")

    def watch(self, since, until, timeout, what):
        """Shows both views until `until` is true."""
        self.rows.clear()
        deadline = time.monotonic() + timeout
        while True:
            self.show_views(since)
            if until():
                self.show_views(since)
                return
            promise(time.monotonic() < deadline, f"{what}: not within {timeout:g} s")
            time.sleep(0.2)

    def told(self, side, kind, to, since):
        return self.followers[side].find(kind, to, since)

    # The steps

    def hosts(self):
        self.tell.step("Two libvirt hosts, src and dst, joined by a network cable",
                       "Each has its own network, libvirtd and QEMU, so that all is real but the "
                       "distance.")
        self.lab.up()
        self.tell.say(f"lab {self.lab.id}; the VM will use "
                      f"{'KVM' if self.lab.state['kvm'] else 'TCG'}")

    def probe(self):
        self.tell.step("What can this kernel do with a vCPU that waits for a page?",
                       "It decides what may be sent to a stuck QEMU; version numbers do not tell, "
                       "so it is measured.")
        self.ctl("dst", "probe", good=(0, 1))  # 1: it could not be measured, as without KVM

    def daemons(self):
        self.tell.step("postcopyd on both hosts",
                       "They do not talk to each other: each acts on what it can see itself. All "
                       "they are told is how the hosts' libvirts reach each other.")
        self.tell.command("src", f"cat {CONFIG_PATH}")
        self.tell.output(CONFIG)
        for side, host in self.sides.items():
            host.write(CONFIG_PATH, CONFIG)
            host.start_postcopyd(["--config", CONFIG_PATH])
            self.followers[side] = Follower(host)
        self.ctl("src", "--version")

    def guest(self):
        self.tell.step(f"A VM, {NAME}, that writes all of its memory again and again",
                       "It numbers every page, so that we can tell afterwards whether a single one "
                       "was lost.")
        self.vm = self.lab.vm(NAME, mib=200, vcpus=2)
        wait_for(lambda: self.vm.ticks() >= 1, 30, "the first round of the guest")
        self.tell.say("2 vCPUs, 200 MiB, running on src")

    def migrate(self):
        self.tell.step("Migrate it, and switch to post-copy",
                       "The guest now runs on dst while most of its memory is still on src: neither "
                       "half is complete.")
        self.migration = self.lab.migrate(self.vm, postcopy_bandwidth=2)
        self.tell.command("src", f"virsh migrate --live --postcopy --p2p {NAME} "
                                 "qemu+tcp://10.9.0.2/system ... &")
        self.migration.to_postcopy(1)
        self.tell.command("src", f"virsh migrate-postcopy {NAME}")
        for side, follower in self.followers.items():
            record = follower.wait("armed", "armed", time.monotonic() - 10, 15)
            self.tell.say(f"{side}: postcopyd watches {record.get('detail', 'the connection')}")
        for side in self.sides:
            self.ctl(side, "list")

    def break_network(self):
        self.tell.step("Pull the cable",
                       "No packet says goodbye. Without postcopyd, libvirt on src told of it after 28 s, "
                       "and nobody on dst within 180 s (tests/bench/detect).")
        self.cut = self.lab.cut("link-down")
        since = self.cut.t
        self.tell.command("src", "ip link set mig0 down")

        def both_paused():
            return all(self.told(side, "phase", "paused", since) and
                       self.told(side, "cause", None, since) for side in self.sides)
        self.watch(since, both_paused, 20, "both postcopyds say paused, with a cause")
        for side in self.sides:
            took = self.told(side, "phase", "paused", since)["t"] - since
            cause = self.told(side, "cause", None, since)
            self.tell.say(f"{side}: paused {took:.2f} s after the cut, cause {cause['to']}: "
                          f"{cause.get('detail', 'no detail')}", True)
            promise(took <= PAUSED_WITHIN,
                    f"{side}: {took:.2f} s until paused, promised {PAUSED_WITHIN:g} s")
            promise(cause["to"] == "network", f"{side}: cause {cause['to']}, promised network")

    def inspect(self):
        self.tell.step("Which threads of QEMU on dst hang, and on what?",
                       "A blocked vCPU sleeps in the kernel until its page comes; a command that "
                       "waits for it would hang libvirt too.")
        text = self.ctl("dst", "inspect", NAME,
                        keep=lambda line: not re.match(IDLE_THREAD, line),
                        rest="threads that wait for no page are left out here")
        promise(re.search(r"^\d+ .* (yes|unknown) +[>\d]", text, re.M),
                "no thread of dst's QEMU is blocked")

    def status(self):
        self.tell.step("What does postcopyd on src do about it?",
                       "Its policy, `recover`, is the default. It tries at once, and again as soon as "
                       "the destination's libvirt answers.")
        time.sleep(max(0, self.cut.t + CUT_FOR - time.monotonic()))
        text = self.ctl("src", "status", NAME)
        promise("lost: 10.9.0.1:" in text and "mig0" in text and "peer silent for" in text,
                "status does not say which network failed")

    def heal(self):
        self.tell.step("Plug the cable in again, and only look",
                       "QEMU waits for a new connection, and would wait for ever. postcopyd on src asks "
                       "for it as soon as dst answers.")
        self.cut.heal()
        self.tell.command("src", "ip link set mig0 up")
        since = self.cut.t_healed

        def flows_again():
            return all(self.told(side, "phase", "postcopy", since) for side in self.sides)
        self.watch(since, flows_again, RECOVERED_WITHIN + 1, "both postcopyds say postcopy again")
        took = max(self.told(side, "phase", "postcopy", since)["t"] for side in self.sides) - since
        self.tell.say(f"recovered {took:.2f} s after the heal, and nobody typed a command", True)
        promise(took <= RECOVERED_WITHIN,
                f"{took:.2f} s from the heal to postcopy, promised {RECOVERED_WITHIN:g} s")
        wait_for(self.recovered_by_postcopyd, 5, "src's postcopyd saying that it recovered this")

    def recovered_by_postcopyd(self):
        return any(record["kind"] == "action" and (record["from"], record["to"]) == ("recover", "done")
                   for record in self.followers["src"].records if record["t"] >= self.cut.t)

    def complete(self):
        self.tell.step("Let it finish",
                       "It was slowed down to 2 MiB/s so that there was time to break it, and a "
                       "recovery keeps such a limit. Now it may go at full speed.")
        since = self.cut.t_healed
        self.sides["src"].virsh("migrate-setspeed", NAME, "1000", "--postcopy")
        self.tell.command("src", f"virsh migrate-setspeed {NAME} 1000 --postcopy")

        def completed():
            return all(self.told(side, "phase", "completed", since) for side in self.sides)
        self.watch(since, completed, COMPLETED_WITHIN, "both postcopyds say completed")
        self.tell.say("completed on both sides", True)

    def verify(self):
        self.tell.step("Is every page there?",
                       "The guest's memory on dst is read and each page's number checked.")
        before = self.vm.ticks("dst")
        rounds = verify_memory(self.vm)
        wait_for(lambda: self.vm.ticks("dst") > before, 20, "sign of life of the guest on dst")
        self.tell.say(f"{self.vm.mib * 256} pages checked, 0 wrong; the guest is in round "
                      f"{', '.join(map(str, rounds))} and goes on", True)

    def journal(self):
        self.tell.step("What does the journal say, afterwards?",
                       "Each action is on disk before it is begun; a crash in between is seen. This "
                       "needs no daemon.")
        listed = json.loads(self.sides["src"].ctl("incident", "list", "--json").out)
        promise([entry["how"] for entry in listed] == ["completed"], f"journal of src: {listed}")
        self.ctl("src", "incident", "list")
        self.ctl("src", "incident", "show", str(listed[0]["id"]))

    def run(self):
        for step in (self.hosts, self.probe, self.daemons, self.guest, self.migrate,
                     self.break_network, self.inspect, self.status, self.heal, self.complete,
                     self.verify, self.journal):
            step()


def clean_up(lab, tell):
    tell.step("Clean up", "VMs, daemons, namespaces and files of the two hosts go.")
    lab.down()
    left = [f"/run/netns/{ids.netns(lab.id, name)}" for name in ids.HOSTS] + [lab.dir]
    left = [path for path in left if os.path.exists(path)]
    promise(not left, f"left behind: {' '.join(left)}")
    tell.say("nothing left")


def explain(lab, problem):
    """Why it failed, and where to read more; the lab is still up."""
    path = os.path.join(os.environ["PCD_BUILD"], "demo-failure.log")
    with open(path, "w") as log:
        lab.dump(log)
    print(f"\ndemo: FAILED: {problem}\nThe logs of both hosts are in {path}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tcg", action="store_true", help="emulate the VM even where KVM works")
    args = parser.parse_args()
    lab_module.take_down_on_signals()
    lab_module.take_down_stale()
    tell = Narrator()
    lab = Lab(tcg=args.tcg)
    try:
        Demo(lab, tell).run()
        clean_up(lab, tell)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")
        return 1
    except SystemExit:
        print("\ndemo: interrupted; cleaning up", file=sys.stderr)
        raise
    except Exception as problem:
        explain(lab, problem)
        return 1
    finally:
        lab.down()
    tell.line()
    tell.line(tell.paint("1;32", f"demo: all as promised, in {tell.seconds():.0f} s"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
