#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The drawings in docs/diagrams are those of the texts beside them: the same words and arrows, wherever
another graphviz or font puts them. And each is one that a page may show: read aloud, legible on light
and dark, without a script or anything from elsewhere.

check-diagrams.py FOLDER DRAWING..., what the build has just drawn"""
import os
import re
import sys
import unittest
import xml.etree.ElementTree as ET
from collections import Counter

FOLDER, *DRAWN = sys.argv[1:]
SVG = "{http://www.w3.org/2000/svg}"


def words(path):
    """What a drawing says: a bag of (kind, name, label), and of what is read aloud."""
    root = ET.parse(path).getroot()
    said = Counter(("read aloud", root.find(SVG + tag).text, "") for tag in ("title", "desc"))
    for group in root.iter(SVG + "g"):
        if "data-name" in group.attrib:
            label = "\n".join(text.text or "" for text in group.iter(SVG + "text"))
            said[group.get("class"), group.get("data-name"), label] += 1
    return said


class Diagrams(unittest.TestCase):
    def test_kept_is_drawn(self):
        self.assertGreaterEqual(len(DRAWN), 5)
        for path in DRAWN:
            kept = os.path.join(FOLDER, os.path.basename(path))
            with self.subTest(os.path.basename(path)):
                self.assertTrue(os.path.exists(kept), "run `ninja update-diagrams` in the build folder")
                differ = (words(path) - words(kept)) + (words(kept) - words(path))
                self.assertFalse(differ, "not what is drawn now: run `ninja update-diagrams` in the build folder")

    def test_all_are_drawn(self):
        names = {os.path.splitext(os.path.basename(path))[0] for path in DRAWN}
        for ending in (".dot", ".svg"):
            there = {name.removesuffix(ending) for name in os.listdir(FOLDER) if name.endswith(ending)}
            self.assertEqual(there, names, f"docs/diagrams/*{ending} against docs/diagrams/meson.build")

    def test_fit_for_pages(self):
        for path in DRAWN:
            with self.subTest(os.path.basename(path)), open(path, encoding="utf-8") as file:
                text = file.read()
                self.assertGreater(len(words(path)), 8)
                self.assertNotRegex(text, r"<script|\son\w+=|href=|url\(|@import|<image|<foreignObject")
                self.assertIn("prefers-color-scheme: dark", text)
                # Colours are the style's: one of graphviz's own would be wrong on one of two grounds.
                self.assertNotRegex(text.split("</style>")[1], r'(fill|stroke|font-family)="')
                used = set(" ".join(re.findall(r'class="([^"]*)"', text.split("</style>")[1])).split())
                styled = set(re.findall(r"\.([a-z]+)", text.split("</style>")[0]))
                self.assertFalse(used - styled, "class without a style in docs/diagrams/draw")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
