# SPDX-License-Identifier: LGPL-2.1-or-later
"""A person at a shell in a real terminal: types a line, sees what comes. Must not know what it means."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from .proc import LabError

# A full-screen program goes to another line, or screen, without a newline.
ELSEWHERE = re.compile(r"\x1b\[(?:[0-9;]*[Hd]|\?1049[hl])")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>(][A-Z0-9]?|\r")


class Typist:
    """Runs `argv`, a shell whose prompt is `prompt`, in `folder`, in a terminal of 132 columns."""

    def __init__(self, argv, prompt, env, folder, timeout=60):
        self.prompt = re.compile(rf"^{re.escape(prompt)}", re.M)
        self.name = prompt
        self._end, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 50, 132, 0, 0))
        self.child = subprocess.Popen(argv, stdin=end, stdout=end, stderr=end, start_new_session=True,
                                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                                      cwd=folder, env={**env, "TERM": "xterm"})
        os.close(end)
        self._raw = b""
        self._leave = b"\x03"  # ends what runs now: Ctrl-C, if nothing else does
        self._typed_at = 0  # where in the text the last line's output begins
        self.wait_prompt(timeout)

    @property
    def text(self):
        """All that this terminal has shown since the last line was typed."""
        while select.select([self._end], [], [], 0)[0]:
            try:
                self._raw += os.read(self._end, 65536)
            except OSError:  # the shell has ended
                break
        return ESCAPES.sub("", ELSEWHERE.sub("\n", self._raw.decode(errors="replace")))[self._typed_at:]

    def wait(self, ready, timeout, what):
        deadline = time.monotonic() + timeout
        while not ready():
            if time.monotonic() > deadline:
                raise LabError(f"{self.name}: {what}: not within {timeout:g} s; the terminal shows:\n{self.text}")
            time.sleep(0.05)

    def wait_prompt(self, timeout=60):
        self.wait(lambda: self.prompt.search(self.text), timeout, "prompt")

    @property
    def is_busy(self):
        return not self.prompt.search(self.text)

    def type(self, line):
        """Leaves what still runs, types `line`, and returns when the shell has echoed it."""
        if self.is_busy:
            os.write(self._end, self._leave)
            self.wait_prompt(20)
        self._leave = b"q" if line.endswith(" top") else b"\x03"
        self._typed_at += len(self.text)
        os.write(self._end, line.encode() + b"\n")
        self.wait(lambda: "\n" in self.text, 10, f"echo of {line!r}")
        self._typed_at += self.text.index("\n") + 1

    def close(self):
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGHUP)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        os.close(self._end)
