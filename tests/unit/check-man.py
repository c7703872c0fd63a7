#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The man pages name every command and option that --help does, and none that it does not.

check-man.py POSTCOPYCTL POSTCOPYD DOCS
"""
import os
import re
import subprocess
import sys
import unittest

CTL, DAEMON, DOCS = sys.argv[1:4]
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


def help_of(*argv):
    done = subprocess.run([*argv, "--help"], capture_output=True, text=True, timeout=20,
                          env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0 and done.stdout, f"{argv} --help: exit {done.returncode}"
    return done.stdout


def options(text):
    """Names of the options that a --help lists, one a line."""
    return {m[1] for m in re.finditer(r"^ +(?:-\w, )?--([a-z-]+)", text, re.M)}


def commands():
    """name -> summary, from the list in postcopyctl --help."""
    listed = help_of(CTL).split("Commands:\n")[1].split("\n\n")[0]
    return dict(line.split(None, 1) for line in listed.splitlines())


def page(name):
    with open(os.path.join(DOCS, f"{name}.rst"), encoding="utf-8") as f:
        return f.read()


def sections(text, underline):
    """title -> body of the sections whose titles are underlined with that character."""
    parts = re.split(rf"^(\S.*)\n{re.escape(underline)}{{3,}}\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def described(body):
    """Options that have an entry of their own in an option list."""
    return {name for line in re.findall(r"^-\S.*$", body, re.M) for name in OPTION.findall(line)}


class ManPages(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        parts = sections(page("postcopyctl"), "=")
        self.top_options = parts["OPTIONS"]
        self.commands = {title.split()[0]: (title, body)
                         for title, body in sections(parts["COMMANDS"], "-").items()}

    def test_every_command_has_a_section(self):
        self.assertEqual(sorted(self.commands), sorted(commands()),
                         "docs/postcopyctl.rst, COMMANDS, against postcopyctl --help")

    def test_options_of_each_command(self):
        for name in commands():
            with self.subTest(command=name):
                _, body = self.commands[name]
                self.assertEqual(sorted(described(body)),
                                 sorted(options(help_of(CTL, name)) - {"help"}),
                                 f"docs/postcopyctl.rst, {name}: its option list, against "
                                 f"postcopyctl {name} --help")

    def test_synopsis_of_each_command(self):
        """What --help shows after the command is in the section's title or text."""
        for name in commands():
            with self.subTest(command=name):
                usage = re.search(r"^  postcopyctl .*$", help_of(CTL, name), re.M)[0]
                words = re.findall(r"[A-Za-z][\w-]+", usage.split("OPTION", 1)[1])[1:]
                title, body = self.commands[name]
                self.assertEqual([w for w in words if w not in title + body], [],
                                 f"docs/postcopyctl.rst, {name}, lacks these words of its usage")

    def test_options_before_the_command(self):
        self.assertEqual(sorted(described(self.top_options)), sorted(options(help_of(CTL))))

    def test_options_of_the_daemon(self):
        body = sections(page("postcopyd"), "=")["OPTIONS"]
        self.assertEqual(sorted(described(body)), sorted(options(help_of(DAEMON))))

    def test_no_page_names_an_unknown_option(self):
        known = options(help_of(CTL)) | options(help_of(DAEMON))
        for name in commands():
            known |= options(help_of(CTL, name))
        for name in ("postcopyctl", "postcopyd", "postcopyd.conf"):
            self.assertEqual(sorted(set(OPTION.findall(page(name))) - known), [],
                             f"docs/{name}.rst names options that no --help has")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
