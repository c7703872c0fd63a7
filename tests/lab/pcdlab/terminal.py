# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that has a real terminal for its standard error. Must not know what it shows there."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios


class Terminal:
    """Runs a program on a host; its terminal has 120 columns, its standard output is a pipe."""

    def __init__(self, host, *argv):
        self._end, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 120, 0, 0))
        self.child = host.popen(argv, stdout=subprocess.PIPE, stderr=end, text=True)
        os.close(end)
        self.text = ""

    def lines(self):
        """What its one line, which it writes over and over, has shown so far."""
        while select.select([self._end], [], [], 0)[0]:
            try:
                self.text += os.read(self._end, 65536).decode()
            except OSError:  # the other end is closed
                break
        return self.text.replace("\x1b[K", "").split("\r")[1:]

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.child.stdout.close()
        os.close(self._end)
