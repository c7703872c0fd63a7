# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rows of Debian's kernels: the three classic tests by hand and through postcopyd, on two emulated
machines, and what else a kernel must show. Reports what it sees; the table judges."""

import json
import time

from . import fixtures, rawtests, service
from .report import milliseconds
from .shell import HarnessError, run

CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
"""
ALLOW = CONFIG + "[host]\nallow-destroy = yes\n"
MIB = 64
VERDICT = {"6.1": "none", "6.12": "slow-path"}


class Row:
    def __init__(self, report, row, pair, record_to=None):
        self.report, self.row, self.pair, self.record_to = report, row, pair, record_to
        self.src, self.dst = pair.src, pair.dst
        self.raw, self.ours = {}, {}
        self.slowness = 1.0

    def check(self, good, name, detail=""):
        return self.report.check(bool(good), f"{self.row}: {name}", detail)

    def measure_slowness(self):
        inside = self.dst.measure()
        outside = float(run(["/usr/bin/python3", __file__.replace("pcdkern/emulated.py",
                                                                  "inside/slowness.py")]))
        self.slowness = max(1.0, inside / outside)
        self.report.say(f"{self.row}: the machine is {self.slowness:.0f} times slower than this one "
                        f"({inside:.2f} s for {outside:.3f} s); deadlines x {self.dst.slower:.1f}")

    def stuck(self, *names, **options):
        """Domains in post-copy whose vCPU waits for a page behind a cut network."""
        for name in names:
            self.pair.start_domain(name, mib=MIB, **options)
            self.pair.keep_capabilities()
        self.pair.to_postcopy(*names)
        return self.pair.cut()

    # by hand

    def by_hand(self):
        names = dict(zip(rawtests.TESTS, ("r1", "r2", "r3")))
        self.stuck(*names.values())
        for what, name in names.items():
            self.pair.wait_blocked(name)
            self.raw[what] = rawtests.TESTS[what](self.pair, name)
            self.report.say(f"{self.row}: {what} by hand: {self.raw[what][0]}, "
                            f"{milliseconds(self.raw[what][1])}")
        for name in names.values():
            self.pair.destroy(name)
        self.pair.heal()

    # through postcopyd

    def status(self, machine, name):
        done = machine.run("postcopyctl", "status", name, "--json", check=False)
        found = json.loads(done.out)["migrations"] if done.rc == 0 else []
        return found[0] if found else {}

    def wait_phase(self, machine, name, phase, timeout=60):
        self.pair.wait_for(lambda: self.status(machine, name).get("phase") == phase, timeout,
                 lambda: f"phase {phase} of {name} on {machine.name} (status: "
                         f"{self.status(machine, name).get('phase')})", 0.3)

    def ctl(self, *argv, machine=None, timeout=90):
        done = (machine or self.dst).run("postcopyctl", *argv, check=False, timeout=timeout)
        self.report.say(f"{self.row}: postcopyctl {' '.join(argv)}: exit {done.rc} in "
                        f"{milliseconds(done.seconds)}: {' '.join((done.out + done.err).split())[:300]}")
        return done

    def through_postcopyd(self):
        names = ("p1", "p2")
        self.stuck(*names)
        for name in names:
            for machine in (self.dst, self.src):
                self.wait_phase(machine, name, "paused")
        self.pair.wait_blocked("p1")
        self.debugger("p1")
        self.hold_still("p1")
        self.destroy("p2")
        self.report.guarded(f"{self.row}: stopped service", lambda: service.stopped_in_incident(self, "p1"))
        self.report.guarded(f"{self.row}: hung service", lambda: service.hung_in_incident(self, "p1"))
        self.recover("p1")

    def debugger(self, name):
        """What gdb would do is told beforehand, and the verb does no harm."""
        threads = json.loads(self.dst.run("postcopyctl", "inspect", name, "--json").out)["threads"]
        blocked = [t for t in threads if t["blocked"] in ("yes", True)]
        self.check(blocked, "inspect names the thread that waits", json.dumps(blocked)[:300])
        pid = self.pair.pid(self.dst, name)
        done = self.ctl("debug", name, "--limit", "60s", timeout=120)
        if done.rc == 0:
            self.check("CPU 0/KVM" in done.out, "debug shows the vCPU's backtrace")
            self.ours["gdb"] = ("debug: done", done.seconds)
        else:
            self.check("CPU 0/KVM" in done.err and "kvm-slow-page-fault" in done.err,
                       "the refusal of debug names thread and path", done.err.strip())
            stacks = self.ctl("debug", name, "--mode", "stacks")
            self.check("handle_userfault" in stacks.out, "debug --mode stacks works all the same")
            self.ours["gdb"] = ("debug: refused; stacks " + ("done" if stacks.rc == 0 else "fail"),
                                done.seconds)
        out = self.dst.sh(f"grep -h -E '^(State|TracerPid|ShdPnd):' /proc/{pid}/status").out
        self.check("TracerPid:\t0\n" in out and "State:\tt" not in out and "State:\tT" not in out,
                   "QEMU is neither traced nor stopped afterwards", out)

    def hold_still(self, name):
        """stop, and where that is refused freeze."""
        done = self.ctl("stop", name)
        if done.rc == 0:
            self.ours["QMP `stop`"] = ("done", done.seconds)
        else:
            self.check("CPU 0/KVM" in done.err and "kvm-slow-page-fault" in done.err,
                       "the refusal of stop names thread and path", done.err.strip())
            # Nothing has happened, so it can be asked again: what else runs here only ever adds time.
            fastest = min([done, self.ctl("stop", name), self.ctl("stop", name)], key=lambda d: d.seconds)
            self.measure_slowness()
            self.check(fastest.seconds <= 0.05 * self.slowness, "stop is refused within 50 ms x slowness",
                       f"{milliseconds(fastest.seconds)}, slowness {self.slowness:.0f}")
            frozen = self.ctl("freeze", name)
            self.ours["QMP `stop`"] = ("refused; freeze " + ("done" if frozen.rc == 0 else "fails"),
                                       fastest.seconds)
        before = self.pair.serial(self.dst, name)
        time.sleep(2)
        self.check(self.pair.serial(self.dst, name) == before, "the guest stands still")

    def destroy(self, name):
        order = ("--order", "destination-first", "--without-proof")
        refused = self.ctl("destroy", name, *order)
        self.check(refused.rc == 1 and "allow-destroy" in refused.err and self.pair.pid(self.dst, name),
                   "destroy without allow-destroy says so and does nothing", refused.err.strip())
        self.configure(self.dst, ALLOW)
        done = self.ctl("destroy", name, *order)
        gone = self.pair.pid(self.dst, name) is None
        self.ours["Ctrl-C"] = ("destroy: refused without allow-destroy, else " +
                               ("done" if done.rc == 0 and gone else "fails"), done.seconds)
        self.configure(self.dst, CONFIG)
        self.pair.destroy(name)

    def configure(self, machine, text):
        machine.put("/etc/postcopyd/postcopyd.conf", text.encode())
        count = "journalctl -b -u postcopyd | grep -c 'configuration reloaded'"
        before = int(machine.sh(count, check=False).out)
        machine.run("systemctl", "reload", "postcopyd")
        self.pair.wait_for(lambda: int(machine.sh(count, check=False).out) > before, 30,
                 lambda: "reload: " + service.log(machine))

    def recover(self, name):
        """Heal: the policy of the source recovers, nobody asks it to."""
        self.pair.heal()
        began = time.monotonic()
        self.pair.wait_for(lambda: self.status(self.src, name).get("phase") != "paused", 60,
                 "recovery by policy", 0.3)
        self.src.run("virsh", "migrate-setspeed", name, "1000", "--postcopy", check=False)
        self.pair.wait_for(lambda: self.pair.is_completed(name), 120, f"completion of {name}")
        took = time.monotonic() - began
        self.wait_phase(self.dst, name, "completed")
        resumed = self.ctl("resume", name)
        before = self.pair.serial(self.dst, name)
        ticks = self.pair.wait_for(lambda: self.pair.serial(self.dst, name) != before, 60, f"tick of {name}")
        verified = self.pair.verify(name, MIB)
        self.check(ticks and resumed.rc == 0 and "verified" in verified,
                   f"recovered by policy {took:.1f} s after the heal, resumed, memory sound", verified)
        outcome, seconds = self.ours["QMP `stop`"]
        self.ours["QMP `stop`"] = (outcome + "; recovered by policy, memory verified", seconds)
        self.pair.destroy(name)

    def protect(self):
        """Policy protect: the guest is stopped by itself, and goes on by itself."""
        self.pair.start_domain("q1", mib=MIB, policy="protect")
        self.pair.to_postcopy("q1")
        _, cut = self.pair.cut()

        def told():
            out = self.dst.run("postcopyctl", "events", "--json").out
            for line in out.splitlines():
                record = json.loads(line)
                if record["monotonic-usec"] / 1e6 >= cut - 1 and record["kind"] == "action" and \
                        (record["from"], record["to"]) == ("stop", "done"):
                    return record["monotonic-usec"] / 1e6
            return None
        stopped = self.pair.wait_for(told, 60, lambda: "stop by policy protect; told: " +
                           self.dst.run("postcopyctl", "events").out[-1500:])
        paused = [json.loads(line) for line in
                  self.dst.run("postcopyctl", "events", "--json").out.splitlines()]
        paused = [r["monotonic-usec"] / 1e6 for r in paused
                  if r["kind"] == "phase" and r.get("to") == "paused"
                  and r["monotonic-usec"] / 1e6 >= cut - 1][0]
        before = self.slowness  # what else runs here comes and goes: the slower of before and after
        self.measure_slowness()
        bound = 10 + 0.2 * max(before, self.slowness)
        self.check(stopped - paused <= bound, "protect: guest stopped within the step's 10 s + 200 ms x "
                   f"{(bound - 10) / 0.2:.0f} of the pause", f"{stopped - paused:.2f} s; "
                   f"{stopped - cut:.2f} s after the cut")
        self.pair.heal()
        self.pair.wait_for(lambda: self.status(self.src, "q1").get("phase") != "paused", 60, "recovery", 0.3)
        self.src.run("virsh", "migrate-setspeed", "q1", "1000", "--postcopy", check=False)
        self.pair.wait_for(lambda: self.pair.is_completed("q1"), 120, "completion of q1")
        before = self.pair.serial(self.dst, "q1")
        self.pair.wait_for(lambda: self.pair.serial(self.dst, "q1") != before, 60, "tick after the resume")
        self.check("verified" in self.pair.verify("q1", MIB), "protect: resumed by itself, memory sound")
        self.pair.destroy("q1")

    def nothing_left(self):
        for machine in self.pair.machines:
            left = ""

            # What reads its own program from the disk sleeps as deep as one that is stuck, but not for long.
            def is_clean(machine=machine):
                nonlocal left
                left = machine.sh("ps -eo pid,stat,comm | grep -E 'qemu-system|gdb|pcd-probe' ; "
                                  "ps -eo pid,stat,wchan:20,comm | awk '$2 ~ /^D/'", check=False).out.strip()
                return not left
            try:
                self.pair.wait_for(is_clean, 30, "the end of every process")
            except HarnessError:
                pass  # told below, with what is left
            self.check(not left, f"no process is left behind on {machine.name}", left)

    def probe(self):
        done = self.dst.run("postcopyctl", "probe", "--json", check=False)
        probe = json.loads(done.out)
        self.check((probe["how"], probe["verdict"]) == ("measured", VERDICT.get(self.row,
                                                                               probe["verdict"])),
                   "probe", f"{probe['verdict']}, {probe['how']}")

    def run(self):
        guarded = self.report.guarded
        guarded(f"{self.row}: slowness", self.measure_slowness)
        if self.record_to:
            guarded(f"{self.row}: fixtures", lambda: fixtures.record_guests(self, self.record_to))
            guarded(f"{self.row}: devices", lambda: fixtures.record_devices(self, self.record_to))
        guarded(f"{self.row}: by hand", self.by_hand)
        guarded(f"{self.row}: install", lambda: service.install(self, CONFIG))
        guarded(f"{self.row}: probe", self.probe)
        guarded(f"{self.row}: service", lambda: service.quiet_checks(self))
        self.configure(self.dst, CONFIG)
        guarded(f"{self.row}: through postcopyd", self.through_postcopyd)
        if VERDICT.get(self.row) != "none":
            guarded(f"{self.row}: protect", self.protect)
        guarded(f"{self.row}: nothing left", self.nothing_left)
        for what in rawtests.TESTS:
            raw, ours = self.raw.get(what, ("not tried", None)), self.ours.get(what, ("not tried", None))
            self.report.cell(self.row, f"({self.pair.kernel.release}, kvm-amd)", what, raw[0],
                             milliseconds(raw[1]), ours[0], milliseconds(ours[1]))
