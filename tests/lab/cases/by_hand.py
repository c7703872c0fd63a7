# SPDX-License-Identifier: LGPL-2.1-or-later
"""./demo by hand. What docs/try-it.md tells a person to type is typed, through ./demo as there, and must show what the page shows."""

import os
import re
import shlex
import signal
import subprocess
import tempfile
import time

from pcdlab import Lab, ids, page, proc
from pcdlab.case import case
from pcdlab.proc import LabError
from pcdlab.typist import Typist

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
PAGE = "docs/try-it.md"
# A person looks again until it is there.
LOOKS = re.compile(r"postcopyctl (list|status|inspect|incident (list|show))|virsh (list|domstate|metadata)|\S*demo verify")
STAYS = re.compile(r"--follow|--watch|postcopyctl top")
PATIENCE = 90


class Reader:
    """Somebody who has nothing but the page, and two terminals."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {**os.environ, "NO_COLOR": "1"}
        self.terminals = {}
        self.lab = None
        self.last = None  # (place, command)
        self.shown = ""  # of the last command in a shell of one's own

    def read(self, blocks):
        for block in blocks:
            if isinstance(block, page.Seen):
                self.see(block)
                continue
            for command in block.commands:
                self.type(block.place, command)

    def demo(self, *words, timeout):
        done = proc.run([os.path.join(TOP, "demo"), *words], env=self.env, timeout=timeout, check=False)
        self.shown = done.out + done.err
        return done

    def type(self, place, command):
        print(f"# {place or 'here'}$ {command}", flush=True)
        self.last = place, command
        if place:
            self.terminals[place].type(command)
            if not STAYS.search(command):
                self.terminals[place].wait_prompt(PATIENCE)
            return
        words = shlex.split(command)
        if words[:2] != ["sudo", "./demo"]:
            raise LabError(f"{PAGE}: {command!r} is not said to be typed on a host")
        if words[2:] in (["src"], ["dst"]):
            self.terminals[words[2]] = Typist([os.path.join(TOP, "demo"), words[2]], f"{words[2]}# ", self.env,
                                              self.folder)
            return
        done = self.demo(*words[2:], timeout=300)
        if done.rc:
            raise LabError(f"{command}: exit {done.rc}: {self.shown}")
        if words[2:] == ["--stay"]:
            self.lab = by_hand().adopt()  # or it would outlive this test, if that is killed

    def see(self, seen):
        """Waits until all is there; what only looks is typed again meanwhile."""
        place, command = self.last
        watched = seen.place or place
        deadline = time.monotonic() + PATIENCE
        while (gone := page.missing(seen.lines, self.text(watched))) is not None:
            if time.monotonic() > deadline:
                raise LabError(f"{PAGE}:{seen.line}: {command}: does not show, in {PATIENCE} s: {gone!r}; it shows:\n"
                               f"{self.text(watched)}")
            time.sleep(0.5)
            if LOOKS.match(command) and watched == place:
                self.type(place, command)
        for line in self.text(watched).splitlines():
            print(f"#   {line}", flush=True)

    def text(self, place):
        return self.terminals[place].text if place else self.shown

    def leave(self):
        for terminal in self.terminals.values():
            terminal.close()
        self.demo("--down", timeout=60)
        if self.lab:
            self.lab.down()


def by_hand():
    """The hosts that ./demo --stay has left up for this build."""
    for lab_id in ids.known():
        if (ids.load(lab_id) or {}).get("by-hand") == os.path.realpath(os.environ["PCD_BUILD"]):
            return Lab.attach(lab_id)
    return None


@case("long-try-it", lab=None, timeout=600)
def try_it():
    """Every command of docs/try-it.md, in order, each on its host; what the page shows is seen."""
    with open(os.path.join(TOP, PAGE), encoding="utf-8") as file:
        blocks = page.blocks(file.read())
    assert sum(isinstance(b, page.Typed) for b in blocks) > 20, "the page's blocks are not found"
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(folder)
        try:
            reader.read(blocks)
            assert by_hand() is None, "--down leaves the hosts up"
            assert sorted(os.listdir(folder)) == ["dst.json", "report.html"], os.listdir(folder)
        finally:
            reader.leave()


def interrupt_verify(after):
    """Ctrl-C in ./demo verify, pressed twice, `after` seconds from its start: its exit status and what it said."""
    child = subprocess.Popen([os.path.join(TOP, "demo"), "verify"], stdin=subprocess.DEVNULL, start_new_session=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for wait in (after, 0.03):
            time.sleep(wait)
            proc.kill_group(child.pid, signal.SIGINT)
        said, _ = child.communicate(timeout=60)
    finally:
        proc.kill_group(child.pid)
        child.wait()
    return child.returncode, said


@case("long-verify-interrupted", timeout=300)
def verify_interrupted(lab):
    """Ctrl-C in ./demo verify, at any moment: one line and exit 130, and the guest runs as before."""
    lab.state["by-hand"] = os.path.realpath(os.environ["PCD_BUILD"])
    vm = lab.vm("guest1", mib=400, vcpus=2)
    began = time.monotonic()
    said = proc.run([os.path.join(TOP, "demo"), "verify"], timeout=60).out
    whole = time.monotonic() - began
    assert "pages checked, 0 wrong" in said, said
    ends = []
    for i in range(1, 16):
        code, said = interrupt_verify(whole * i / 16)
        ends.append(code)
        assert lab.src.domstate(vm.name)[0] == "running", (i, code, said)
        if code == 130:
            assert said == "demo: interrupted; guest1 goes on as before\n", said
        elif code == 0:
            assert "0 wrong" in said, said
        else:  # before there was anything to end: as the shell itself does
            assert (code, said) == (-signal.SIGINT, ""), (code, said)
    print(f"# verify lasts {whole:.2f} s; ended by Ctrl-C: {ends}")
    assert ends.count(130) >= 3, ends
