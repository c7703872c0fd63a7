#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual as web pages: every link, section and picture is there, every page is reached from the index,
nothing runs and nothing comes from elsewhere, and what the text has as a list or table is one.

check-html.py HTML DOCS: what the build made, and the texts that it was made of"""
import os
import re
import sys
import unittest
from html.parser import HTMLParser

HTML, DOCS = map(os.path.abspath, sys.argv[1:3])
VOID = {"meta", "link", "img", "br", "hr", "col", "input"}
# What a page of text needs, all of it.
TAGS = set("""html head meta title link body header main nav section footer aside details summary div span p h1 h2 h3 h4
    h5 a ul ol li dl dt dd table thead tbody tr th td caption colgroup col pre code tt kbd samp var em strong b i s cite
    blockquote br hr img figure figcaption""".split())


class Reader(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.ids, self.hrefs, self.images, self.sheets = set(), [], [], []
        self.wrong, self.open, self.paragraphs = [], [], []
        with open(path, encoding="utf-8") as file:
            self.feed(file.read())
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in TAGS or any(name.startswith("on") or name in ("style", "srcset") for name in attrs):
            self.wrong.append(self.get_starttag_text())
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attrs:
            if attrs["id"] in self.ids:
                self.wrong.append(f"id {attrs['id']} twice")
            self.ids.add(attrs["id"])
        if tag == "a":
            self.hrefs.append(attrs.get("href", ""))
        elif "href" in attrs:
            self.sheets.append(attrs["href"])
        if tag == "img":
            self.images.append((attrs.get("src", ""), attrs.get("alt", "")))
        if tag == "p":
            self.paragraphs.append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        if "p" in self.open and not {"pre", "code"} & set(self.open):
            self.paragraphs[-1] += data


PAGES = {name: Reader(os.path.join(HTML, name)) for name in os.listdir(HTML) if name.endswith(".html")}


def file_of(target):
    """Where a link leads: in the manual, or in the examples that are installed beside it."""
    path = os.path.normpath(os.path.join(HTML, target))
    beside = os.path.relpath(path, os.path.dirname(HTML))
    return os.path.join(DOCS, beside) if beside.startswith("examples/") else path


class Manual(unittest.TestCase):
    def test_well_formed(self):
        for name, page in PAGES.items():
            with self.subTest(name):
                self.assertEqual((page.wrong, page.open), ([], []))

    def test_links(self):
        links = 0
        for name, page in PAGES.items():
            for href in page.hrefs:
                if re.match(r"https?:", href):
                    continue
                path, _, anchor = href.partition("#")
                with self.subTest(page=name, link=href):
                    links += 1
                    self.assertTrue(os.path.isfile(file_of(path)) if path else anchor)
                    if anchor:
                        self.assertIn(anchor, PAGES[path or name].ids)
        self.assertGreater(links, 100)

    def test_pictures(self):
        shown = set()
        for name, page in PAGES.items():
            for source, alt in page.images:
                with self.subTest(page=name, picture=source):
                    self.assertNotIn(":", source)
                    self.assertTrue(os.path.isfile(os.path.join(HTML, source)))
                    self.assertGreater(len(alt), 10, "says nothing to who cannot see it")
                    shown.add(source)
        made = {f"diagrams/{name}" for name in os.listdir(os.path.join(HTML, "diagrams"))}
        self.assertFalse(made - shown, "shown nowhere")

    def test_all_reached_from_index(self):
        self.assertFalse(set(PAGES) - {"index.html"} - set(PAGES["index.html"].hrefs),
                         "not in docs/html/index.md")
        for name, page in PAGES.items():
            self.assertIn("index.html", page.hrefs, name)

    def test_nothing_from_elsewhere(self):
        for name, page in PAGES.items():
            self.assertEqual(page.sheets, ["style.css"], name)
        for folder, _, files in os.walk(HTML):
            for name in files:
                if name.endswith((".css", ".svg")):
                    with self.subTest(name), open(os.path.join(folder, name), encoding="utf-8") as file:
                        self.assertNotRegex(file.read(), r"<script|\son\w+=|@import|url\(\s*[^)#\s]|"
                                            r"(href|src)=\"(?!#|data:image/png|https?://[^\"]*\"[^>]*>\s*<text)")

    def test_nothing_is_left_as_it_was_typed(self):
        """A list or table that the parser did not see as one, and names of man pages without a link."""
        for name, page in PAGES.items():
            for text in page.paragraphs:
                with self.subTest(page=name, text=text[:60]):
                    self.assertNotRegex(text, r"(?m)^\s*(?:[-*] |\|.*\|\s*$)|\]\(|\*\*|(?<!\w)``")
        self.assertIn("postcopyd-policy.5.html", PAGES["postcopyd.8.html"].hrefs)
        self.assertIn("postcopyd-plugin.7.html", PAGES["upgrading.html"].hrefs)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
