#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts the cases in meson's testlog.json (TAP lines, or whole programs) and names what skipped.

  summarise.py LOG [AGAIN]   the tally; what is in AGAIN was tried a second time, and that one counts
  summarise.py --failed LOG  the failed tests that may be tried a second time, one per line"""
import json
import os
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


def read(path):
    with open(path, encoding="utf-8") as log:
        return [json.loads(line) for line in log]


def plain_name(test):
    """As `meson test` takes it: without the project and the suites."""
    return test["name"].rsplit(" / ", 1)[-1]


def is_timed(test):
    """Not of what only decides: that fails for a reason, each time."""
    return not test["name"].split(" / ")[0].endswith(":unit")


def failures(test):
    return [name for ok, skip, name, _ in tally_of(test) if not ok and not skip]


def tally_of(test):
    tally = list(cases(test))
    # A program that failed is one failure more only if none of its cases says so.
    if len(tally) > 1 and tally[-1][2] == "whole program" and any(not t[0] for t in tally[:-1]):
        tally.pop()
    return tally


def list_failed(path):
    for test in read(path):
        if failures(test) and is_timed(test):
            print(plain_name(test))


def summarise(first, again):
    passed = failed = skipped = tried = 0
    for test in first:
        second = again.get(test["name"]) if failures(test) and is_timed(test) else None
        if second:
            tried += 1
            print(f"SECOND TRY {test['name']}: the first failed in: {'; '.join(failures(test))}")
        for ok, skip, name, why in tally_of(second or test):
            if skip:
                skipped += 1
                print(f"SKIPPED {test['name']}: {name}: {why}")
            elif ok:
                passed += 1
            else:
                failed += 1
                print(f"FAILED {test['name']}: {name}")
    if tried:
        print(f"{tried} needed a second try: see above; each is a bug to mend")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


def main(arguments):
    if arguments[0] == "--failed":
        list_failed(arguments[1])
        return 0
    again = {}
    if len(arguments) > 1 and os.path.exists(arguments[1]):
        again = {test["name"]: test for test in read(arguments[1])}
    return summarise(read(arguments[0]), again)


try:
    sys.exit(main(sys.argv[1:]))
except OSError as problem:  # meson found no test to run, or did not get that far
    if sys.argv[1] == "--failed":
        sys.exit(1)
    print(f"{problem}\n0 passed, 1 failed, 0 skipped")
    sys.exit(1)
