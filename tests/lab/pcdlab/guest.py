# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the guests: the memory toucher from our source, Linux from Debian's packages.
Knows files only, no VM."""

import fcntl
import glob
import os
import shutil
import subprocess
import tempfile
import urllib.parse

from . import ids, proc
from .proc import LabError

SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "guests")
CFLAGS = ["-m64", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-pic",
          "-fno-stack-protector", "-mno-red-zone", "-mgeneral-regs-only", "-fcf-protection=none",
          "-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-no-pie"]
LDFLAGS = ["-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,max-page-size=4096",
           "-Wl,--section-start=.multiboot=0x100000", "-Wl,-Ttext=0x101000"]


def kvm_works():
    """Whether a VM can be made; /dev/kvm that opens is not enough everywhere (nested hosts)."""
    try:
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(fcntl.ioctl(fd, 0xAE01, 0))  # KVM_CREATE_VM
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def kvm_boots_linux():
    """Not where kvm_pvm is the back end: it emulates ordinary guests instruction by instruction,
    about a million a second (the toucher's rounds show it). A Debian kernel had not finished
    unpacking itself after 60 s, whatever its parameters; under TCG it is up in 4 s."""
    return not os.path.isdir("/sys/module/kvm_pvm")


def toucher(directory):
    """Builds the memory toucher into `directory`; returns the multiboot image's path."""
    image = os.path.join(directory, "toucher.elf")
    if not os.path.exists(image):
        sources = [os.path.join(SOURCES, "toucher.S"), os.path.join(SOURCES, "toucher.c")]
        proc.run(["gcc", *CFLAGS, *LDFLAGS, "-o", image + ".64", *sources], timeout=60)
        # multiboot loaders take 32-bit ELF only; the 64-bit code in it does not mind
        proc.run(["objcopy", "-O", "elf32-i386", image + ".64", image + ".new"])
        os.rename(image + ".new", image)
    return image


def linux():
    """(kernel, initramfs, release) of the Debian cloud kernel; downloaded once, then cached."""
    cache = os.path.join(ids.CACHE, "linux")
    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(cache, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernels = glob.glob(os.path.join(cache, "vmlinuz-*"))
        kernel = max(kernels, key=os.path.getmtime) if kernels else _download_kernel(cache)
        return kernel, _make_initramfs(cache), os.path.basename(kernel).partition("-")[2]


def _download_kernel(cache):
    depends = proc.run(["apt-cache", "depends", "linux-image-cloud-amd64"], timeout=60).out
    names = [line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line]
    if not names:
        raise LabError("apt-cache knows no linux-image-cloud-amd64; run apt-get update")
    with tempfile.TemporaryDirectory(dir=cache) as work:
        # as root, apt-get warns that its own user cannot write here; it works all the same
        subprocess.run(["apt-get", "-q", "download", names[0]], cwd=work, timeout=300, check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        packages = glob.glob(os.path.join(work, "*.deb"))
        print(f"# fetched {urllib.parse.unquote(os.path.basename(packages[0]))}", flush=True)
        proc.run(["dpkg", "-x", packages[0], os.path.join(work, "x")], timeout=120)
        source = glob.glob(os.path.join(work, "x/boot/vmlinuz-*"))[0]
        target = os.path.join(cache, os.path.basename(source))
        shutil.move(source, target)
    return target


def _make_initramfs(cache):
    init = os.path.join(SOURCES, "linux-init.sh")
    target = os.path.join(cache, "initramfs.gz")
    if os.path.exists(target) and os.path.getmtime(target) > os.path.getmtime(init):
        return target
    with tempfile.TemporaryDirectory(dir=cache) as work:
        os.makedirs(os.path.join(work, "bin"))
        for name in ("proc", "sys", "dev", "tmp"):
            os.makedirs(os.path.join(work, name))
        shutil.copy(shutil.which("busybox"), os.path.join(work, "bin/busybox"))
        shutil.copy(init, os.path.join(work, "init"))
        os.chmod(os.path.join(work, "init"), 0o755)
        proc.run(["sh", "-c", f"cd {work} && find . | cpio -o -H newc 2>/dev/null | gzip -1 "
                              f"> {target}.new"], timeout=60)
        os.rename(target + ".new", target)
    return target
