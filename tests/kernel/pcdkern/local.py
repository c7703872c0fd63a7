# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rows of this machine itself: its own KVM and TCG, in the two-host lab of tests/lab. The same
tests and the same words as on the emulated machines."""

import glob
import os
import re
import signal
import subprocess
import time

from .rawtests import GDB_HANG, HANG
from .report import milliseconds
from .shell import wait_for

CONFIG = """\
[recover]
libvirt-uri = qemu+tcp://{address}/system
"""
ALLOW = CONFIG + "[host]\nallow-destroy = yes\n"


def _blocked(pid):
    """The kernel stack of vCPU 0, if it waits for a page."""
    for task in glob.glob(f"/proc/{pid}/task/*"):
        try:
            with open(task + "/comm") as comm, open(task + "/stack") as stack:
                if re.match(r"CPU 0/", comm.read()):
                    text = stack.read()
                    return text if "handle_userfault" in text else None
        except OSError:
            pass  # the thread has ended
    return None


class LocalRow:
    """Row `kvm` or `tcg`."""

    def __init__(self, report, row):
        from pcdlab import Lab, verify_memory
        from pcdlab.host import Host
        from pcdlab.watched import Watched
        self.report, self.row = report, row
        self.Watched, self.verify_memory = Watched, verify_memory
        self.lab = Lab(hook=Host.build_path("postcopyd-hook"), tcg=row == "tcg")
        self.raw, self.ours = {}, {}

    def check(self, good, name, detail=""):
        return self.report.check(bool(good), f"{self.row}: {name}", detail)

    # by hand

    def stuck(self, name):
        vm = self.lab.vm(name, mib=200, monitor=True)
        self.lab.migrate(vm, postcopy_bandwidth=1).to_postcopy(1)
        cut = self.lab.cut("link-down")
        pid = self.lab.dst.qemu_pid(name)
        wait_for(lambda: _blocked(pid), 60, f"vCPU of {name} that waits for a page", 0.1)
        return vm, pid, cut

    def stop(self, vm, pid):
        monitor = vm.qmp("dst", oob=False)
        began = time.monotonic()
        try:
            monitor.command("stop", timeout=HANG)
            return "stops the guest", time.monotonic() - began
        except TimeoutError:
            return "hangs, the monitor too", time.monotonic() - began
        finally:
            monitor.close()

    def ctrl_c(self, vm, pid):
        began = time.monotonic()
        os.kill(pid, signal.SIGINT)
        while time.monotonic() < began + HANG:
            if self.lab.dst.qemu_pid(vm.name) != pid:
                return "QEMU ends, the guest is lost", time.monotonic() - began
            time.sleep(0.02)
        return "nothing, the signal is kept", time.monotonic() - began

    def gdb(self, vm, pid):
        began = time.monotonic()
        with subprocess.Popen(["gdb", "-nx", "-batch", "-p", str(pid), "-ex", "info threads"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as child:
            try:
                out = child.communicate(timeout=GDB_HANG)[0]
            except subprocess.TimeoutExpired:
                child.kill()
                return "hangs", time.monotonic() - began
        return "attaches" if "CPU 0/" in out else "hangs", time.monotonic() - began

    def by_hand(self):
        for number, (what, test) in enumerate((("QMP `stop`", self.stop), ("Ctrl-C", self.ctrl_c),
                                               ("gdb", self.gdb))):
            vm, pid, cut = self.stuck(f"r{number}")
            self.raw[what] = test(vm, pid)
            self.report.say(f"{self.row}: {what} by hand: {self.raw[what][0]}, "
                            f"{milliseconds(self.raw[what][1])}")
            cut.heal()
            vm.destroy()
        self.lab.clean()

    # through postcopyd

    def ctl(self, host, *argv):
        done = host.ctl(*argv, timeout=40)
        self.report.say(f"{self.row}: postcopyctl {' '.join(argv)}: exit {done.rc} in "
                        f"{milliseconds(done.seconds)}: {' '.join((done.out + done.err).split())[:300]}")
        return done

    def mount_cgroup2(self, _):
        """`ip netns exec` hides the machine's cgroup mounts; libvirt, started before, is to use none."""
        for host in self.lab.hosts:
            if "cgroup2" not in host.run("cat", "/proc/self/mounts").out:
                host.run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")

    def paused(self):
        watched = self.Watched(self.lab, config=CONFIG, before=self.mount_cgroup2)
        cut = self.lab.cut("link-down")
        watched.both_paused(cut.t, 30, "network")
        wait_for(lambda: _blocked(self.lab.dst.qemu_pid(watched.vm.name)), 60, "blocked vCPU", 0.1)
        return watched, cut

    def through_postcopyd(self):
        watched, cut = self.paused()
        name, dst = watched.vm.name, self.lab.dst
        self.debugger(name)
        outcome, seconds = self.hold_still(watched)
        cut.heal()
        watched.hurry()
        watched.migration.wait_completed(120)
        watched.followers["dst"].wait("phase", "completed", cut.t, 180)
        self.ctl(dst, "resume", name)
        ticks = watched.vm.ticks("dst")
        wait_for(lambda: watched.vm.ticks("dst") > ticks, 60, "tick of the guest", 0.1)
        self.report.say(f"{self.row}: {self.verify_memory(watched.vm, 'dst')}")
        self.ours["QMP `stop`"] = (outcome + "; recovered by policy, memory verified", seconds)

    def debugger(self, name):
        done = self.ctl(self.lab.dst, "debug", name, "--limit", "30s")
        if done.rc == 0:
            self.check("CPU 0/" in done.out, "debug shows the vCPU's backtrace")
            self.ours["gdb"] = "debug: done", done.seconds
            return
        self.check("CPU 0/" in done.err, "the refusal of debug names the thread", done.err.strip())
        stacks = self.ctl(self.lab.dst, "debug", name, "--mode", "stacks")
        self.check("handle_userfault" in stacks.out, "debug --mode stacks works all the same")
        self.ours["gdb"] = ("debug: refused; stacks " + ("done" if stacks.rc == 0 else "fail"),
                            done.seconds)

    def hold_still(self, watched):
        done = self.ctl(self.lab.dst, "stop", watched.vm.name)
        if done.rc == 0:
            return "done", done.seconds
        self.check("CPU 0/" in done.err, "the refusal of stop names the thread", done.err.strip())
        # That of the process, too: the daemon's own part is what tests/lab measures. What else runs here
        # only ever adds time.
        again = [self.ctl(self.lab.dst, "stop", watched.vm.name) for _ in range(2)]
        fastest = min(d.seconds for d in (done, *again))
        self.check(fastest < 0.5, "stop is refused at once", milliseconds(fastest))
        frozen = self.ctl(self.lab.dst, "freeze", watched.vm.name)
        before = watched.vm.serial("dst")
        time.sleep(1)
        self.check(watched.vm.serial("dst") == before, "the guest stands still")
        return "refused; freeze " + ("done" if frozen.rc == 0 else "fails"), fastest

    def destroy(self):
        self.lab.clean()
        watched, cut = self.paused()
        name, dst = watched.vm.name, self.lab.dst
        order = ("--order", "destination-first", "--without-proof")
        refused = self.ctl(dst, "destroy", name, *order)
        self.check(refused.rc == 1 and "allow-destroy" in refused.err and dst.qemu_pid(name),
                   "destroy without allow-destroy says so and does nothing", refused.err.strip())
        dst.write("/etc/postcopyd/postcopyd.conf", ALLOW)
        os.kill(dst.postcopyd_pid, signal.SIGHUP)
        wait_for(lambda: "configuration reloaded" in dst.postcopyd_log, 30, "word of the reload", 0.1)
        done = self.ctl(dst, "destroy", name, *order)
        gone = dst.qemu_pid(name) is None
        self.ours["Ctrl-C"] = ("destroy: refused without allow-destroy, else " +
                               ("done" if done.rc == 0 and gone else "fails"), done.seconds)
        cut.heal()

    def run(self):
        guarded = self.report.guarded
        with self.lab:
            for name, part in (("by hand", self.by_hand), ("through postcopyd", self.through_postcopyd),
                               ("destroy", self.destroy)):
                guarded(f"{self.row}: {name}", part)
        module = "kvm_pvm" if os.path.isdir("/sys/module/kvm_pvm") else "KVM"
        backend = module if self.row == "kvm" else "no KVM"
        for what in ("QMP `stop`", "Ctrl-C", "gdb"):
            raw, ours = self.raw.get(what, ("not tried", None)), self.ours.get(what, ("not tried", None))
            self.report.cell(self.row, f"({os.uname().release}, {backend})", what, raw[0],
                             milliseconds(raw[1]), ours[0], milliseconds(ours[1]))
