#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How a page that tells what to type is read, and what counts as shown."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pcdlab import page  # noqa: E402

TEXT = """\
# Title

```sh
sudo ./demo --stay
```
```sh
# src
virsh list
postcopyctl list
```
```text
 1    guest1   running
[...]
16209    CPU 0/KVM        0     S     yes
```
<!-- dst -->
```text
paused
```
"""

SHOWN = (  # promised, what the terminal shows, what is missing of it
    (["paused for 2.1 s: the network"], "x\n● guest1: paused for 13.04 s: the network failed\n", None),
    (["1    guest1   running"], " 27   guest1    running", None),
    (["guest1"], "guest2", "guest1"),
    (["guest1 [...] postcopy"], "guest1   source   postcopy", None),
    (["first", "second"], "second\nfirst\n", "second"),
    (["10.9.0.1:39854"], "10.9.0.1:51", None),
    (["12.5 MiB left"], "800.0 KiB left", None),
    (["freeze -> done"], "event: stop -> done", None),
    (["UUID: 51209b02-8721-4519-9e6b-945f76822b29"], "UUID: ab-8721", "UUID: 51209b02-8721-4519-9e6b-945f76822b29"),
    (["a.b(c)"], "aXb(c)", "a.b(c)"),
)


class Page(unittest.TestCase):
    def test_blocks(self):
        stay, looks, rows, paused = page.blocks(TEXT)
        self.assertEqual((stay.place, stay.commands), (None, ["sudo ./demo --stay"]))
        self.assertEqual((looks.place, looks.commands, looks.line), ("src", ["virsh list", "postcopyctl list"], 7))
        self.assertEqual((rows.place, rows.lines), (None, ["1    guest1   running"]))
        self.assertEqual((paused.place, paused.lines), ("dst", ["paused"]))

    def test_missing(self):
        for promised, text, gone in SHOWN:
            with self.subTest(promised=promised, text=text):
                self.assertEqual(page.missing(promised, text), gone)


if __name__ == "__main__":
    unittest.main()
