#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service unit: systemd understands it, its exposure is low, each capability has its reason.

check-unit.py POSTCOPYD.SERVICE
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

UNIT = sys.argv[1]
MAX_EXPOSURE = 3.0


def values(key):
    with open(UNIT, encoding="utf-8") as f:
        return re.findall(rf"^{key}=(.*)$", f.read(), re.M)


def analyze(*args):
    return subprocess.run(["systemd-analyze", *args], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "LC_ALL": "C", "SYSTEMD_PAGER": ""})


class Unit(unittest.TestCase):
    def test_exposure(self):
        done = analyze("security", "--offline=yes", f"--threshold={MAX_EXPOSURE * 10:.0f}", UNIT)
        overall = re.search(r"Overall exposure level.*: ([\d.]+)", done.stdout)
        self.assertTrue(overall, done.stdout + done.stderr)
        print(f"exposure {overall[1]}", file=sys.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_systemd_understands_it(self):
        """Of what it names only the program and the man pages may be missing here."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "postcopyd.service")
            with open(UNIT, encoding="utf-8") as unit, open(path, "w", encoding="utf-8") as copy:
                copy.write(re.sub(r"^(ExecStart=).*", rf"\1{shutil.which('true')}",
                                  re.sub(r"^Documentation=.*\n", "", unit.read(), flags=re.M),
                                  flags=re.M))
            done = analyze("verify", "--man=no", path)
        told = [line for line in done.stderr.splitlines() if "postcopyd.service" in line]
        self.assertEqual((done.returncode, told), (0, []), done.stderr)

    def test_each_capability_has_its_reason(self):
        with open(UNIT, encoding="utf-8") as f:
            reasons = re.findall(r"^# (CAP_[A-Z_]+): ", f.read(), re.M)
        self.assertEqual(sorted(values("CapabilityBoundingSet")[0].split()), sorted(reasons))

    def test_watchdog_leaves_time(self):
        self.assertRegex(values("WatchdogSec")[0], r"^[1-9]\d+s$")


if __name__ == "__main__":
    if not shutil.which("systemd-analyze"):
        print("SKIPPED: no systemd-analyze (Debian: systemd); the unit's exposure is UNCHECKED")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
