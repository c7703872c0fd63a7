# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots with something wrong with them, and what postcopyctl is to be asked about each. They are
as small as they can be: one page, on neither side."""
import json

DONE, FAILED = 0, 1
BLOCK = {"name": "ram", "size": 4096, "has-missing": True}
NAMELESS = {"size": 4096, "has-missing": True}
RANGE = {"address": 0, "size": 4096, "block": 0, "offset": 0}
SIZES = {"memory.pages": 128, "memory.index": 16, "memory.zst": 0}  # of one chunk with nothing in it


def migration(**members):
    return {"phase": "paused", **members}


# name -> members that are other than a good half's; None takes one away
HALVES = {
    "src": {"role": "source"}, "dst": {},
    "schema": {"schema": 99}, "no-parts": {"parts": None}, "odd-part": {"parts": [1]},
    "folder": {"parts": [{"name": "memory.zst", "size": 0, "sha256": ""}]},
    "no-memory": {"memory": None},
    "untold": {"migration": migration()}, "untold-src": {"role": "source", "migration": migration()},
    "noon": {"migration": migration(began="2026-11-22T12:00:00.000000Z")},
    "one": {"role": "source", "migration": migration(began="2026-11-22T13:00:00.000000Z")},
    "blind": {"memory": {"blocks": [BLOCK], "ranges": []}},
    "blind-src": {"role": "source", "memory": {"blocks": [BLOCK], "ranges": []}},
    "twice-src": {"role": "source", "memory": {"blocks": [NAMELESS, NAMELESS], "ranges": [RANGE]}},
    "nameless": {"memory": {"blocks": [NAMELESS], "ranges": [RANGE]}},
    "large-src": {"role": "source", "memory": {"blocks": [{**BLOCK, "size": 8192}], "ranges": [RANGE]}},
    "damaged": {},
}
SNAPSHOTS = [
    (FAILED, "snapshot verify {dir}/half/schema"), (FAILED, "snapshot verify {dir}/half/no-parts"),
    (FAILED, "snapshot verify {dir}/half/odd-part"), (FAILED, "snapshot verify {dir}/half/folder"),
] + [(FAILED, "snapshot merge {dir}/half/%s {dir}/half/%s --output {dir}/core" % pair) for pair in (
    ("src", "no-memory"), ("untold-src", "untold"), ("one", "noon"), ("blind-src", "blind"),
    ("twice-src", "dst"), ("twice-src", "nameless"), ("large-src", "nameless"), ("src", "damaged"),
    ("src", "dst"))] + [
    (DONE, "snapshot merge {dir}/half/src {dir}/half/dst --output {dir}/core --mark-missing")]


def make(folder):
    for name, other in HALVES.items():
        half = folder / "half" / name
        half.mkdir(parents=True)
        manifest = {"schema": 1, "role": "destination", "domain": {"uuid": "u", "name": "g"}, "parts": [],
                    "migration": migration(connection="a b"), "guest": {"consistent": False},
                    "memory": {"blocks": [BLOCK], "ranges": [RANGE]}, **other}
        (half / "manifest.json").write_text(json.dumps({k: v for k, v in manifest.items() if v is not None}))
        chunks = len((manifest["memory"] or {}).get("blocks", ()))
        for part, size in SIZES.items():
            if name == "folder":
                (half / part).mkdir()
            else:
                (half / part).write_bytes(bytes(size * chunks + (name == "damaged")))
