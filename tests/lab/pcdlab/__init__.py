# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two real libvirt hosts on one machine, real VMs, and a network that can be broken on purpose."""

from .case import Skip
from .lab import Lab
from .proc import LabError
from .verify import verify_memory
from .wait import wait_for

__all__ = ["Lab", "LabError", "Skip", "verify_memory", "wait_for"]
