#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every postcopyctl command in the text for people is run: without a daemon, so that it gets as far as
asking for one, but no further; what the program does not understand (exit status 2) fails. Links to
files and sections of the repository must lead somewhere."""
import os
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

CTL, ROOT = map(os.path.abspath, sys.argv[1:3])
TEXTS = ["README.md", *sorted(folder + f for folder in ("docs/", "docs/diagrams/", "docs/examples/")
                              for f in os.listdir(os.path.join(ROOT, folder)) if f.endswith(".md"))]
NOWHERE = ["--bus", "unix:path=/nonexistent", "--connect", "test:///default"]
# A command without what it acts on, such as `postcopyctl inspect --json`, is only spoken of.
SPOKEN_OF = re.compile(r"postcopyctl [a-z-]+( show| set| check| merge| report)?( --?[a-z-]+)*$")
# What a text calls NAME or SOURCE-BUNDLE cannot be there, and the program says so.
PLACEHOLDER = re.compile(r"no policy '[A-Z]+'|[A-Z-]+: No such file")
# Would go on for seconds, or look at this very host: their options are checked by check-man.py.
LOOKS_AT_HOST = {"doctor", "probe"}
COMMAND = re.compile(r"^(?: {4}|.*?`|\s+\w+\$ |)(postcopyctl [a-z][^`|>#]*?)(?:`|$| >)")


def commands(text):
    for number, line in enumerate(text.splitlines(), 1):
        rest = line
        while match := COMMAND.match(rest):
            yield number, match[1].strip().replace("…", "").rstrip()
            rest = rest[match.end():]


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def anchors(text):
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
            for title in re.findall(r"^#+ (.*)$", text, re.M)}


class Docs(unittest.TestCase):
    def test_commands(self):
        ran = 0
        with tempfile.TemporaryDirectory() as folder:
            for name in TEXTS:
                for number, command in commands(read(name)):
                    words = shlex.split(command)[1:]
                    if words[:1] == ["policy"]:
                        words += ["--policy-dir", os.path.join(ROOT, "policies")]
                    if SPOKEN_OF.match(command) or words[0] in LOOKS_AT_HOST or re.search(r"[A-Z.]{2,}…|\.\.\.|[\[\]]", command):
                        continue
                    with self.subTest(place=f"{name}:{number}", command=command):
                        done = subprocess.run([CTL, *NOWHERE, *words], cwd=folder, capture_output=True, text=True,
                                              timeout=20, stdin=subprocess.DEVNULL, check=False)
                        if not PLACEHOLDER.search(done.stderr):
                            self.assertNotEqual(done.returncode, 2, done.stderr)
                        ran += 1
        self.assertGreater(ran, 30)

    def test_demo(self):
        """What ./demo is told to do in a text is in its --help, which asks for no root."""
        usage = subprocess.run([os.path.join(ROOT, "demo"), "--help"], capture_output=True, text=True, timeout=20,
                               check=True).stdout
        words = re.findall(r"[\w-]+", usage)
        told = [(name, word) for name in TEXTS for word in re.findall(r"\./demo (--\w+|src|dst|verify)\b", read(name))]
        self.assertGreater(len(told), 8)
        self.assertEqual([place for place in told if place[1] not in words], [])

    def test_links(self):
        for name in TEXTS:
            text = read(name)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                file = os.path.normpath(os.path.join(ROOT, os.path.dirname(name), path)) if path else \
                    os.path.join(ROOT, name)
                with self.subTest(place=name, link=target):
                    self.assertTrue(os.path.exists(file))
                    if anchor and file.endswith(".md"):
                        self.assertIn(anchor, anchors(read(os.path.relpath(file, ROOT))))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
