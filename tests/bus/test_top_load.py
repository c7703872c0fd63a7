#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""postcopyctl top with 500 migrations: what it writes, how soon, and what it costs.

Its terminal is a pty whose other end counts every byte. Bounds are ratios, or CPU time, so that they
hold on a busy machine.
"""
import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import termios
import time
import unittest

from test_bus import CTL, Case, end_process

PATIENCE = 60
CLEAR = re.compile(rb'\033\[H\033\[[02]?J|\033\[2J|\033c')


def name(i):
    return f'{i:08x}-2222-3333-4444-555555555555 destination vm{i:03d}'


class Screen:
    """The other end of a terminal. What is written there is kept until it is taken."""

    def __init__(self, bus, columns=120, lines=45):
        self.end, end = pty.openpty()
        self.resize(columns, lines)
        env = {**os.environ, 'TERM': 'xterm-256color', 'LC_ALL': 'C.UTF-8'}
        self.process = subprocess.Popen([CTL, '--bus', bus.address, 'top'], stdin=end, stdout=end,
                                        env=env, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(end)
        self.all = self.new = b''

    def resize(self, columns, lines):
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack('4H', lines, columns, 0, 0))

    def read(self, seconds):
        if not select.select([self.end], [], [], seconds)[0]:
            return False
        piece = os.read(self.end, 65536)
        self.all += piece
        self.new += piece
        return True

    def take(self):
        new, self.new = self.new, b''
        return new

    def wait(self, *words):
        """Until all is written that can be, after what was taken last; it gives the seconds."""
        begin = time.monotonic()
        while not all(word in self.new for word in words):
            if time.monotonic() - begin > PATIENCE:
                raise AssertionError(f'{words} not written, but at last {self.new[-500:]!r}')
            self.read(1)
        return time.monotonic() - begin

    def listen(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(left)
        return self.take()

    def press(self, key, word):
        """Seconds until the key's effect is written."""
        self.take()
        os.write(self.end, key)
        return self.wait(word)

    def cpu(self):
        """Seconds of all its threads."""
        total = 0
        for task in os.listdir(f'/proc/{self.process.pid}/task'):
            with open(f'/proc/{self.process.pid}/task/{task}/schedstat') as stat:
                total += int(stat.read().split()[0])
        return total / 1e9

    def memory(self):
        """Bytes that are its own."""
        with open(f'/proc/{self.process.pid}/smaps_rollup') as rollup:
            return 1024 * int(re.search(r'Private_Dirty: +(\d+)', rollup.read())[1])

    def close(self):
        end_process(self.process, signal.SIGKILL)
        os.close(self.end)


class TestLoad(Case):
    def setUp(self):
        super().setUp()
        self.engine = self.daemon()
        self.engine.tell('connected')
        self.tell(range(5))

    def tell(self, which, phase='postcopy flowing none no 0'):
        self.engine.tell(*(f'migration {name(i)} {phase}' for i in which))

    def open(self, *words):
        screen = Screen(self.bus)
        self.addCleanup(screen.close)
        screen.wait(*words)
        return screen

    def measure(self, screen, n=21):
        """Median seconds from key to screen, and CPU seconds for a key."""
        spent = screen.cpu()
        seconds = []
        for _ in range(n):
            seconds += [screen.press(b'?', b'worst trouble first'), screen.press(b'q', b'NAME')]
        return statistics.median(seconds), (screen.cpu() - spent) / len(seconds)

    def test_keys(self):
        screen = self.open(b'vm004')
        few = self.measure(screen)
        self.tell(range(5, 500))
        screen.wait(b'vm030')
        screen.listen(2)
        many = self.measure(screen)
        print(f'\n# from key to screen: 5: {few[0] * 1000:.1f} ms, CPU {few[1] * 1000:.2f} ms; '
              f'500: {many[0] * 1000:.1f} ms, CPU {many[1] * 1000:.2f} ms')
        # There are eight times as many rows on the screen.
        self.assertLess(many[1], 16 * few[1])
        self.assertLess(many[0], 20 * few[0] + 0.5)

    def test_writing(self):
        """Only what differs is written: a screen that is cleared, or painted again, flickers."""
        self.tell(range(5, 500))
        screen = self.open(b'vm039')
        screen.listen(2)
        whole = len(screen.all)
        spent, begin = screen.cpu(), time.monotonic()
        rest = statistics.median(len(screen.listen(1)) for _ in range(8))
        cpu = (screen.cpu() - spent) / (time.monotonic() - begin) * 60
        for blocked in (1, 2, 3):
            self.tell([7], f'postcopy flowing none no {blocked}')
            screen.wait(b'%d' % blocked)
            screen.take()
        print(f'\n# at rest: {rest} bytes a second (to begin with: {whole}), CPU {cpu:.2f} s a minute')
        self.assertLess(rest, whole / 3)
        self.assertLess(cpu, 6)
        clears = [at.start() for at in CLEAR.finditer(screen.all)]
        self.assertEqual(len(clears), 1)
        self.assertLess(clears[0], 300)

    def test_memory(self):
        self.tell(range(5, 500))
        screen = self.open(b'vm030')

        def refresh(n):
            for i in range(n):
                if i % 20 == 0:
                    self.tell(range(0, 500, 25), f'postcopy slow none no {i // 20 % 4}')
                screen.press(b'?', b'worst trouble first')
                screen.press(b'q', b'NAME')
        refresh(100)
        before = screen.memory()
        refresh(200)
        after = screen.memory()
        print(f'\n# memory after 200, 600 pictures: {before >> 10} KiB, {after >> 10} KiB')
        self.assertLess(after, before + (2 << 20))

    def test_storm_of_sizes(self):
        self.tell(range(5, 500))
        screen = self.open(b'vm030')
        for i in range(300):
            screen.resize(40 + i % 160, 10 + i % 50)
            os.kill(screen.process.pid, signal.SIGWINCH)
        screen.resize(200, 50)
        os.kill(screen.process.pid, signal.SIGWINCH)
        screen.take()
        screen.wait(b'POLICY')
        screen.press(b'?', b'worst trouble first')
        screen.press(b'q', b'NAME')
        # Sizes that come faster than pictures are not painted one by one.
        self.assertLess(len(CLEAR.findall(screen.all)), 150)

    def test_terminal_hangs_up(self):
        screen = self.open(b'vm004')
        os.close(screen.end)
        screen.end = os.open('/dev/null', os.O_RDWR)
        self.assertEqual(screen.process.wait(PATIENCE), 0)


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('skipped: needs root, as only root may own the name org.postcopyd')
        raise SystemExit(77)
    unittest.main(verbosity=2)
