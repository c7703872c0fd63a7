#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts the cases in meson's testlog.json (TAP lines, or whole programs) and names what skipped."""
import json
import re
import sys

LINE = re.compile(r"^\s*(not )?ok\b\s*\d*\s*-?\s*(.*?)(?:#\s*(skip|todo)\b(.*))?$", re.I)


def cases(test):
    """Yields (passed, skipped, name, why) for each case of one program."""
    found = False
    for line in (test.get("stdout") or "").splitlines():
        m = LINE.match(line)
        if m:
            found = True
            yield not m[1], (m[3] or "").lower() == "skip", m[2].strip(), (m[4] or "").strip()
    good = test["result"] in ("OK", "EXPECTEDFAIL", "SKIP")
    if not found or not good:
        yield good, test["result"] == "SKIP", "whole program", test["result"]


try:
    log = open(sys.argv[1], encoding="utf-8")
except OSError as problem:  # meson found no test to run, or did not get that far
    print(f"{problem}\n0 passed, 1 failed, 0 skipped")
    sys.exit(1)
passed = failed = skipped = 0
for text in log:
    test = json.loads(text)
    tally = list(cases(test))
    # A program that failed is one failure more only if none of its cases says so.
    if len(tally) > 1 and tally[-1][2] == "whole program" and any(not t[0] for t in tally[:-1]):
        tally.pop()
    for ok, skip, name, why in tally:
        if skip:
            skipped += 1
            print(f"SKIPPED {test['name']}: {name}: {why}")
        elif ok:
            passed += 1
        else:
            failed += 1
            print(f"FAILED {test['name']}: {name}")
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed or not passed else 0)
