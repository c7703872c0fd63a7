# SPDX-License-Identifier: LGPL-2.1-or-later
"""A domain's metadata chooses its policy: where it gets to, and when it can be read."""

import threading
import time

from pcdlab.case import case

URI = "https://postcopyd.org/policy/1"
POLICY = '<policy name="protect"/>'


def get(host, name):
    """(what virsh metadata shows, seconds)"""
    began = time.monotonic()
    done = host.virsh("metadata", name, "--uri", URI, "--live", timeout=40)
    return " ".join(done.out.split()), time.monotonic() - began


def check(lab, name, when, hosts):
    for host in hosts:
        text, took = get(host, name)
        print(f"# {host.name}, {when}: {text} after {took:.2f} s")
        assert text == POLICY.replace('"', "'") or text == POLICY, f"{host.name}, {when}: {text}"
        assert took < 2, f"{host.name}, {when}: {took:.1f} s: it waited for the migration's job"


def travels(lab, p2p, job=False):
    vm = lab.vm(mib=64)
    lab.src.virsh("metadata", vm.name, "--uri", URI, "--key", "postcopyd", "--set", POLICY,
                  "--live")
    migration = lab.migrate(vm, p2p=p2p, postcopy_bandwidth=1)
    check(lab, vm.name, "pre-copy", [lab.src])
    migration.to_postcopy(0.5)
    check(lab, vm.name, "post-copy", lab.hosts)
    lab.src.virsh("domjobabort", vm.name, "--postcopy")
    migration.wait_paused(10)
    check(lab, vm.name, "paused", lab.hosts)
    if job:
        hold_the_job(lab, vm)
    migration.resume()
    migration.wait_completed(90)
    check(lab, vm.name, "completed", [lab.dst])


def hold_the_job(lab, vm):
    """Reading answers at once also while another call waits 30 s for the destination's job."""
    ended = []

    def wait_for_job():
        began = time.monotonic()
        done = lab.dst.virsh("metadata", vm.name, "--uri", URI, "--key", "postcopyd", "--live",
                             "--set", '<policy name="late"/>', timeout=60, check=False)
        ended.append((done.rc, done.err.strip(), time.monotonic() - began))
    thread = threading.Thread(target=wait_for_job)
    thread.start()
    time.sleep(1)
    try:
        assert not ended, f"writing while paused did not wait: {ended}"
        check(lab, vm.name, "paused, a writer waiting", [lab.dst])
    finally:
        thread.join()
    rc, text, took = ended[0]
    print(f"# writing while paused: exit {rc} after {took:.0f} s: {text}")
    assert rc != 0, "metadata could be written on the destination of a failed post-copy"
    check(lab, vm.name, "after that", [lab.dst])


@case("long-meta-travels", timeout=240)
def travels_p2p(lab):
    """Set live before a migration: on dst in post-copy, when paused, after it; never waits."""
    travels(lab, p2p=True, job=True)


@case("meta-travels-managed", timeout=180)
def travels_managed(lab):
    """The same for a migration that virsh manages."""
    travels(lab, p2p=False)
