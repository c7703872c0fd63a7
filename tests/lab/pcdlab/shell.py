# SPDX-License-Identifier: LGPL-2.1-or-later
"""Actions run by themselves on one side of a pair (tools/act-shell), and how to get there. Must not
know what a case wants of them."""

import json
import select
import subprocess

from .host import Host
from .proc import LabError
from .wait import wait_for


class Shell:
    """Actions on one side of the pair."""

    def __init__(self, lab, side, name="g", monitor=None):
        self.host = getattr(lab, side)
        mount_cgroup2(self.host)
        uuid = self.host.virsh("domuuid", name).out.strip()
        role = "source" if side == "src" else "destination"
        self.child = self.host.popen(
            [Host.build_path("act-shell"), "--role", role, "--uuid", uuid, "--name", name, "--pid",
             self.host.qemu_pid(name), "--connect", "qemu:///system"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if monitor:
            wait_for(lambda: self("ready")["ready"], 10, f"control monitor on {side}")

    def __call__(self, *words, timeout=40):
        self.child.stdin.write(" ".join(words) + "\n")
        self.child.stdin.flush()
        if not select.select([self.child.stdout], [], [], timeout)[0]:
            raise LabError(f"act-shell: no answer to {words} within {timeout} s")
        answer = json.loads(self.child.stdout.readline())
        if "outcome" in answer:
            print(f"# {self.host.name}: {' '.join(words)}: {answer['outcome']} in "
                  f"{answer['ms']:.0f} ms: {answer['reason']}", flush=True)
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def mount_cgroup2(host):
    """`ip netns exec` gives each host a /sys of its own, without the cgroup mounts of the machine.
    Only now, after libvirt has started its domains: it is to use none."""
    if "cgroup2" not in host.run("cat", "/proc/self/mounts").out:
        host.run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")


def in_postcopy(lab, vcpus=1, mib=96, **options):
    vm = lab.vm(mib=mib, vcpus=vcpus, **options)
    migration = lab.migrate(vm, postcopy_bandwidth=1).to_postcopy(0.5)
    return vm, migration


def dst_blocked(lab, vm):
    """A vCPU waits for a page that does not come."""
    def blocked():
        done = lab.dst.run(Host.build_path("postcopyctl"), "inspect", "--pid",
                           lab.dst.qemu_pid(vm.name), "--json", check=False)
        threads = json.loads(done.out)["threads"] if done else []
        return [t for t in threads if t["vcpu"] is not None and t["blocked"] == "yes"]
    return wait_for(blocked, 20, "a blocked vCPU on dst", 0.2)


def paused_pair(lab, vm, migration, src, dst):
    """Both sides paused, by their own ways, with the link cut."""
    lab.cut("link-down")
    assert src("force-pause", "postcopy")["outcome"] == "done"
    assert dst("force-pause", "postcopy")["outcome"] == "done"
