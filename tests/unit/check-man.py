#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The man pages name every command and option that --help does, and none that it does not. Each --help
fits a screen, and its example is understood.

check-man.py POSTCOPYCTL POSTCOPYD HOOK DOCS
"""
import functools
import os
import re
import subprocess
import sys
import unittest

CTL, DAEMON, HOOK, DOCS = sys.argv[1:5]
LINES, COLUMNS = 24, 80
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


@functools.cache
def help_of(*argv):
    done = subprocess.run([*argv, "--help"], capture_output=True, text=True, timeout=20,
                          env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0 and done.stdout, f"{argv} --help: exit {done.returncode}"
    return done.stdout


def options(text):
    """Names of the options that a --help lists, one a line."""
    return {m[1] for m in re.finditer(r"^ +(?:-\w, )?--([a-z-]+)", text, re.M)}


def commands():
    """name -> summary, from postcopyctl help all."""
    listed = subprocess.run([CTL, "help", "all"], capture_output=True, text=True, timeout=20,
                            env={**os.environ, "LC_ALL": "C"}, check=True).stdout
    return dict(line.split(None, 1) for line in listed.splitlines())


def subcommands(command):
    """Those of a command, from its --help."""
    _, _, listed = help_of(CTL, command).partition("Commands:\n")
    return re.findall(r"^  ([a-z]+) ", listed, re.M)


def all_helps():
    """What has a --help, and that."""
    for argv in ([CTL], [DAEMON], [HOOK]):
        yield tuple(argv), help_of(*argv)
    for name in commands():
        yield (CTL, name), help_of(CTL, name)
        for sub in subcommands(name):
            yield (CTL, name, sub), help_of(CTL, name, sub)


def options_of(command):
    return set().union(*(options(help_of(CTL, command, *sub))
                         for sub in [(), *((s,) for s in subcommands(command))]))


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
                                 sorted(options_of(name) - {"help"}),
                                 f"docs/postcopyctl.rst, {name}: its option list, against "
                                 f"postcopyctl {name} --help")

    def test_synopsis_of_each_command(self):
        """What --help shows after the command is in the section's title or text."""
        for name, *sub in [(n, *s) for n in commands() for s in [(), *((s,) for s in subcommands(n))]]:
            with self.subTest(command=name, sub=sub):
                usage = re.search(r"^  postcopyctl .*$", help_of(CTL, name, *sub), re.M)[0]
                words = re.findall(r"[A-Za-z][\w-]+", usage.split("OPTION", 1)[1])
                if subcommands(name) and not sub:
                    words = [w for w in words if w not in ("COMMAND", "ARGUMENT")] + subcommands(name)
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
            known |= options_of(name)
        for name in ("postcopyctl", "postcopyd", "postcopyd.conf"):
            self.assertEqual(sorted(set(OPTION.findall(page(name))) - known), [],
                             f"docs/{name}.rst names options that no --help has")


class Help(unittest.TestCase):
    def test_fits_a_screen(self):
        seen = 0
        for argv, text in all_helps():
            with self.subTest(command=argv):
                lines = text.splitlines()
                self.assertLessEqual(len(lines), LINES, text)
                self.assertEqual([line for line in lines if len(line) > COLUMNS], [])
                self.assertTrue(text.endswith("\n") and not text.endswith("\n\n"), text[-40:])
                seen += 1
        self.assertGreater(seen, 30)

    def test_the_first_screen_names_every_command(self):
        listed = help_of(CTL).partition("Commands:\n")[2]
        self.assertEqual(sorted(re.findall(r"[a-z-]+", " ".join(
            re.findall(r"^  ([a-z, -]+?)  ", listed, re.M)))), sorted(commands()))

    def test_subcommands(self):
        for command, subs in (("policy", "list show check set simulate"), ("snapshot", "verify info merge"),
                              ("incident", "list show report")):
            self.assertEqual(subcommands(command), subs.split())
        for command, sub, own in (
                ("policy", "set", "config default policy-dir role"), ("policy", "check", "config"),
                ("incident", "show", "json state-dir"), ("snapshot", "merge", "mark-missing output quiet"),
                ("snapshot", "info", "json")):
            text = help_of(CTL, command, sub)
            self.assertRegex(text, rf"(?m)^  postcopyctl {command} \[OPTION.+\] {sub} ")
            self.assertEqual(sorted(options(text) - {"help"}), own.split(), text)

    def test_examples(self):
        """They get as far as asking for a daemon, or a file: what is not understood is 2, or says so."""
        ran = 0
        for argv, text in all_helps():
            for example in re.findall(r"^Example: postcopyctl (.*)$", text, re.M):
                with self.subTest(example=example):
                    done = subprocess.run([CTL, "--bus", "unix:path=/nonexistent", *example.split()],
                                          capture_output=True, text=True, timeout=20, check=False)
                    self.assertEqual(example.split()[0], argv[1])
                    self.assertNotRegex(done.stderr, "Unknown option|expected (one|list|DOMAIN)|--help")
                    ran += 1
        self.assertGreater(ran, 10)

    def test_words(self):
        """A new user's first words."""
        def run(*words):
            done = subprocess.run([CTL, *words], capture_output=True, text=True, timeout=20, check=False,
                                  env={**os.environ, "LC_ALL": "C"})
            return done.returncode, done.stdout, done.stderr
        self.assertEqual(run("help"), (0, help_of(CTL), ""))
        self.assertEqual(run("-h"), (0, help_of(CTL), ""))
        self.assertEqual(run(), (2, "", help_of(CTL)))
        self.assertEqual(run("help", "recover"), (0, help_of(CTL, "recover"), ""))
        self.assertEqual(run("recover", "-h"), (0, help_of(CTL, "recover"), ""))
        self.assertEqual(run("help", "policy", "set"), (0, help_of(CTL, "policy", "set"), ""))
        for typed, meant in (("recoverr", "recover"), ("snap", "snapshot"), ("lsit", "list"),
                             ("force_pause", "force-pause"), ("statsu", "status"), ("incidents", "incident")):
            self.assertEqual(run(typed), (2, "", f"postcopyctl: unknown command '{typed}'; did you mean "
                                                 f"'{meant}'? See 'postcopyctl --help'\n"))
        for typed, named in (("--bus=session", "--bus"), ("-H", "-H"), ("--connect", "--connect")):
            self.assertEqual(run("list", typed, "x"), (2, "", f"postcopyctl list: {named} stands before the "
                                                              f"command: 'postcopyctl {named} ... list'\n"))
        self.assertEqual(run("list", "--nonsense"), (
            2, "", "postcopyctl list: Unknown option --nonsense; see 'postcopyctl list --help'\n"))
        for typed in ("reboot", "x", "a" * 1000):
            self.assertEqual(run(typed), (2, "", f"postcopyctl: unknown command '{typed}'; see "
                                                 "'postcopyctl --help'\n"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
