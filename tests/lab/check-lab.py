#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every file of lab cases is in meson.build's lists: `check-lab.py SHORT LONG`, file names joined by commas.

A file that is not would run nowhere, and nobody would miss its tests.
"""
import os
import subprocess
import sys

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run")


def main():
    listed = {False: set(sys.argv[1].split(",")), True: set(sys.argv[2].split(","))}
    cases = subprocess.run([sys.executable, RUN, "--list", "--long"], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.splitlines()
    there = {False: set(), True: set()}
    for line in cases:
        file, name = line.split()[:2]
        there[name.startswith("long-")].add(file.rstrip(":"))
    wrong = 0
    for is_long, of in ((False, "lab_cases"), (True, "lab_long_cases")):
        for file in sorted(there[is_long] - listed[is_long]):
            print(f"tests/lab/cases/{file}.py has cases, and {of} in tests/lab/meson.build does not name it")
            wrong = 1
        for file in sorted(listed[is_long] - there[is_long]):
            print(f"{of} in tests/lab/meson.build names {file}, which has no such cases")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
