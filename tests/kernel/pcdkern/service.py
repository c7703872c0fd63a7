# SPDX-License-Identifier: LGPL-2.1-or-later
"""postcopyd as systemd starts it: installed from its package, enabled, reloaded, hung, stopped; the
last two while a guest is held in an incident. Knows the row's helpers, not its table."""

import time


DROP_IN = "[Service]\nWatchdogSec=10s\n"  # the shipped 30 s would only make the test longer


def install(row, config):
    """On both machines, as an administrator would; libvirtd sees a first hook after a restart only."""
    def one(machine):
        machine.run("/bin/sh", "-c", "dpkg -i /payload/postcopyd_*.deb", timeout=180)
        machine.put("/etc/postcopyd/postcopyd.conf", config.encode())
        machine.run("systemctl", "restart", "libvirtd", timeout=120)
        done = machine.run("systemctl", "enable", "--now", "postcopyd", timeout=90, check=False)
        state = machine.run("systemctl", "is-active", "postcopyd", check=False).out.strip()
        row.pair.wait_for(lambda: machine.run("postcopyctl", "list", check=False).rc == 0, 60,
                 lambda: "answer of postcopyd: " + log(machine))
        return done.rc, state, "" if done.rc == 0 else log(machine)
    for machine, (rc, state, text) in zip(row.pair.machines, row.pair.both(one)):
        row.check(rc == 0 and state == "active",
                  f"systemctl enable --now postcopyd: READY on {machine.name}", f"{state} {text}")


def log(machine, lines=20):
    return machine.sh(f"journalctl -b -u postcopyd --no-pager | tail -{lines}", check=False).out


def show(machine, key):
    return machine.run("systemctl", "show", "-P", key, "postcopyd").out.strip()


def quiet_checks(row):
    """What needs no incident: least privilege, reload."""
    out = row.dst.run("systemd-analyze", "security", "--no-pager", "postcopyd", timeout=120).out
    overall = out.strip().splitlines()[-1]
    figure = float([w for w in overall.split() if w.replace(".", "", 1).isdigit()][0])
    row.check(figure <= 3.0, "systemd-analyze security <= 3.0", str(figure))
    before = show(row.dst, "MainPID")
    done = row.dst.run("systemctl", "reload", "postcopyd", check=False)
    reread = row.pair.wait_for(lambda: "configuration reloaded" in log(row.dst), 30,
                      lambda: "word of the reload: " + log(row.dst))
    row.check(done.rc == 0 and reread and show(row.dst, "MainPID") == before,
              "systemctl reload reads the configuration again")
    row.dst.put("/etc/postcopyd/postcopyd.conf", b"[recover]\nparallel = none\n")
    row.dst.run("systemctl", "reload", "postcopyd", check=False)
    told = row.pair.wait_for(lambda: "parallel" in log(row.dst), 30,
                    lambda: "word of the bad configuration: " + log(row.dst))
    row.check(told and show(row.dst, "MainPID") == before,
              "a bad configuration is refused with its place, and the daemon stays")


def stopped_in_incident(row, name):
    """The destination's service stops while it holds a guest still, and starts again."""
    before = row.pair.serial(row.dst, name)
    row.dst.run("systemctl", "stop", "postcopyd", timeout=60)
    time.sleep(1)
    row.check(row.pair.serial(row.dst, name) == before and row.pair.pid(row.dst, name),
              "a stopped service leaves the guest as it held it")
    row.check(f"guest of {name} stays" in log(row.dst), "and says so in the journal", log(row.dst, 4))
    explained = row.dst.run("journalctl", "-x", "-b", "-u", "postcopyd", "--no-pager").out
    row.check("nobody resumes it meanwhile" in explained and "QEMU lost the migration" in explained,
              "journalctl -x explains the MESSAGE_IDs", explained[-600:])
    row.dst.run("systemctl", "start", "postcopyd", timeout=90)
    row.wait_phase(row.dst, name, "paused")
    row.check(row.pair.serial(row.dst, name) == before, "started again, it holds the guest still")


def hung_in_incident(row, name):
    """The source's main loop hangs: systemd's watchdog has it started again, and it takes the incident
    up; what comes after this, the recovery by policy, is its work."""
    row.src.put("/run/systemd/system/postcopyd.service.d/watchdog.conf", DROP_IN.encode())
    row.src.run("systemctl", "daemon-reload")
    row.src.run("systemctl", "restart", "postcopyd", timeout=90)
    row.wait_phase(row.src, name, "paused")
    hung = show(row.src, "MainPID")
    row.src.run("kill", "-STOP", hung)
    began = time.monotonic()
    row.pair.wait_for(lambda: show(row.src, "MainPID") not in ("0", hung) and
             show(row.src, "ActiveState") == "active", 90,
             lambda: "restart by the watchdog: " + log(row.src))
    row.check(show(row.src, "NRestarts") != "0",
              f"a hung daemon is restarted by the watchdog ({time.monotonic() - began:.0f} s)",
              show(row.src, "NRestarts"))
    row.wait_phase(row.src, name, "paused")
