# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands on this machine, with deadlines. Knows nothing of what they are for."""

import subprocess
import time


class HarnessError(Exception):
    """Something the test itself needed did not work; the message says what."""


def run(argv, timeout=60, cwd=None, env=None):
    """A command's standard output; HarnessError if it fails or is late."""
    try:
        done = subprocess.run(argv, cwd=cwd, env=env, timeout=timeout, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
    except subprocess.TimeoutExpired:
        raise HarnessError(f"{' '.join(argv)}: not done within {timeout} s") from None
    if done.returncode:
        raise HarnessError(f"{' '.join(argv)}: exit {done.returncode}: "
                           f"{(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def wait_for(condition, timeout, what, interval=0.5):
    """Calls `condition` until it returns something true, which is returned."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise HarnessError(f"no {what() if callable(what) else what} within {timeout:g} s "
                               f"(last seen: {value!r})")
        time.sleep(interval)
