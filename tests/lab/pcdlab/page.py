# SPDX-License-Identifier: LGPL-2.1-or-later
"""A page that tells what to type and what one sees then, as docs/try-it.md does. Types nothing.

A block ```sh is typed, line by line: where its first line says, `# src` or `# dst`, else in a shell of one's own.
A block ```text is what the last of it shows, or what the terminal shows that `<!-- dst -->` names above it."""

import re
from dataclasses import dataclass

BLOCK = re.compile(r"(?:^<!-- (\w+) -->\n)?^```(sh|text)\n(.*?)^```$", re.M | re.S)
PLACE = re.compile(r"# (src|dst)\n")
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# How a blocked vCPU looks, and what can be done with it, is the kernel's affair: shown, and not compared.
OF_THIS_KERNEL = re.compile(r"kernel-side-copy|/KVM")
NUMBER = r"(?<![A-Za-z_\d])\d[\d.,:+-]*"
VARIES = re.compile(rf"(?P<any>\[\.\.\.\])|(?P<uuid>{UUID})|(?P<number>{NUMBER})|(?P<unit>\b[KMG]iB\b)|(?P<hold>\bfreeze\b)|(?P<space>\s+)")
PATTERNS = {"any": ".*", "uuid": UUID, "number": r"\d[\d.,:+-]*", "unit": "([KMG]iB|bytes)",
            "hold": "(freeze|stop)", "space": r"\s+"}


@dataclass
class Typed:
    """Lines to type at `place`: "src", "dst", or None, a shell of one's own."""
    line: int
    place: str
    commands: list


@dataclass
class Seen:
    """Lines that must be there, in this order, with others between them."""
    line: int
    place: str
    lines: list


def blocks(text):
    """What there is to do and to see, in order."""
    found = []
    for match in BLOCK.finditer(text):
        place, kind, body = match.groups()
        line = text.count("\n", 0, match.start(3)) + 1
        if kind == "sh":
            where = PLACE.match(body)
            commands = [c for c in body[where.end() if where else 0:].splitlines() if c]
            found.append(Typed(line, where[1] if where else None, commands))
        else:
            found.append(Seen(line, place, [s.strip() for s in body.splitlines()
                                                  if s.strip() not in ("", "[...]") and not OF_THIS_KERNEL.search(s)]))
    return found


def pattern(promised):
    """A promised line as a regular expression: numbers, UUIDs, units and gaps are others each time."""
    parts, end = [], 0
    for match in VARIES.finditer(promised):
        parts += [re.escape(promised[end:match.start()]), PATTERNS[match.lastgroup]]
        end = match.end()
    return re.compile("".join(parts) + re.escape(promised[end:]))


def missing(promised, text):
    """The first promised line that `text` does not show after the one before it; None if all are there."""
    lines = iter(text.splitlines())
    for line in promised:
        wanted = pattern(line)
        if not any(wanted.search(shown) for shown in lines):
            return line
    return None
