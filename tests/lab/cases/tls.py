# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configuration as shipped: libvirts that talk TLS, and nothing in postcopyd.conf about them."""

import time

from pcdlab import verify_memory
from pcdlab.case import case
from pcdlab.tls import use_tls
from pcdlab.watched import TIMEOUT, Watched


def recovered(lab, **options):
    use_tls(lab)
    watched = Watched(lab, config="", transport="tls", **options)
    cut = lab.cut("link-down")
    watched.both_paused(cut.t, TIMEOUT + 1, "network")
    time.sleep(max(0, cut.t + 5 - time.monotonic()))
    cut.heal()
    record = watched.followers["dst"].wait("phase", "postcopy", cut.t_healed, 15)
    took = record["t"] - cut.t_healed
    print(f"# recovered {took:.2f} s after the heal")
    watched.finish()
    print(f"# {verify_memory(watched.vm, 'dst')}")
    assert took <= 2, f"{took:.2f} s"


@case("tls-recover")
def libvirt_tls(lab):
    """An empty postcopyd.conf, libvirts that listen with TLS only: recovered."""
    recovered(lab)


@case("long-tls-stream")
def stream_tls(lab):
    """QEMU's own stream encrypted as well (virsh migrate --tls): seen, and recovered with TLS."""
    recovered(lab, tls=True)
