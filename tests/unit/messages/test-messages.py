#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every error message there is: listed from the sources, provoked, and held to rules.

test-messages.py SOURCE BUILD RECORDER

source.py reads the messages from the C sources. The recorder is preloaded into our programs and
into the unit tests and writes down what they make; walk.py types what provokes it. What cannot be
provoked here is in unwalked.txt, with a sample that is held to the same rules, and one of:

  words: FILE   that test has its words, and provokes it
  seen: NAMES   the test or the lab's case that was seen to provoke it, by this recorder in its daemons
  why: REASON   nothing provokes it

That list may only shrink: a new message is walked, or its line says why not. PCD_MESSAGES_DUMP=FILE
keeps what was recorded.
"""
import collections
import concurrent.futures
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import recorded
import rules
from source import Source
from walk import Walk

HERE = pathlib.Path(__file__).parent
# Unit tests that make no error, or would only take long.
IDLE = {"probe", "doctor", "foresee", "lifecycle", "machine", "measured", "net", "net-ring", "show", "top",
        "thread-class", "types", "log"}
# A unit test that a busy machine stopped half-way may leave so many out; they are told all the same.
SPARE = 3
# Some try random damage: always the same here.
SEED = "R02S" + "0" * 32


class Listed:
    """What is not walked here: for each message its text with {}, and indented a sample, and a line
    that begins with one of KINDS. ~ before a message: some machines walk it."""

    KINDS = ("words", "seen", "why")

    def __init__(self, path):
        self.entries = {}
        text = None
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            kind, _, rest = line[4:].partition(": ")
            if line.startswith("    ") and "sample" not in self.entries[text]:
                self.entries[text]["sample"] = line[4:]
            elif line.startswith("    "):
                assert kind in self.KINDS and rest, f"{path}:{number}: none of {self.KINDS}"
                self.entries[text].update(kind=kind, reason=rest)
            elif line.strip() and not line.startswith("#"):
                text = line.lstrip("~")
                assert text not in self.entries, f"{path}:{number}: again"
                self.entries[text] = {"sometimes": line.startswith("~"), "place": f"{path.name}:{number}"}


class Test:
    def __init__(self, source_root, build_root, recorder):
        self.root, self.build, self.recorder = map(pathlib.Path, (source_root, build_root, recorder))
        self.wrong, self.unprovoked = [], []

    def complain(self, what):
        self.wrong.append(what)

    def record(self):
        """Everything that is made while programs run, and what they print."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="pcd-messages-"))
        try:
            # Children of unit tests record as nobody, too.
            folder.chmod(0o711)
            (folder / "record").touch()
            (folder / "record").chmod(0o666)
            env = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "", "LD_PRELOAD": str(self.recorder),
                   "PCD_MESSAGES": str(folder / "record")}
            walk = Walk(folder, env)
            with concurrent.futures.ThreadPoolExecutor(5) as pool:
                parts = [pool.submit(part) for part in (walk.typed, walk.config, walk.hosts, walk.buses, walk.certificates, walk.hooked,
                                                          walk.silent)]
                units = [pool.submit(self.unit, program, env) for program in self.unit_tests()]
                for each in units + parts:
                    each.result()
            dump = os.environ.get("PCD_MESSAGES_DUMP")
            if dump:
                shutil.copy(folder / "record", dump)
            return recorded.read(folder / "record"), walk.said
        finally:
            shutil.rmtree(folder)

    def unit_tests(self):
        programs = [*self.build.glob("tests/unit/test-*"), *self.build.glob("tests/plugin/test-parts")]
        return [p for p in sorted(programs) if p.is_file() and os.access(p, os.X_OK) and
                p.name.removeprefix("test-") not in IDLE]

    def unit(self, program, env):
        """Whether it passes is its own affair, but it has to get to its end."""
        for _ in range(2):
            done = subprocess.run([program, "--tap", "--seed", SEED], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=120, start_new_session=True)
            if done.returncode == 0:
                return

    def check_rules(self, message, made):
        # What only hands on a text of others, or the help, is judged where it was made.
        if not message.words.strip(": \n"):
            return
        prefix = "prefix" in made.maker
        for complaint in rules.of_message(made.text, prefix):
            # What a person typed is escaped where it is printed, once for all.
            if complaint == "control characters reach a terminal" and \
                    (made.maker == "g_printerr" or made.program.startswith("postcopy")):
                continue
            self.complain(f"{message.place}: {complaint}: {made.text!r}")
        for complaint in outcome_rules(message, made.text):
            self.complain(f"{message.place}: {complaint}: {made.text!r}")

    def check_said(self, said):
        words = " ".join(map(str, said.words))
        if said.status != said.expected:
            self.complain(f"{words}: exit {said.status}, expected {said.expected}: {said.stderr!r}")
        for complaint in rules.of_output(said.stderr):
            self.complain(f"{words}: {complaint}: {said.stderr!r}")
        if said.status and not said.stderr.strip():
            self.complain(f"{words}: exit {said.status} and no word why")
        elif said.status and rules.without_advice(said.stderr):
            self.complain(f"{words}: says not what to do: {said.stderr!r}")

    def check_list(self, texts, walked, unwalked):
        for text, message in sorted(texts.items(), key=lambda item: item[1].place):
            if message.place.startswith("plugin/sinks/webhook/") and not os.environ["PCD_WITH"]:
                continue
            if text not in walked and text not in unwalked.entries:
                self.unprovoked.append(f"{message.place}: nothing provokes it: {text!r}; let walk.py or a unit test do so, "
                              "or tell in unwalked.txt why that cannot be")
        if len(self.unprovoked) > SPARE:
            self.wrong += self.unprovoked
        for text, entry in unwalked.entries.items():
            if text not in texts:
                self.complain(f"{entry['place']}: there is no such message: {text!r}")
                continue
            if text in walked and not entry["sometimes"]:
                self.complain(f"{entry['place']}: it was walked: {text!r}; take it off the list")
            self.check_entry(texts[text], entry)

    def check_entry(self, message, entry):
        sample, reason = entry.get("sample"), entry.get("reason", "")
        pattern = re.compile(message.pattern().pattern.removesuffix(r"\n").removesuffix("\\\n"), re.S)
        if not sample or not pattern.fullmatch(sample):
            self.complain(f"{entry['place']}: its sample is not of this message: {sample!r}")
            return
        for complaint in [*rules.of_message(sample, "prefix" in message.maker), *outcome_rules(message, sample)]:
            self.complain(f"{entry['place']}: {complaint}: {sample!r}")
        if not reason:
            self.complain(f"{entry['place']}: neither walked nor a word why not")
        elif entry["kind"] == "words" and longest_words(message) not in joined_text(self.root / reason):
            self.complain(f"{entry['place']}: {reason} does not have its words: {longest_words(message)!r}")
        elif entry["kind"] == "seen":
            for name in reason.split(", "):
                if name not in self.cases and not (self.root / name).exists():
                    self.complain(f"{entry['place']}: there is no test {name}")

    @functools.cached_property
    def cases(self):
        """The names of the lab's cases."""
        done = subprocess.run([self.root / "tests/lab/run", "--list"], capture_output=True, text=True, check=True,
                              timeout=120)
        return set(re.findall(r"^\w+: (\S+)", done.stdout, re.M))

    def run(self):
        source = Source([self.root / "daemon", self.root / "plugin"])
        for way in source.unknown_ways:
            self.complain(f"{way}: source.py does not know this way to make an error")
        texts = {}
        for message in source.messages:
            texts.setdefault(message.text.rstrip("\n"), message)
        del texts[""]
        matcher = recorded.Matcher(source.messages)
        walked = {}
        made_all, said_all = self.record()
        played = (self.root / "tests/bus/scripted-engine.c").read_text(encoding="utf-8")
        for made in made_all:
            message = matcher.find(made)
            if message:
                walked.setdefault(message.text.rstrip("\n"), []).append(made)
                self.check_rules(message, made)
            elif made.ours and made.maker != "g_vsnprintf" and "/test-" not in made.program and made.format not in played:
                self.complain(f"{made.program} made what source.py did not find, by {made.maker}: {made.text!r}")
        for said in said_all:
            self.check_said(said)
        unwalked = Listed(HERE / "unwalked.txt")
        if os.geteuid() == 0:
            self.check_list(texts, walked, unwalked)
        kinds = collections.Counter(e.get("kind") for e in unwalked.entries.values())
        print(f"{len(texts)} messages: {len(walked)} walked by {len(said_all)} calls and the unit tests, "
              f"{' '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}")
        return texts, walked, unwalked


def outcome_rules(message, text):
    """A recovery is tried again by itself, and postcopyctl says so."""
    if message.maker in ("pcd_action_refuse", "pcd_action_fail") or message.place.startswith("daemon/engine/pcd-") \
            and message.maker == "outcome":
        if rules.tells_not_what_to_do(text):
            yield "says not what to do"


def longest_words(message):
    """The longest run of its own words, to look for in a test."""
    runs = [p.strip(" \n") for p in message.pieces if isinstance(p, str)]
    return max(runs, key=len, default="")


def joined_text(path):
    """Strings that continue on the next line are one."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"[\"']\s*\n\s*[frb]?[\"']", "", text).replace("\\'", "'").replace('\\"', '"')


if __name__ == "__main__":
    if not shutil.which("dbus-daemon") or not shutil.which("gdbus"):
        print("skipped: no dbus-daemon or no gdbus")
        sys.exit(77)
    test = Test(*sys.argv[1:4])
    test.run()
    for line in sorted({*test.wrong, *test.unprovoked}):
        print(line)
    print(f"{len(set(test.wrong))} wrong")
    sys.exit(1 if test.wrong else 0)
