# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machines' root image: a minimal Debian with systemd and libvirt, made from the suite that this
machine has in its apt sources. Knows no kernel and no postcopyd."""

import os

from . import cache
from .shell import HarnessError, run

CUSTOMIZE = os.path.join(os.path.dirname(cache.SOURCES), "inside", "customize")
# What postcopyd's own package asks for is here too: a machine has no way to fetch it.
PACKAGES = """systemd systemd-sysv dbus polkitd libvirt-daemon-system libvirt-clients
  libvirt-daemon-driver-qemu qemu-system-x86 gdb python3 iproute2 kmod procps
  libjson-glib-1.0-0 libvirt-glib-1.0-0 libxml2 libsqlite3-0 libsoup-3.0-0 bash-completion""".split()
EXCLUDED = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]


def sources():
    """apt's own Debian sources, as mmdebstrap takes them, and the suite."""
    rows = run(["apt-get", "indextargets", "--format",
                "$(LABEL)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)", "Created-By: Packages"])
    lines, suites = [], []
    for row in rows.splitlines():
        label, uri, codename, component = row.split("|")
        if label.startswith("Debian") and component == "main" and "-backports" not in codename:
            lines.append(f"deb {uri} {codename} main")
            if "-" not in codename:
                suites.append(codename)
    if not suites:
        raise HarnessError("apt has no source of Debian's main component: add one to "
                           "/etc/apt/sources.list.d, run apt-get update")
    return list(dict.fromkeys(lines)), suites[0]


def image():
    """(path of the ext4 image, its key)."""
    lines, suite = sources()
    with open(CUSTOMIZE) as f:
        key = cache.key(*lines, *PACKAGES, f.read())

    def fill(to):
        root = os.path.join(to, "root")
        run(["nice", "-n", "10", "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase",
             "--include=" + ",".join(PACKAGES), *[f"--dpkgopt=path-exclude={e}" for e in EXCLUDED],
             f"--customize-hook={CUSTOMIZE} \"$1\"", suite, root, *lines], timeout=900)
        cache.make_ext4(root, os.path.join(to, "root.img"))
        run(["rm", "-rf", "--one-file-system", root], timeout=120)
    return os.path.join(cache.make(f"root-{key}", fill), "root.img"), key
