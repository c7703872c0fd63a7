# SPDX-License-Identifier: LGPL-2.1-or-later
"""A cache of things that take minutes to make, each under a name that says what went into it."""

import fcntl
import glob
import hashlib
import os
import re
import shutil
import time

from .shell import run

SOURCES = os.path.dirname(os.path.abspath(__file__))
DIRECTORY = os.path.join(os.environ.get("XDG_CACHE_HOME") or "/var/cache", "postcopyd-tests")


def key(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def make(name, maker):
    """The directory `name`; if there is none, maker(directory) fills it. Others of the same name but
    another key are of no use any more and go."""
    os.makedirs(DIRECTORY, exist_ok=True)
    target = os.path.join(DIRECTORY, name)
    with open(os.path.join(DIRECTORY, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(target):
            return target
        began = time.monotonic()
        unfinished = target + ".new"
        shutil.rmtree(unfinished, ignore_errors=True)
        os.makedirs(unfinished)
        try:
            maker(unfinished)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        for old in glob.glob(re.sub(r"-[0-9a-f]{16}$", "-" + 16 * "[0-9a-f]", target)):
            shutil.rmtree(old, ignore_errors=True)
        os.rename(unfinished, target)
        print(f"# made {name} in {time.monotonic() - began:.0f} s", flush=True)
    return target


def make_ext4(folder, image, spare_mib=16):
    """An ext4 image with what is in `folder`."""
    kib = int(run(["du", "-sk", "--apparent-size", folder]).split()[0])
    files = sum(len(d) + len(f) for _, d, f in os.walk(folder))
    size = kib // 1024 + files * 4 // 1024 + spare_mib + kib // 1024 // 10
    run(["mke2fs", "-q", "-t", "ext4", "-F", "-O", "^has_journal,^resize_inode", "-m", "0",
         "-N", str(files + 1000), "-E", "root_owner=0:0", "-d", folder, image, f"{size}M"],
        timeout=600)
