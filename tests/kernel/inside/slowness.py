#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints how many seconds a fixed piece of work takes: processes started, pipes passed, a loop. The
same file runs on the host; the quotient is the machine's slowness."""

import os
import time


def processes(n):
    for _ in range(n):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def pipes(n):
    r, w = os.pipe()
    for _ in range(n):
        os.write(w, b"x")
        os.read(r, 1)


began = time.monotonic()
processes(30)
pipes(3000)
sum(range(1000000))
print(time.monotonic() - began)
