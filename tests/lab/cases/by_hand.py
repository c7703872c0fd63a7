# SPDX-License-Identifier: LGPL-2.1-or-later
"""What docs/try-it.md tells a person to type is typed, through ./demo as there, and must show what the page shows."""

import os
import re
import shlex
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
