#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The line of progress of postcopyctl, seen on a real pseudo-terminal that is the process's own.

What lasts is real: libvirts and daemons that do not answer, and a snapshot of a gigabyte. Every wait
is for a condition.
"""
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
import unittest

from test_bus import CTL, Case, U1, end_process, wait_for

PATIENCE = 60  # for what takes a moment here, and longer on a busy machine
BUNDLE_BYTES = 1 << 30


class Terminal:
    """A program on a terminal of its own; standard output may be a pipe."""

    def __init__(self, case, *argv, columns=80, term='xterm', pipe=False, env=()):
        self.fd, end = pty.openpty()
        self.columns, self.seen = columns, b''
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack('4H', 24, columns, 0, 0))

        def own_terminal():
            os.setsid()
            fcntl.ioctl(2, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen(
            argv, stdin=end, stdout=subprocess.PIPE if pipe else end, stderr=end,
            preexec_fn=own_terminal, env={**os.environ, 'LC_ALL': 'C.UTF-8', 'TERM': term, **dict(env)})
        os.close(end)
        case.addCleanup(self.close)

    def close(self):
        end_process(self.process, signal.SIGKILL)
        if self.process.stdout:
            self.process.stdout.close()
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def read(self):
        """What has come so far."""
        while self.fd >= 0 and select.select([self.fd], [], [], 0)[0]:
            try:
                piece = os.read(self.fd, 4096)
            except OSError:  # EIO: nobody has the other end open
                break
            self.seen += piece
            if not piece:
                break
        return self.seen

    def wait(self, pattern):
        try:
            wait_for(lambda: re.search(pattern, self.read()), pattern, PATIENCE)
        except AssertionError as error:
            raise AssertionError(f'{pattern} not in {self.seen}') from error

    def end(self):
        """Exit status, what came on the terminal, and what in the pipe."""
        out = b''
        for _ in range(PATIENCE * 10):
            self.read()
            if self.process.stdout and select.select([self.process.stdout], [], [], 0)[0]:
                out += os.read(self.process.stdout.fileno(), 65536)
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        status = self.process.wait(1)
        self.read()
        if self.process.stdout:
            out += self.process.stdout.read()
        return status, self.seen, out.decode()

    def screen(self):
        """What a person sees at the end: the lines, as a terminal of this width shows them."""
        lines, column = [''], 0
        for token in re.findall(r'\r|\n|\033\[K|\033\[[0-9;]*m|[^\r\n\033]', self.read().decode()):
            if token == '\r':
                column = 0
            elif token == '\n':
                lines.append('')
            elif token == '\033[K':
                lines[-1] = lines[-1][:column]
            elif not token.startswith('\033'):
                if column == self.columns:
                    lines.append('')
                    column = 0
                lines[-1] = lines[-1].ljust(column)[:column] + token + lines[-1][column + 1:]
                column += 1
        return [line.rstrip() for line in lines]


def drawn(seen):
    """The lines of progress that were drawn: those after which the cursor goes back."""
    return [line.rstrip() for line in re.findall(r'\r([^\r\n\033]+)(?:\033\[K)?(?=\r(?!\n))', seen.decode())
            if line.strip()]


class TestDoctor(Case):
    """A peer whose libvirt accepts and says nothing: it is given 6 s."""

    def setUp(self):
        super().setUp()
        self.silent = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(self.silent.close)
        self.uri = f'qemu+tcp://127.0.0.1:{self.silent.getsockname()[1]}/system'
        self.config = os.path.join(self.bus.dir, 'postcopyd.conf')
        with open(self.config, 'w') as conf:
            conf.write(f'[peer b]\naddresses = 127.0.0.1\nlibvirt-uri = {self.uri}\n')
        self.args = ['--connect', 'test:///default', '--bus', self.bus.address]
        self.words = ['doctor', '--config', self.config, '--policy-dir', os.environ['PCD_POLICIES']]

    def start(self, *words, before=(), **kwargs):
        return Terminal(self, CTL, *self.args, *before, *self.words, *words, **kwargs)

    def test_who_is_asked(self):
        """All at once: each takes the six seconds."""
        wide, narrow = self.start(), self.start(columns=40)
        plain = self.start(env={'NO_COLOR': '1'}.items())
        dumb = self.start(term='dumb', columns=60)
        piped = self.start('--json', pipe=True)
        quiet = [self.start('--quiet', '--json'), self.start('--json', before=['-q'])]
        unseen = subprocess.Popen([CTL, *self.args, *self.words], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for terminal in (wide, plain, piped):
            terminal.wait(rb'\rasking libvirts, \d of 2 done, waiting for (qemu\+tcp:|test:)//')
        results = [t.end() for t in (wide, narrow, plain, dumb, piped, *quiet)]
        out, err = unseen.communicate(timeout=PATIENCE)
        self.assertNotIn(b'asking', out + err)
        for terminal, (status, seen, _) in zip((wide, narrow, plain, dumb, piped), results):
            lines = drawn(seen)
            self.assertIn(status, (0, 1))
            self.assertTrue(any(line.startswith('asking libvirts') for line in lines), lines)
            self.assertLess(max(map(len, lines)), terminal.columns)
            self.assertTrue(all(re.search(r', \d+ s$', line) for line in lines), lines)
            self.assertNotIn('asking', '\n'.join(terminal.screen()))
        self.assertNotIn(b'\033', results[3][1])
        self.assertEqual(piped.screen(), [''])
        self.assertIsInstance(json.loads(results[4][2]), dict)
        for terminal, (_, seen, _) in zip(quiet, results[5:]):
            self.assertEqual(seen.replace(b'\r\n', b'\n').decode()[:1], '{')
            json.loads(seen)

    def test_interrupted(self):
        """Ctrl-C leaves no line, and none of the processes that asked."""
        terminal = self.start()
        terminal.wait(rb'\rasking libvirts, \d of 2')

        def askers():
            found = subprocess.run(['pgrep', '-f', f'ask-libvirt={re.escape(self.uri)}'],
                                   capture_output=True)
            return found.stdout.split()
        self.assertTrue(askers())
        os.write(terminal.fd, b'\x03')
        status, _, _ = terminal.end()
        self.assertEqual((status, terminal.screen()), (-signal.SIGINT, ['']))
        wait_for(lambda: not askers(), 'the end of who asked')


class TestSnapshot(Case):
    def setUp(self):
        super().setUp()
        self.bundle = os.path.join(self.bus.dir, 'bundle')
        os.mkdir(self.bundle, 0o700)
        with open(os.path.join(self.bundle, 'part'), 'wb') as part:
            part.truncate(BUNDLE_BYTES)
        checksum, zeros = hashlib.sha256(), bytes(1 << 20)
        for _ in range(BUNDLE_BYTES >> 20):
            checksum.update(zeros)
        with open(os.path.join(self.bundle, 'manifest.json'), 'w') as manifest:
            json.dump({'schema': 1, 'parts': [{'name': 'part', 'size': BUNDLE_BYTES,
                                              'sha256': checksum.hexdigest()}]}, manifest)

    def start(self, *words, **kwargs):
        return Terminal(self, CTL, 'snapshot', 'verify', self.bundle, *words, **kwargs)

    def test_verify(self):
        bar, quiet, interrupted = self.start(columns=100), self.start('--quiet'), self.start()
        interrupted.wait(rb'\rreading ')
        os.write(interrupted.fd, b'\x03')
        self.assertEqual(interrupted.end()[0], -signal.SIGINT)
        self.assertEqual(interrupted.screen(), [''])
        bar.wait(rb'\rreading \S+ \[#*-*\] \d+ %, \d+ s\033\[K')
        self.assertEqual(bar.end()[0], 0)
        self.assertEqual(bar.screen(), [f'{self.bundle}: good', ''])
        self.assertEqual(quiet.end()[:2], (0, f'{self.bundle}: good\r\n'.encode()))


class TestDaemon(Case):
    def start(self, *words, **kwargs):
        return Terminal(self, CTL, '--bus', self.bus.address, *words, **kwargs)

    def test_action(self):
        """One that takes its time; an interrupt ends postcopyctl, and not the action."""
        daemon = self.daemon()
        daemon.tell('connected', f'migration {U1} destination g paused none network no 0',
                    'answer later -')
        stop = self.start('stop', 'g')
        stop.wait(rb'\rg: stop, [1-9]\d* s\033\[K')
        os.write(stop.fd, b'\x03')
        self.assertEqual(stop.end()[0], -signal.SIGINT)
        self.assertEqual(stop.screen(),
                         ['postcopyctl stop: interrupted; postcopyd goes on with it', ''])
        daemon.tell('finish done -', 'answer later -',
                    f'ladder {U1} destination protect metadata no 7 freeze - - - - 0',
                    f'doing {U1} destination by\\040cgroup 0 0')
        freeze = self.start('freeze', 'g')
        freeze.wait(rb'\rg: freeze: by cgroup, \d+ s\033\[K')
        daemon.tell('finish done -')
        self.assertEqual(freeze.end()[0], 0)
        self.assertEqual(freeze.screen(), ['g: freeze: done', ''])

    def test_waiting_ends(self):
        self.daemon().tell('connected', f'migration {U1} source g paused none network no 0',
                           'answer later -', f'ladder {U1} source recover default yes 0 - - - - - 0')
        recover = self.start('recover', 'g', '--wait', columns=120)
        recover.wait(rb'\rg: paused, \d+ s\033\[K')
        os.write(recover.fd, b'\x03')
        self.assertEqual(recover.end()[0], -signal.SIGINT)
        self.assertEqual(recover.screen(), [
            'postcopyctl recover: interrupted; it is paused, and held: postcopyd does not go on by '
            'itself', ''])

    def test_daemon_says_nothing(self):
        daemon = self.daemon()
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            seen, quiet = self.start('list', pipe=True), self.start('--quiet', 'list')
            seen.wait(rb'\rwaiting for postcopyd on the bus \S+, \d+ s')
            status, _, out = seen.end()
            self.assertEqual((status, out), (3, ''))
            self.assertTrue(seen.screen()[0].startswith('postcopyctl list: no answer from'))
            self.assertEqual(quiet.end()[0], 3)
            self.assertFalse(drawn(quiet.seen))
        finally:
            daemon.process.send_signal(signal.SIGCONT)

    def test_ssh_asks_for_a_password(self):
        """Nothing is drawn over its question."""
        script = os.path.join(self.bus.dir, 'ssh')
        with open(script, 'w') as ssh:
            ssh.write('#!/bin/sh\nexec 3<>/dev/tty; sleep 1; printf "\\nb\'s password: " >&3\n'
                      'read answer <&3; printf "thanks " >&3; exec 3>&-\nexec sleep 60\n')
        os.chmod(script, 0o755)
        terminal = self.start('-H', 'b', 'list', env={'POSTCOPYCTL_SSH': script}.items())
        terminal.wait(rb"b's password: ")
        time.sleep(2)  # in which it would be drawn eight times
        os.write(terminal.fd, b'x\n')
        terminal.wait(rb'thanks ')
        terminal.wait(rb'thanks .*\rssh connects, \d+ s')
        asked = terminal.seen[terminal.seen.index(b'password'):terminal.seen.index(b'thanks')]
        self.assertNotIn(b'ssh connects', asked)
        os.write(terminal.fd, b'\x03')
        self.assertEqual(terminal.end()[0], -signal.SIGINT)


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('skipped: needs root, as only root may own the name org.postcopyd')
        raise SystemExit(77)
    unittest.main(verbosity=2)
