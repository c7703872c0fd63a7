# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waits for the end of a lab's owner and takes the lab down then: `python3 -m pcdlab.reaper ID`."""

import os
import signal
import sys

from . import ids, lab


def main():
    for number in lab.ENDING:
        signal.signal(number, signal.SIG_IGN)
    if os.read(0, 64):  # "let go"; nothing when the owner's end is closed, however that came about
        return
    if os.path.exists(ids.state_dir(sys.argv[1])):
        lab.take_down(sys.argv[1])


main()
