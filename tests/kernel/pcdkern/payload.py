# SPDX-License-Identifier: LGPL-2.1-or-later
"""The disk that brings a machine what is not Debian's: postcopyd, the guest, the agent, and what
libvirt found out in an earlier boot."""

import glob
import os
import shutil
import subprocess
import sys

from . import cache
from .shell import HarnessError, run

KERNEL_TESTS = os.path.dirname(cache.SOURCES)
TOP = os.path.dirname(os.path.dirname(KERNEL_TESTS))
LAB = os.path.join(TOP, "tests", "lab")
sys.path.insert(0, LAB)


def copy_tree(tree):
    """What git knows of this tree, and what it would take in."""
    os.makedirs(tree)
    files = run(["git", "-c", f"safe.directory={TOP}", "-C", TOP, "ls-files", "-z", "--cached",
                 "--others", "--exclude-standard"])
    for name in filter(None, files.split("\0")):
        source = os.path.join(TOP, name)
        if os.path.lexists(source):
            target = os.path.join(tree, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def build_package(work):
    """postcopyd's own .deb, built from this tree."""
    tree = os.path.join(work, "tree", "postcopyd")
    copy_tree(tree)
    log = os.path.join(work, "package.log")
    with open(log, "w") as out:
        done = subprocess.run(["nice", "-n", "10", "dpkg-buildpackage", "-b", "-us", "-uc", "-d"],
                              cwd=tree, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=900,
                              env={**os.environ, "DEB_BUILD_OPTIONS": "nocheck noautodbgsym"})
    found = [p for p in glob.glob(os.path.join(work, "tree", "*.deb"))
             if os.path.basename(p).startswith("postcopyd_")]
    if done.returncode or len(found) != 1:
        with open(log) as out:
            raise HarnessError(f"dpkg-buildpackage: exit {done.returncode}:\n{out.read()[-3000:]}")
    return found[0]


def make(package, capabilities, work):
    """An ext4 image. `capabilities` is a folder of libvirt's, or None."""
    from pcdlab import guest
    folder = os.path.join(work, "payload")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    shutil.copy(package, folder)
    shutil.copytree(os.path.join(KERNEL_TESTS, "inside"), os.path.join(folder, "inside"))
    shutil.copytree(os.path.join(LAB, "pcdlab"), os.path.join(folder, "inside", "pcdlab"),
                    ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(os.path.join(TOP, "tests/unit/fixtures/threads/record.py"),
                os.path.join(folder, "inside"))
    guest.toucher(folder)
    dma = os.path.join(folder, "inside", "dma-guest.elf")
    run(["gcc", *guest.CFLAGS, *guest.LDFLAGS, "-o", dma + ".64", os.path.join(guest.SOURCES, "toucher.S"),
         os.path.join(KERNEL_TESTS, "inside", "dma-guest.c")])
    run(["objcopy", "-O", "elf32-i386", dma + ".64", dma])  # as multiboot wants it
    run(["gcc", "-O2", "-D_GNU_SOURCE", f"-I{TOP}/daemon", "-o", os.path.join(folder, "inside/fault-guest"),
         os.path.join(KERNEL_TESTS, "inside/fault-guest.c"),
         os.path.join(TOP, "daemon/host/pcd-probe-guest.c")])
    if capabilities and os.path.isdir(capabilities):
        shutil.copytree(capabilities, os.path.join(folder, "capabilities"))
    image = os.path.join(work, "payload.img")
    cache.make_ext4(folder, image)
    return image
