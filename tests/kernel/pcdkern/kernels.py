# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's kernels: found in apt's indexes, fetched once, made into an initramfs and an image of
modules. Knows files only, no machine."""

import glob
import os
import re
import shutil
import subprocess
import tempfile

from . import cache
from .shell import HarnessError, run

INIT = os.path.join(os.path.dirname(cache.SOURCES), "inside", "init")
# What must be there before the root file system is; the rest is loaded from the image of modules.
EARLY = ["virtio_pci", "virtio_blk", "ext4", "overlay"]
# Hardware that no machine here has; leaving it out makes the image small.
PRUNED = ["sound", "drivers/gpu", "drivers/media", "drivers/net/ethernet", "drivers/net/wireless",
          "drivers/scsi", "drivers/infiniband", "drivers/usb", "drivers/iio", "drivers/hid",
          "drivers/staging", "drivers/ata", "drivers/input", "drivers/hwmon", "drivers/mtd"]


class Kernel:
    """A kernel that machines can boot: `release` as in uname -r, and the paths of its three parts."""

    def __init__(self, directory):
        with open(os.path.join(directory, "release")) as f:
            self.release = f.read().strip()
        self.image = os.path.join(directory, "vmlinuz")
        self.initrd = os.path.join(directory, "initrd")
        self.modules = os.path.join(directory, "modules.img")


def newest(series):
    """The name and version of the newest plain amd64 kernel of `series` ("6.1") that apt knows."""
    regex = rf"^linux-image-{re.escape(series)}([.+-][^ ]*)?-amd64$"
    names = [line.split()[0] for line in
             run(["apt-cache", "search", "--names-only", regex], timeout=60).splitlines()
             if not re.search(r"-(cloud|rt)-amd64", line.split()[0])]
    found = []
    for name in names:
        shown = run(["apt-cache", "show", "--no-all-versions", name], timeout=60)
        version = re.search(r"^Version: (\S+)$", shown, re.M)
        # A package that only depends on the newest one has no files of its own.
        if version and re.search(r"^Source: linux-signed", shown, re.M) and \
                int(re.search(r"^Installed-Size: (\d+)$", shown, re.M)[1]) > 1000:
            found.append((name, version[1]))
    best = None
    for name, version in found:
        if best is None or subprocess.run(["dpkg", "--compare-versions", version, "gt",
                                           best[1]]).returncode == 0:
            best = (name, version)
    if best is None:
        raise HarnessError(f"apt knows no kernel {series} for amd64: run apt-get update, or add "
                           "the suite that has one (bookworm-backports for 6.12)")
    return best


def fetch(series):
    """The Kernel of a series, from the cache or the mirror."""
    name, version = newest(series)
    with open(INIT, "rb") as f:
        key = cache.key(name, version, f.read().decode(), *EARLY, *PRUNED)
    return Kernel(cache.make(f"kernel-{series}-{key}", lambda to: _make(name, to)))


def _make(name, to):
    with tempfile.TemporaryDirectory(dir=to) as work:
        # As root, apt-get warns that its own user cannot write here; it works all the same.
        run(["apt-get", "-q", "download", name], cwd=work, timeout=600)
        unpacked = os.path.join(work, "x")
        run(["dpkg", "-x", glob.glob(os.path.join(work, "*.deb"))[0], unpacked], timeout=300)
        shutil.move(glob.glob(os.path.join(unpacked, "boot/vmlinuz-*"))[0],
                    os.path.join(to, "vmlinuz"))
        modules = glob.glob(os.path.join(unpacked, "lib/modules/*"))[0]
        release = os.path.basename(modules)
        for pruned in PRUNED:
            shutil.rmtree(os.path.join(modules, "kernel", pruned), ignore_errors=True)
        run(["depmod", "-b", unpacked, release], timeout=120)
        _make_initrd(unpacked, release, os.path.join(to, "initrd"), work)
        cache.make_ext4(os.path.join(unpacked, "lib/modules"), os.path.join(to, "modules.img"))
        with open(os.path.join(to, "release"), "w") as f:
            f.write(release + "\n")


def _make_initrd(unpacked, release, target, work):
    root = os.path.join(work, "initrd")
    for folder in ("bin", "dev", "proc", "sys", "mod", "lower", "rw", "new"):
        os.makedirs(os.path.join(root, folder))
    shutil.copy(shutil.which("busybox"), os.path.join(root, "bin/busybox"))
    shutil.copy(INIT, os.path.join(root, "init"))
    os.chmod(os.path.join(root, "init"), 0o755)
    order = []
    for module in EARLY:
        out = run(["modprobe", "-d", unpacked, "-S", release, "--show-depends", module])
        for line in out.splitlines():
            word = line.split()
            if word[:1] == ["insmod"] and word[1] not in order:
                order.append(word[1])
    with open(os.path.join(root, "mod/order"), "w") as f:
        for path in order:
            shutil.copy(path, os.path.join(root, "mod"))
            base = os.path.basename(path)
            if base.endswith(".xz"):
                run(["xz", "-d", os.path.join(root, "mod", base)])
            f.write(base.removesuffix(".xz") + "\n")
    run(["sh", "-c", f"cd '{root}' && find . | cpio -o -H newc 2>/dev/null | gzip -1 > '{target}'"],
        timeout=120)
