# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the recorder wrote down, and which message of the sources each text is."""
import dataclasses
import re

FIELD, RECORD = "\x1f", "\x1e"
# Functions of ours whose texts the recorder sees where they call GLib.
SEEN_AS = {"pcd_action_refuse": "g_vsnprintf", "pcd_action_fail": "g_vsnprintf"}


@dataclasses.dataclass(frozen=True)
class Recorded:
    program: str
    ours: bool
    maker: str
    format: str
    text: str


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as f:
            parts = f.read().split(RECORD)
    except FileNotFoundError:
        return set()
    found = set()
    for part in parts[:-1]:
        fields = part.split(FIELD)
        # Hostile text may hold our own separators.
        if len(fields) == 5:
            found.add(Recorded(fields[0], fields[1] == "1", *fields[2:]))
    return found


def same_format(text):
    """The conversions for 64 bits have several names."""
    return re.sub(r"%([-+ #0']*\d*(?:\.\d+)?)(?:ll|l|z|j|t)([diux])",
                  lambda m: f"%{m[1]}l{'d' if m[2] == 'i' else m[2]}", text)


class Matcher:
    """Finds the message with the most words of its own that gives a text."""

    def __init__(self, messages):
        self.by_format, self.literal = {}, []
        for message in messages:
            entry = (message, message.pattern())
            if message.maker.endswith("_literal"):
                self.literal.append(entry)
            else:
                maker = SEEN_AS.get(message.maker, message.maker)
                self.by_format.setdefault((maker, same_format(message.format)), []).append(entry)

    def find(self, recorded):
        candidates = self.literal if recorded.maker.endswith("_literal") else \
            self.by_format.get((recorded.maker, same_format(recorded.format)), [])
        # What fits anything is ours only if we made it.
        fits = [m for m, pattern in candidates if SEEN_AS.get(m.maker, m.maker) == recorded.maker and
                (recorded.ours or m.words.strip(": \n")) and pattern.fullmatch(recorded.text)]
        return max(fits, key=lambda m: len(m.words), default=None)
