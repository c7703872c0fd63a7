#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything in org.postcopyd.xml has a comment, of which gdbus-codegen makes the man pages: each
interface, method, signal and property before it stands, and each argument in that of its method."""
import os
import re
import sys
import unittest
import xml.etree.ElementTree as ElementTree

XML = os.path.abspath(sys.argv[1])


def check(element, name, comment, missing):
    """What of one element its comment does not tell."""
    title, _, rest = (comment or "").strip().partition(":")
    if title != name or not rest.strip():
        missing.append(name)
    for arg in element.findall("arg"):
        if not re.search(rf"^\s*@{arg.get('name')}:\s*\w|^\s*@{arg.get('name')}:\s*\"", rest, re.M):
            missing.append(f"{name} {arg.get('name')}")


def walk(parent, missing):
    comment = None
    for element in parent:
        if element.tag is ElementTree.Comment:
            comment = element.text
            continue
        if element.tag in ("interface", "method", "signal", "property"):
            check(element, element.get("name"), comment, missing)
        if element.tag == "interface":
            walk(element, missing)
        comment = None


def undocumented(text):
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    missing = []
    walk(ElementTree.fromstring(text.encode(), parser), missing)
    return missing


class Comments(unittest.TestCase):
    def setUp(self):
        with open(XML, encoding="utf-8") as file:
            self.text = file.read()

    def test_complete(self):
        self.assertEqual(undocumented(self.text), [])

    def test_sees(self):
        """Without any comment everything is missing, and so is what one forgets."""
        found = undocumented(re.sub(r"<!--.*?-->", "", self.text, flags=re.S))
        for what in ("org.postcopyd.Job1", "State", "Cancel", "Act", "Act options", "Record record"):
            self.assertIn(what, found)
        self.assertEqual(undocumented(self.text.replace("@options: \"force\"", "@opinions: \"force\"")), ["Act options"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
