# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds one thread in a ptrace stop until told to end: `python3 -m pcdlab.holdthread TID`.
Says "held" when the thread has stopped. Only this thread stops; the kernel lets it go on when this
process ends in whatever way (PTRACE_SEIZE without EXITKILL)."""

import ctypes
import os
import signal
import sys
import time

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000  # __WALL: also threads


def main():
    tid = int(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def ptrace(request):
        if libc.ptrace(request, tid, None, None) != 0:
            print(os.strerror(ctypes.get_errno()), flush=True)
            sys.exit(1)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ptrace(SEIZE)
    ptrace(INTERRUPT)
    deadline = time.monotonic() + 5
    while os.waitpid(tid, WALL | os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            print("it does not stop (untraceable)", flush=True)
            sys.exit(1)
        time.sleep(0.005)
    print("held", flush=True)
    try:
        while True:
            signal.pause()
    finally:
        libc.ptrace(DETACH, tid, None, None)


main()
