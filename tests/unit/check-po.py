#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""All that postcopyctl says to people can be translated, and nothing that programs read is.

check-po.py POSTCOPYCTL SOURCE

Marks are looked for in the sources; and a language is made up (pseudo_po), and spoken. What needs a
daemon is in tests/bus/test_po.py.
"""
import glob
import json
import os
import re
import shutil
import sys
import tempfile
import unittest

CTL, ROOT = map(os.path.abspath, sys.argv[1:3])
sys.path.insert(0, os.path.join(ROOT, "tests"))
import pseudo_po  # noqa: E402

FIXTURES = os.path.join(ROOT, "tests", "unit", "fixtures")
POLICIES = os.path.join(ROOT, "policies")
NOWHERE = "unix:path=/nonexistent/bus"

# Who says the words of which argument to people; of postcopyctl's own files all of them.
SPEAKERS = {"g_print": 0, "g_printerr": 0, "g_set_error": 3, "g_set_error_literal": 3,
            "g_error_new": 2, "g_prefix_error": 1, "g_propagate_prefixed_error": 2,
            "pcd_node_refuse": 3, "pcd_findings_add": 5, "complain": 1, "add_field": (1, 2),
            "add_label": 1, "advise": 5, "say": 1, "usage": 0, "set_answers": 3}
OWN_SPEAKERS = {"g_strdup": 0, "g_strdup_printf": 0, "g_string_append": 1,
                "g_string_append_printf": 1, "add": 1}
# Names and notation, for all that are no sentences.
NO_PROSE = [r"<[^>]*>?", r"[^<]*>", r"%\S*", r"\\.", r"postcopyctl( [a-z]+)?:", r"postcopyctl  ", r"--(bus|host):", r"(?<= )UUID",
            r"=> ", r"/proc/\S*", r"POSTCOPYCTL_SSH", r"--", r"libvirt=", r"qemu=", r"zstd:",
            r"libvirt:", r"UFFDIO_COPY", r"probe: (socketpair|fork):", r"^postcopyctl $",
            r"^(system|session|unknown|unfinished|unattended|src|dst)$", r"^BEGIN .*"]
TOKEN = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|\w+|\s+|'
                   r'^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*|.', re.S | re.M)

# Outside of the brackets of a language that was made up stands only what is no language.
NOTATION = [
    r"'[^']*'", r'"[^"]*"', r"/[\w./*-]+", r"--[a-z-]+(=\S+)?", r"-[hHcfpqw], ",
    r"unix:path=\S*", r"\w+://\S*", r"\{address\}", r"\$\S*", r"\[[^\]]*\]", r"\S+\.(json|conf|html)\b",
    r"\d\S*", r"\b[A-Z][A-Z_]+\b", r"(?<![\w-])(ms|min|us)\b",
]
# Words of the policies' and of the records' own language: shown as they are typed.
VOCABULARY = """source destination precopy device postcopy paused recovering completed failed gone
flowing slow stalled none network peer-closed operator unknown notify force-pause recover stop freeze
snapshot debug resume destroy when if else for kickable traceable blocked peer-answers done refused
started would hold release start give-up refuse cancel observe protect fence forensic first factor
ceiling attempts mode limit session idle order without-proof speed directory action sink good
name description arm steps after settle do with enabled network-timeout backstop backtrace core
stacks gdbserver guest destination-first source-first phase flow cause armed shutdown libvirt policy
measured unattended load store fetch kernel-read not-interruptible interruptible inferred slow-path
full yes no ok note warning error privileges kernel userfaultfd tcp yama apparmor selinux ptys
kernel-side-copy kvm-slow-page-fault userspace-fault tcp-retries
ptrace-scope control-monitor freezer hostname clock config policies plugins state-dir daemon capabilities hook keepalive peer
libvirt-version qemu-version true false""".split()
VOCABULARY_RE = r"(?<![\w-])(%s)(?![\w-])" % "|".join(
    map(re.escape, sorted(VOCABULARY, key=len, reverse=True)))
SYNOPSES = [r"list \| show NAME .*? TRACE", r"list \| show ID \| report ID"]
PROGRAM = r"^postcopyctl( [a-z-]+)*"
# GLib's and libc's own words are in their own catalogs.
OTHERS = [r"^Usage:", r"Show help options", r"vir[A-Z]\w+: .*", r"^(Application |Help )?Options:", r"\[OPTION…\]", r"Unknown option.*",
          r"Missing argument for.*", r"Could not connect: .*", r"No such file or directory",
          r"Failed to open file.*", r"Is a directory", r"Permission denied",
          r"<stdin>.*", r"JSON data must be UTF-8 encoded", r"Cannot parse integer value.*"]


def literals(text):
    """(line, run of literals, [(name, argument), ...] of the calls around it, innermost last)"""
    tokens = [m for m in TOKEN.finditer(text)
              if not m[0].isspace() and not m[0].startswith("/*") and m[0].lstrip()[:1] != "#"]
    stack, i = [], 0
    while i < len(tokens):
        word = tokens[i][0]
        if word in "([{":
            stack.append([tokens[i - 1][0] if word == "(" and i else word, 0])
        elif word in ")]}":
            stack = stack[:-1]
        elif word == "," and stack:
            stack[-1][1] += 1
        elif word.startswith('"'):
            run = word[1:-1]
            line = text.count("\n", 0, tokens[i].start()) + 1
            while i + 1 < len(tokens) and (tokens[i + 1][0].startswith('"')
                                           or re.fullmatch(r"(PRI|G_\w+_FORMAT)\w*",
                                                           tokens[i + 1][0])):
                i += 1
                run += tokens[i][0][1:-1] if tokens[i][0].startswith('"') else "d"
            yield line, run, [tuple(call) for call in stack]
        i += 1


def is_prose(text):
    rest = text
    for pattern in NO_PROSE:
        rest = re.sub(pattern, " ", rest)
    return re.search(r"[A-Za-z]{3,}", rest) is not None


def unmarked(path, speakers):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        text = f.read()
    for line, run, calls in literals(text):
        if not calls or not is_prose(run):
            continue
        name, argument = calls[-1]
        wanted = speakers.get(name)
        if wanted is not None and argument in (wanted if isinstance(wanted, tuple) else (wanted,)):
            yield f"{path}:{line}: {run!r}"


class Sources(unittest.TestCase):
    maxDiff = None

    def test_potfiles_name_all_files_with_marks_and_no_others(self):
        marked = set()
        for path in (*glob.glob("daemon/**/*.[ch]", root_dir=ROOT, recursive=True),
                     *glob.glob("plugin/**/*.[ch]", root_dir=ROOT, recursive=True)):
            with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                if re.search(r"\b(_|N_|ngettext) \(", re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)):
                    marked.add(path)
        listed = pseudo_po.potfiles(ROOT)
        self.assertEqual(sorted(marked), sorted(listed), "daemon/po/POTFILES")

    def test_no_words_for_people_are_without_a_mark(self):
        bad = []
        for path in {*pseudo_po.potfiles(ROOT), *glob.glob("daemon/ctl/*.c", root_dir=ROOT)}:
            own = path.startswith("daemon/ctl/")
            bad += unmarked(path, {**SPEAKERS, **OWN_SPEAKERS} if own else SPEAKERS)
        self.assertEqual(sorted(bad), [], "to be marked with _ (), see CONTRIBUTING.md")

    def test_no_plural_is_made_with_an_s(self):
        for path in pseudo_po.potfiles(ROOT):
            with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                found = re.search(r'== 1 \? "" : "\w+"', f.read())
            self.assertIsNone(found, path)


@unittest.skipUnless(pseudo_po.have_tools(), "no gettext")
class Spoken(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="pcd-po-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.env = pseudo_po.install(ROOT, cls.directory)

    def ctl(self, *argv, env=None):
        return pseudo_po.run(CTL, *argv, env=env or self.env, cwd=ROOT)

    def assert_all_said(self, text, *allowed):
        bad = pseudo_po.leftovers(text, (*OTHERS, *allowed, PROGRAM, *NOTATION, VOCABULARY_RE))
        if bad:
            self.fail("no translator could reach\n" + "\n".join(bad))

    def commands(self):
        listed = self.ctl("help", "all", env=pseudo_po.english()).stdout
        return [line.split()[0] for line in listed.splitlines()]

    def subcommands(self, command):
        """Those that its --help lists."""
        text = self.ctl(command, "--help", env=pseudo_po.english()).stdout
        listed = text.split("Commands:\n")[1] if "Commands:\n" in text else ""
        return re.findall(r"^  ([a-z-]+) ", listed, re.M)

    def test_template_is_good(self):
        pot = os.path.join(self.directory, "check.pot")
        self.assertEqual(pseudo_po.make_pot(ROOT, pot), "")
        done = pseudo_po.run("msgfmt", "--check-format", "--check-domain", "-o", "/dev/null", pot)
        self.assertEqual((done.returncode, re.sub(r"(?m)^.*header field.*\n", "", done.stderr)),
                         (0, ""))
        self.assertGreater(len(pseudo_po.messages(pot)), 500)

    def test_translations_that_are_there(self):
        for path in glob.glob(os.path.join(pseudo_po.po_dir(ROOT), "*.po")):
            done = pseudo_po.run("msgfmt", "--check", "-o", "/dev/null", path)
            self.assertEqual((done.returncode, done.stderr), (0, ""), path)

    def test_help(self):
        text = self.ctl("--help").stdout
        self.assertIn("⟦", text, "nothing was translated: is C.UTF-8 there?")
        names = r"^ *[a-z-]+(, [a-z-]+)*  ?"
        self.assert_all_said(text, r"COMMAND", names)
        self.assert_all_said(self.ctl("help", "all").stdout, names)
        every = [(command,) for command in self.commands()]
        self.assertGreater(len(every), 15)
        every += [(*words, sub) for words in every for sub in self.subcommands(*words)]
        for words in every:
            text = self.ctl(*words, "--help").stdout
            usage = text.split("\n\n")[0]
            self.assertIn(f"postcopyctl {words[0]}", usage)
            self.assert_all_said(text[len(usage):], r"postcopyctl .*$", names)
            self.assertIn("⟦", text)

    def test_errors(self):
        bad = os.path.join(FIXTURES, "policies", "bad")
        for argv in (
                ("nonsense",), ("status", "a", "b"), ("list", "a"), ("top", "a"), ("events", "a"),
                ("sinks", "a"), ("plugins", "a"), ("probe", "a"), ("doctor", "a"), ("inspect",),
                ("inspect", "a", "b"), ("inspect", "a", "--pid", "1"), ("inspect", "--pid", "x"),
                ("inspect", "--pid", "1"), ("inspect", ""), ("recover",), ("recover", "--nonsense"),
                ("recover", "g", "--role", "x"), ("recover", "g", "--timeout", "x"),
                ("recover", "g", "--network", "10.0.0.0/8", "--uri", "x"), ("destroy", "g"),
                ("snapshot", "g", "--directory", "a/b"), ("snapshot", "g", "--speed", "-5"),
                ("snapshot", "g", "--output", "x"), ("snapshot", "merge", "a", "b"),
                ("snapshot", "verify", "/nonexistent"), ("snapshot", "info", "/nonexistent"),
                ("hold",), ("release", "a", "b"), ("--host", "-x", "list"),
                ("--host", "b", "inspect", "g"), ("--bus", "nonsense", "list"),
                *(("--bus", NOWHERE, command) for command in ("list", "status", "events", "sinks")),
                *(("--bus", NOWHERE, command, "g") for command in ("recover", "hold", "stop")),
                ("policy",), ("policy", "check"), ("policy", "check", "/nonexistent.json"),
                ("policy", "check", "/"), ("policy", "--policy-dir", POLICIES, "show", "nonsense"),
                ("policy", "--policy-dir", "/nonexistent", "list"),
                ("policy", "--policy-dir", POLICIES, "simulate", "nonsense", "x"),
                ("policy", "--policy-dir", POLICIES, "simulate", "protect", "/nonexistent"),
                ("policy", "--policy-dir", POLICIES, "simulate", "protect", "x", "--for", "x"),
                ("policy", "--policy-dir", POLICIES, "simulate", "protect", "x", "--fact", "x"),
                ("policy", "--policy-dir", POLICIES, "simulate", "protect", "x", "--outcome", "x"),
                ("incident",), ("incident", "list", "--state-dir", "/nonexistent"),
                ("incident", "show", "1", "--state-dir", "/nonexistent"),
                ("incident", "show", "x"), ("incident", "report", "/nonexistent"),
                ("incident", "list", "--html", "x"), ("plugins", "--config", "/nonexistent"),
                *(("policy", "check", path) for path in sorted(glob.glob(f"{bad}*/*.json"))),
                *(("policy", "check", path) for path in
                  sorted(glob.glob(os.path.join(FIXTURES, "policies", "*.json"))))):
            with self.subTest(argv=argv):
                done = self.ctl(*argv)
                self.assertIn(done.returncode, (0, 1, 2, 3, 4), done)
                self.assert_all_said(done.stdout + done.stderr, r"^\S+\.json:", r"\(\w+\s*$", r"\(\w+ +", r"inspect",
                                     r"nonsense", *SYNOPSES)

    def test_configuration(self):
        path = os.path.join(self.directory, "postcopyd.conf")
        for text in ("[nonsense]\n", "[arm]\nenabled = perhaps\n", "[arm]\nnonsense = 1\n", "x\n",
                     "[arm]\nnetwork-timeout = 1\n", "[arm]\nbackstop = 1s\n[arm]\n", "[policy]\n"
                     "match = x\n", "[peer b]\n", "[recover]\nlibvirt-uri = x\n", "[veto]\n"
                     "actions = x\n", "[sink X Y]\n", "[sinks]\nqueue-size = x\n", "[plugin X]\n",
                     "[plugin example.x]\npath = x\n", "[plugin example.x]\npath = /nonexistent.so\n",
                     "[arm]\nenabled = yes\nenabled = yes\n"):
            with self.subTest(text=text):
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
                done = self.ctl("plugins", "--config", path)
                self.assert_all_said(done.stdout + done.stderr, r"example\.x", r"(watch|host|veto|sinks|plugin|match|libvirt-uri|actions|queue-size)")

    def test_policies(self):
        argv = ("policy", "--policy-dir", POLICIES)
        lines = self.ctl(*argv, "list").stdout.splitlines()
        self.assert_all_said(lines[0])
        self.assertEqual(pseudo_po.crooked(lines[0], lines[2:]), [])
        for path in set(glob.glob(os.path.join(POLICIES, "*.json"))) - set(
                glob.glob(os.path.join(POLICIES, "*schema*"))):
            with open(path, encoding="utf-8") as f:
                policy = json.load(f)
            text = self.ctl(*argv, "show", policy["name"]).stdout
            self.assert_all_said(text, re.escape(policy["description"]))
            self.assert_all_said(self.ctl("policy", "check", path).stdout)

    def test_simulation(self):
        for trace in glob.glob(os.path.join(FIXTURES, "traces", "*")):
            text = self.ctl("policy", "--policy-dir", POLICIES, "simulate", "fence", trace).stdout
            self.assert_all_said(text, r"^[ +-]*\d+\.\d+s +\S+")

    def test_report(self):
        incident = sorted(glob.glob(os.path.join(FIXTURES, "incidents", "*.json")))
        self.assertTrue(incident)
        for path in incident:
            done = self.ctl("incident", "report", path)
            if done.returncode == 0:
                self.check_report(path, done.stdout)

    def check_report(self, path, text):
        with open(path, encoding="utf-8") as f:
            recorded = json.load(f)
        words = set()

        def collect(node):
            if isinstance(node, dict):
                node = list(node.values())
            if isinstance(node, list):
                for value in node:
                    collect(value)
            elif isinstance(node, str):
                words.update((node, *node.split("\n")))
        collect(recorded)
        told = [re.escape(word) for word in sorted(words, key=len, reverse=True) if len(word) > 1]
        when = r"\d{4}-\d\d-\d\d \S+ \S+"
        self.assert_all_said(text, *told, when)
        page = self.ctl("incident", "report", path, "--html", "-").stdout
        seen = re.sub(r"(?s)<style>.*?</style>|<[^>]*>", "\n", page)
        for entity, char in (("&#39;", "'"), ("&apos;", "'"), ("&quot;", '"'), ("&gt;", ">"),
                             ("&lt;", "<"), ("&amp;", "&")):
            seen = seen.replace(entity, char)
        self.assert_all_said(seen, *told, when)
        labels = "\n".join(re.findall(r'aria-label="([^"]*)"', page))
        self.assertIn("⟦", labels)
        self.assert_all_said(labels)
        self.assertEqual(self.ctl("incident", "report", path, "--json").stdout,
                         self.ctl("incident", "report", path, "--json",
                                  env=pseudo_po.english()).stdout)

    def test_probe_and_doctor(self):
        done = self.ctl("--bus", NOWHERE, "doctor")
        kernel = os.uname().release
        # Of the finding itself; the commands that mend it are typed as they are.
        findings = "\n".join(line for line in done.stdout.splitlines()
                             if not line.startswith(" " * 30))
        self.assert_all_said(findings, re.escape(kernel), r"(?m)^\w+ +[a-z-]+  .*?: (?=⟦)", r"Linux",
                             r"qemu\S*", r"libvirt-qemu", r"keepalive_\w+", r"\S+_\S+",
                             r"QEMU|systemd|libvirt", r"kernel\.\S+", re.escape(os.uname().nodename))
        self.assertIn("⟦", findings)

    def test_json_is_english(self):
        trace = sorted(glob.glob(os.path.join(FIXTURES, "traces", "*")))[0]
        policies = ("policy", "--policy-dir", POLICIES)
        for argv in ((*policies, "list", "--json"), (*policies, "show", "protect", "--json"),
                     (*policies, "simulate", "protect", trace, "--json"), ("plugins", "--json"),
                     ("inspect", "--pid", str(os.getpid()), "--json")):
            english = self.ctl(*argv, env=pseudo_po.english())
            spoken = self.ctl(*argv)
            self.assertEqual((spoken.stdout, spoken.stderr, spoken.returncode),
                             (english.stdout, english.stderr, english.returncode), argv)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
