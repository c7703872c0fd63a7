# SPDX-License-Identifier: LGPL-2.1-or-later
"""Child processes with deadlines, and /proc. Knows nothing of libvirt or labs."""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class LabError(Exception):
    """Something the lab needed did not work; the message says what and where."""


@dataclass
class Result:
    """What a command did. `seconds` is its duration, `ended` its end (CLOCK_MONOTONIC)."""

    argv: list
    rc: int
    out: str
    err: str
    seconds: float
    ended: float

    def __bool__(self):
        return self.rc == 0


def run(argv, timeout=20, check=True, text_in=None, env=None):
    """Runs a command to its end; past `timeout` its whole session is killed and LabError raised."""
    began = time.monotonic()
    child = subprocess.Popen(
        argv, stdin=subprocess.PIPE if text_in is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        start_new_session=True, env=env)
    try:
        out, err = child.communicate(text_in, timeout=timeout)
    except BaseException as problem:
        kill_group(child.pid)
        child.communicate()
        if isinstance(problem, subprocess.TimeoutExpired):
            raise LabError(f"{' '.join(argv)}: no answer within {timeout:g} s") from None
        raise
    ended = time.monotonic()
    result = Result(argv, child.returncode, out, err, ended - began, ended)
    if check and result.rc != 0:
        raise LabError(f"{' '.join(argv)}: exit {result.rc}: {(err or out).strip()}")
    return result


@contextlib.contextmanager
def undisturbed():
    """For what must be done whole: an ending signal takes effect after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def kill_group(pid, number=signal.SIGKILL):
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def kill(pid, number=signal.SIGKILL):
    """Returns whether there was such a process."""
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def stat_fields(pid):
    """The fields of /proc/PID/stat from the third one on (state is [0]), or None."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_time(pid):
    """Clock ticks after boot; with the pid it identifies a process for good. None if it is gone."""
    fields = stat_fields(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def is_alive(pid, started=None):
    now = start_time(pid)
    return now is not None and (started is None or now == started)


def threads(pid):
    """(tid, name) of every thread."""
    found = []
    try:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/comm") as f:
                found.append((int(tid), f.read().rstrip("\n")))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def pids_in_namespace(kind, inode):
    """Processes whose /proc/PID/ns/`kind` is `inode`."""
    wanted = f"{kind}:[{inode}]"
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/ns/{kind}") == wanted:
                    found.append(int(name))
            except OSError:
                pass  # gone, or a zombie
    return found


def wait_gone(pid, timeout):
    deadline = time.monotonic() + timeout
    while is_alive(pid):
        try:
            os.waitpid(pid, os.WNOHANG)
        except OSError:
            pass  # not our child
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
