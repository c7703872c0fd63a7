#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The pictures of the docs: `check-pictures.py POSTCOPYCTL ROOT [FOLDER]`, FOLDER being where docs/pictures/make
wrote them to, if not where they belong. Each is there, small, fetches nothing, names no machine, and shows words
that the program still says: one that does not is old, and docs/pictures/make makes it anew."""
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import unittest
import xml.etree.ElementTree as ET
import zlib

CTL, ROOT = map(os.path.abspath, sys.argv[1:3])
FOLDER = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else os.path.join(ROOT, "docs", "pictures")
LIMITS = {"demo.svg": 300_000, "demo.cast": 300_000, "report-light.png": 250_000, "report-dark.png": 250_000,
          "status-source.svg": 20_000, "status-destination.svg": 20_000, "top.svg": 20_000}
SVGS = sorted(name for name in LIMITS if name.endswith(".svg"))
SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "title", "desc", "style", "rect", "g", "text"}
ATTRIBUTES = {"x", "y", "width", "height", "viewBox", "rx", "fill", "class", "style", "id", "role", "aria-labelledby",
              "textLength", "lengthAdjust"}
FAINT = "fill:#8b949e"
# Paths that belong to what is shown; any other is one of the machine where the picture was made.
OURS = re.compile(r"(?<![\w.:/}])/(?!etc/postcopyd/|var/lib/postcopyd|system\b)[a-z][\w.-]*/[\w./-]+")
KERNEL = re.compile(r"\b\d+\.\d+\.\d+-[\w.-]+")
ANEW = "the picture is old: run docs/pictures/make"


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def picture(name):
    return ET.fromstring(read(FOLDER, name))


def texts(name):
    """[(text, style)] of an SVG."""
    return [(element.text or "", element.get("style", "")) for element in picture(name).iter(SVG + "text")]


def chunks(png):
    at = 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at:at + 8])
        body = png[at + 8:at + 8 + size]
        yield kind, body, struct.unpack(">I", png[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + body)
        at += 12 + size


def headings(name):
    found = [body for kind, body, _ in chunks(read(FOLDER, name)) if kind == b"tEXt"]
    return found[0].removeprefix(b"Headings\0").decode("latin-1").split(";") if found else []


def said(name):
    """All that a person can read in a picture, as far as a program can."""
    if name.endswith(".svg"):
        return "\n".join(text for text, _ in texts(name))
    if name.endswith(".cast"):
        lines = read(FOLDER, name).decode().splitlines()
        return "\n".join([lines[0], "".join(json.loads(line)[2] for line in lines[1:])])
    return "\n".join(headings(name))


def top_says(columns, rows):
    """The words of `postcopyctl top` without a daemon, in a terminal of that size."""
    end, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    env.pop("LANGUAGE", None)
    child = subprocess.Popen([CTL, "--bus", "unix:path=/nonexistent", "top"], stdin=other, stdout=other, stderr=other,
                             env=env, start_new_session=True)
    os.close(other)
    seen, deadline = b"", time.monotonic() + 30
    try:
        while b"q quit" not in seen and time.monotonic() < deadline:
            if select.select([end], [], [], 0.2)[0]:
                seen += os.read(end, 65536)
        os.write(end, b"q")
        child.wait(20)
    finally:
        child.kill()
        child.wait()
        os.close(end)
    return set(re.sub(r"\x1b[\[(][0-9;?]*[A-Za-z]", " ", seen.decode(errors="replace")).split())


class Pictures(unittest.TestCase):
    def test_all_are_there_and_small(self):
        for name, limit in LIMITS.items():
            with self.subTest(name):
                self.assertTrue(0 < len(read(FOLDER, name)) <= limit)

    def test_references(self):
        """Each picture is in a text, with words for whoever does not see it."""
        used = set()
        for folder in (ROOT, os.path.join(ROOT, "docs")):
            for text in (name for name in os.listdir(folder) if name.endswith(".md")):
                for shown, alt, target in re.findall(r"(!?)\[([^\]]*)\]\(((?:docs/)?pictures/[^)\s]+)\)",
                                                     read(folder, text).decode()):
                    with self.subTest(text, target=target):
                        self.assertTrue(os.path.exists(os.path.join(folder, target)))
                        self.assertTrue(not shown or len(alt) > 40, "what does it show?")
                    used.add(os.path.basename(target))
        self.assertEqual(used, set(LIMITS))

    def test_svg_fetches_nothing(self):
        for name in SVGS:
            with self.subTest(name):
                for element in picture(name).iter():
                    self.assertIn(element.tag.removeprefix(SVG), ELEMENTS)
                    self.assertEqual(set(element.keys()) - ATTRIBUTES, set())
                self.assertNotRegex(read(FOLDER, name).decode(), r"url\(|@import|@font-face|<!|<\?|//(?!www.w3.org/2000/svg\"|[\d{])")
                self.assertGreater(len(picture(name).findtext(SVG + "title")), 5)
                self.assertGreater(len(picture(name).findtext(SVG + "desc")), 40)

    def test_demo_moves_and_can_stand_still(self):
        style = picture("demo.svg").findtext(SVG + "style")
        self.assertIn("infinite", style)
        self.assertIn("prefers-reduced-motion", style)
        self.assertIn("all as promised", said("demo.svg"))

    def test_png(self):
        for name in (name for name in LIMITS if name.endswith(".png")):
            with self.subTest(name):
                self.assertEqual(read(FOLDER, name)[:8], b"\x89PNG\r\n\x1a\n")
                kinds = [kind for kind, _, good in chunks(read(FOLDER, name)) if self.assertTrue(good) or True]
                self.assertEqual((kinds[0], kinds[-1]), (b"IHDR", b"IEND"))

    def test_names_no_machine(self):
        for name in LIMITS:
            with self.subTest(name):
                self.assertNotRegex(said(name), OURS)
                self.assertNotRegex(said(name), KERNEL)

    def test_cast(self):
        lines = read(FOLDER, "demo.cast").decode().splitlines()
        self.assertEqual((json.loads(lines[0])["version"], set(json.loads(lines[0])["env"])), (2, {"TERM"}))
        times = [json.loads(line)[0] for line in lines[1:]]
        self.assertEqual(times, sorted(times))

    # Is it still what the program says?

    def test_status_is_of_today(self):
        program = read(CTL)
        for name in ("status-source.svg", "status-destination.svg"):
            # What is faint is a label, or why one might want a command.
            labels = [text for text, style in texts(name) if FAINT in style]
            self.assertGreater(len(labels), 8)
            for label in labels:
                with self.subTest(name, label=label):
                    self.assertIn(label.encode() + b"\0", program, ANEW)

    def test_top_is_of_today(self):
        lines = [text for text, _ in texts("top.svg")]
        heads = next(line for line in lines if line.lstrip().startswith("NAME"))
        keys = next(line for line in lines if line.startswith("q quit"))
        program = top_says(160, 12)
        self.assertIn("NAME", program)
        # How far a line goes back, depends on the width.
        self.assertEqual(set(re.sub(r"\(\d+ s\)", "", heads).split()) - program, set(), ANEW)
        self.assertEqual(set(keys.split()) - program, set(), ANEW)

    def test_demo_is_of_today(self):
        demo = read(ROOT, "tests", "lab", "demo.py").decode().replace("{NAME}", "guest1")
        steps = re.findall(r"^\[ *[\d.]+ s\] \d+\. (.*)$", said("demo.svg"), re.M)
        self.assertEqual(len(steps), demo.count("tell.step("), ANEW)
        for step in steps:
            with self.subTest(step):
                self.assertIn(step, demo, ANEW)
        labels = set(re.findall(r"^([A-Z][A-Za-z ]+:)  ", said("demo.svg"), re.M))
        self.assertGreater(len(labels), 8)
        for label in labels:
            with self.subTest(label):
                self.assertIn(label.encode(), read(CTL), ANEW)

    def test_report_is_of_today(self):
        sides = [os.path.join(ROOT, "tests", "unit", "fixtures", "incidents", side + ".json")
                 for side in ("source", "destination")]
        page = subprocess.run([CTL, "incident", "report", sides[0], "--with", sides[1], "--html", "-"], check=True,
                              capture_output=True, text=True, timeout=20).stdout
        for name in ("report-light.png", "report-dark.png"):
            self.assertGreater(len(headings(name)), 8)
            for heading in headings(name):
                with self.subTest(name, heading=heading):
                    self.assertIn(f">{heading}</", page, ANEW)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
