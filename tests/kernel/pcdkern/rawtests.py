# SPDX-License-Identifier: LGPL-2.1-or-later
"""The three things people do to a stuck destination, typed by hand, without postcopyd. Each outcome is
a word of the table; nothing here is expected to work."""

import json
import time

HANG = 20  # seconds without an answer: what works takes 20 ms (stop) to 10 s (gdb reading symbols)
GDB_HANG = 60


def stop(pair, name):
    """(outcome, seconds) of QMP stop on a monitor of its own."""
    done = pair.dst.run("/payload/inside/qmp.py", f"/var/lib/libvirt/qemu/{name}.raw", "stop", str(HANG),
                        timeout=90)
    answer = json.loads(done.out)
    return ("stops the guest" if answer["answered"] else "hangs, the monitor too", answer["seconds"])


def ctrl_c(pair, name):
    """(outcome, seconds) of SIGINT to QEMU."""
    pid = pair.pid(pair.dst, name)
    done = pair.dst.sh(f"kill -INT {pid}; while [ $SECONDS -lt {HANG} ]; do grep -q '^State:.[^ZX]' "
                       f"/proc/{pid}/status 2>/dev/null || exit 0; sleep 0.05; done; exit 1",
                       timeout=HANG * 3, check=False)
    return ("QEMU ends, the guest is lost" if done.rc == 0 else "nothing, the signal is kept",
            done.seconds)


def gdb(pair, name):
    """(outcome, seconds) of gdb -p. One that hangs is killed, as a user would in the end."""
    pid = pair.pid(pair.dst, name)
    done = pair.dst.run("gdb", "-nx", "-batch", "-p", str(pid), "-ex", "info threads",
                        timeout=GDB_HANG / pair.dst.slower, check=False)
    if done.rc is not None and "CPU 0/KVM" in done.out:
        return "attaches", done.seconds
    time.sleep(1)
    return "hangs", done.seconds


TESTS = {"QMP `stop`": stop, "Ctrl-C": ctrl_c, "gdb": gdb}
