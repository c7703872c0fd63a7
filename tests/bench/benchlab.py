# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the benches share: the lab package, TAP with tables in it. Must not measure anything."""

import os
import sys
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))

from pcdlab import lab as lab_module  # noqa: E402


class Tap:
    """Numbers the checks and remembers whether one failed."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def check(self, good, text):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {text}", flush=True)


def say(text=""):
    print(f"# {text}".rstrip(), flush=True)


def table(head, rows):
    """The first column to the left, figures to the right."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        cells = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        say("  ".join([line[0].ljust(widths[0]), *cells]))


def main(bench):
    """Runs `bench(tap)` and exits: 0 if every check held."""
    if os.geteuid() != 0:
        print("Bail out! the lab needs root")
        sys.exit(99)
    lab_module.take_down_on_signals()
    lab_module.take_down_stale()
    tap = Tap()
    try:
        bench(tap)
    except Exception as problem:
        for line in traceback.format_exc().splitlines():
            say(line)
        tap.check(False, f"the bench ran to its end: {problem}".splitlines()[0])
    print(f"1..{tap.count}")
    sys.exit(1 if tap.failed or not tap.count else 0)
