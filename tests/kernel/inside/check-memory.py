#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check-memory.py DOMAIN MIB VCPUS: checks every page of a toucher whose memory is all there. The
guest is held still by SIGSTOP meanwhile: no monitor is asked, and a stopped guest stays stopped."""

import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pcdlab.verify import FIRST_PAGE, check_marks, read_marks  # noqa: E402

name, mib, vcpus = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
answer = subprocess.run(["virsh", "qemu-monitor-command", name, "--hmp", "gpa2hva 0"], timeout=60,
                        check=True, stdout=subprocess.PIPE, text=True).stdout
base = int(re.search(r"is (0x[0-9a-f]+)", answer)[1], 16)
with open(f"/run/libvirt/qemu/{name}.pid") as f:
    pid = int(f.read())
os.kill(pid, signal.SIGSTOP)
try:
    problems, rounds = [], []
    each = mib * 256 // vcpus
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for vcpu in range(vcpus):
            first = FIRST_PAGE + vcpu * each
            marks = read_marks(memory, base, first, each)
            problems += check_marks(marks, first)
            rounds.append(marks[0][0])
            if marks[0][0] == 0:
                problems.append(f"vCPU {vcpu}: never written")
finally:
    os.kill(pid, signal.SIGCONT)
if problems:
    sys.exit(f"{len(problems)} of {each * vcpus} pages are wrong: " + "; ".join(problems[:5]))
print(f"{each * vcpus} pages verified, rounds {rounds}")
