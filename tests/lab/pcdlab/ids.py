# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names and the state on disk of a lab, so that any process can find it and take it down.
Knows nothing of what runs inside."""

import json
import os
import secrets

from . import proc

# tmpfs: overlayfs needs an upper directory that is not itself an overlay (containers), and
# nothing in it is worth keeping over a reboot.
BASE = os.environ.get("PCD_LAB_DIR", "/dev/shm/postcopyd-lab")
CACHE = os.environ.get("PCD_LAB_CACHE", "/var/cache/postcopyd-lab")
HOSTS = ("src", "dst")


def new_id():
    return secrets.token_hex(3)


def state_dir(lab_id):
    return os.path.join(BASE, lab_id)


def netns(lab_id, host):
    return f"pcd-{lab_id}-{host}"


def known():
    """The ids of all labs that left anything on disk. A network namespace alone is no sign of ours:
    somebody else may keep labs under another PCD_LAB_DIR."""
    if not os.path.isdir(BASE):
        return []
    return sorted(name for name in os.listdir(BASE) if not name.startswith("."))


def create(lab_id, state):
    """Makes the state directory. It appears with its lab.json in it: one without belongs to a lab
    that is half gone, and anybody may take that down."""
    hidden = os.path.join(BASE, f".{lab_id}")
    os.makedirs(hidden)
    with open(os.path.join(hidden, "lab.json"), "w") as f:
        json.dump(state, f, indent=1)
    os.rename(hidden, state_dir(lab_id))


def save(lab_id, state):
    path = os.path.join(state_dir(lab_id), "lab.json")
    with open(path + ".new", "w") as f:
        json.dump(state, f, indent=1)
    os.rename(path + ".new", path)


def load(lab_id):
    try:
        with open(os.path.join(state_dir(lab_id), "lab.json")) as f:
            return json.load(f)
    except FileNotFoundError:
        return None


def me():
    return {"pid": os.getpid(), "started": proc.start_time(os.getpid())}


def is_stale(lab_id):
    """Whether the process that this lab belongs to is gone, or (without one) its hosts are."""
    state = load(lab_id)
    if state is None:
        return True
    owner = state.get("owner")
    if owner is not None:
        return not proc.is_alive(owner["pid"], owner["started"])
    anchors = [state["hosts"].get(name, {}).get("anchor") for name in HOSTS]
    return not all(a and proc.is_alive(a["pid"], a["started"]) for a in anchors)
