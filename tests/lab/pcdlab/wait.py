# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting with a deadline. Owns nothing else."""

import time


def wait_for(condition, timeout, what, interval=0.05):
    """Calls `condition` until it returns something true, which is returned.

    After `timeout` seconds it raises TimeoutError naming `what` (a text, or a function that makes
    one then) and the last value seen.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            what = what() if callable(what) else what
            raise TimeoutError(f"no {what} within {timeout:g} s (last seen: {value!r})")
        time.sleep(interval)
