#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""postcopyctl top in a real terminal, which is tmux: keys go in, what is on the screen comes out.

The daemon is the scripted one of test_bus. Every wait is for a condition.
"""
import os
import re
import shlex
import shutil
import signal
import subprocess
import unittest

from test_bus import CTL, DEADLINE, U1, U2, Case, ctl, wait_for

PATIENCE = 30  # for what takes a moment here, and longer on a busy machine
U3 = '33333333-2222-3333-4444-555555555555'


class TestTop(Case):
    def setUp(self):
        super().setUp()
        self.socket = os.path.join(self.bus.dir, 'tmux')
        self.env = {**os.environ, 'LC_ALL': 'C.UTF-8', 'PS1': 'ready> ', 'TERM': 'screen-256color'}
        for name in ('COLUMNS', 'LINES', 'NO_COLOR', 'TMUX', 'ENV'):
            self.env.pop(name, None)
        self.tmux('-f', '/dev/null', 'new-session', '-d', '-x', '150', '-y', '30',
                  '/bin/bash', '--norc', '--noprofile')
        self.addCleanup(self.tmux, 'kill-server')
        self.wait('ready>')

    def tmux(self, *args):
        return subprocess.run(['tmux', '-u', '-S', self.socket, *args], env=self.env, check=True,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE * 2).stdout

    def keys(self, *keys):
        self.tmux('send-keys', *keys)

    def screen(self):
        return self.tmux('capture-pane', '-p')

    def wait(self, *words, gone=()):
        screen = ''

        def seen():
            nonlocal screen
            screen = self.screen()
            return all(w in screen for w in words) and not any(w in screen for w in gone)
        try:
            wait_for(seen, 'a screen', PATIENCE)
        except AssertionError as error:
            raise AssertionError(f'{words} without {gone} not seen on\n{screen}') from error
        return screen

    def start(self, *words):
        self.keys('-l', f'{shlex.quote(CTL)} --bus {self.bus.address} top; echo "ended: $?"')
        self.keys('Enter')
        self.wait('postcopyctl top:', *words)

    def flags(self):
        return self.tmux('display-message', '-p', '#{cursor_flag} #{alternate_on}').strip()

    def assert_sane(self, status=0):
        """The shell is back, on the screen that was there before, with cursor and echo."""
        self.wait(f'ended: {status}\n', gone=['postcopyctl top:'])
        self.assertEqual(self.flags(), '1 0')
        self.keys('-l', 'stty -a | tr " ;" "\\n\\n" | grep -xE -- "-?(echo|icanon|icrnl|onlcr)"')
        self.keys('Enter')
        self.wait('\necho\n', '\nicanon\n', '\nicrnl\n', '\nonlcr\n')

    def three(self):
        daemon = self.daemon()
        daemon.tell('connected', f'migration {U1} source calm postcopy flowing none no 0',
                    f'migration {U2} source zebra paused none network no 3',
                    f'migration {U3} destination b\\033[31mad postcopy slow none no 4',
                    f'ladder {U1} source recover default no 0 - - - - - 0',
                    f'progress {U1} source 1073741824 4294967296 8192000 100000000')
        return daemon

    def order(self, *names):
        def seen():
            found = [n for line in self.screen().splitlines()[2:-3] for n in names
                     if line.startswith(n)]
            return found == list(names)
        wait_for(seen, f'the order {names}', PATIENCE)

    def test_rows_and_order(self):
        self.three()
        self.start('3 migrations, 2 in trouble, by trouble', '1.0 GiB', '2000', 'network', '3/4')
        self.wait('▁', '█')
        self.assertNotIn('\033', self.screen())
        self.order('zebra', 'b?[31mad', 'calm')
        for key, names in (('n', ('b?[31mad', 'calm', 'zebra')), ('R', ('zebra', 'calm', 'b?[31mad')),
                           ('b', ('b?[31mad', 'zebra', 'calm')), ('r', ('calm', 'b?[31mad', 'zebra')),
                           ('p', ('zebra', 'b?[31mad', 'calm'))):
            self.keys(key)
            self.order(*names)
        self.keys('?')
        self.wait('the other way round', gone=['NAME'])
        self.keys('Escape')
        self.wait('NAME', gone=['the other way round'])
        self.keys('q')
        self.assert_sane()

    def test_actions(self):
        daemon = self.three()
        daemon.tell('answer refused not\\040now')
        self.start('zebra')
        self.keys('h')
        self.wait('hold zebra (source)?')
        self.keys('n')
        self.wait('zebra: hold: left alone')
        self.assertEqual(daemon.tell('orders'), 'ok')
        self.keys('h')
        self.wait('hold zebra (source)?')
        self.keys('y')
        self.wait('zebra: hold: done')
        self.assertIn(f'held=1 {U2} source', daemon.tell('orders'))
        daemon.tell(f'ladder {U2} source recover default yes 0 - - - - - 0')
        self.wait('recover (held)')
        self.keys('h')
        self.wait('release zebra (source)?')
        self.keys('y')
        self.wait('zebra: release: done')
        self.assertIn(f'held=0 {U2} source', daemon.tell('orders'))
        self.keys('c')
        self.wait('recover zebra (source)?')
        self.keys('y')
        self.wait('zebra: recover: refused: not now')
        self.assertIn('recover source', daemon.tell('orders'))

    def test_answer_comes_late(self):
        """An action that takes its time stops neither keys nor drawing."""
        daemon = self.three()
        daemon.tell('answer later -')
        self.start('zebra')
        self.keys('c')
        self.wait('recover zebra (source)?')
        self.keys('y')
        self.wait('zebra: recover: asked')
        self.keys('n')
        self.wait('by name', 'zebra: recover: asked')
        daemon.tell('finish done moved')
        self.wait('zebra: recover: done: moved')

    def test_inspect(self):
        daemon = self.three()
        self.start('zebra')
        self.keys('Down', 'Down', 'i')
        self.wait('calm (source): postcopy', U1, 'Missing:', gone=['zebra'])
        daemon.tell(f'migration {U1} source calm paused none network no 0')
        self.wait('calm (source): paused', 'the network failed', 'postcopyctl recover calm --wait')
        self.keys('Escape')
        self.wait('zebra', 'calm')

    def test_resize(self):
        self.three()
        self.start('POLICY')
        self.tmux('resize-window', '-x', '60', '-y', '12')
        self.wait('NAME', 'zebra', '3/4', 'q quit', gone=['POLICY'])
        lines = self.screen().splitlines()
        self.assertLessEqual(max(map(len, lines)), 60)
        self.assertIn('q quit', lines[11])
        self.tmux('resize-window', '-x', '20', '-y', '3')
        self.wait('q quit')
        self.tmux('resize-window', '-x', '200', '-y', '30')
        self.wait('POLICY', 'PAGES/S', 'zebra')

    def test_many(self):
        daemon = self.daemon()
        daemon.tell('connected', *(
            f'migration {i:08x}-2222-3333-4444-555555555555 source vm{i:03d} postcopy flowing none no 0'
            for i in range(500)))
        self.start('500 migrations', 'vm000')
        self.keys('End')
        self.wait('vm499', gone=['vm001'])
        self.keys('PPage')
        self.wait('vm474', gone=['vm499'])
        self.keys('Home', 'R')
        self.wait('reversed', 'vm000')
        # All change at once, and go on changing: keys are heard all the same.
        for blocked in (1, 2):
            daemon.tell(*(f'migration {i:08x}-2222-3333-4444-555555555555 source vm{i:03d} paused none '
                          f'network no {blocked}' for i in range(500)))
            self.keys('n', 'End')
            self.wait('by name', 'vm499')
            self.keys('p', 'Home')
            self.wait('by trouble', 'vm000')
        self.wait('500 in trouble', '2/4')
        self.keys('q')
        self.assert_sane()

    def test_daemon_comes_and_goes(self):
        self.start('last known: postcopyd is not running; trying again')
        daemon = self.three()
        self.wait('3 migrations', 'zebra', gone=['last known'])
        daemon.process.kill()
        daemon.process.wait(DEADLINE)
        self.wait('last known: postcopyd is not running; trying again', 'zebra')
        self.keys('h')
        self.wait('hold zebra (source)?')
        self.keys('y')
        self.wait('zebra: hold: not asked: postcopyd is not there')
        second = self.daemon()
        second.tell('connected', f'migration {U1} source other paused none network no 1')
        self.wait('1 migration,', 'other', gone=['last known'])
        second.tell('disconnected no libvirtd')
        self.wait('last known: not connected to libvirt since', 'no libvirtd', 'other')

    def test_bus_comes_and_goes(self):
        daemon = self.three()
        self.start('3 migrations')
        self.bus.kill()
        self.wait('last known:', 'trying again', 'zebra')
        self.bus.start()
        wait_for(lambda: ctl(self.bus, 'list').returncode == 0, 'the daemon, back', PATIENCE)
        daemon.tell(f'migration {U1} source calm paused none network no 2')
        self.wait('3 migrations', '2/4', gone=['last known'])

    def test_signals_leave_a_sane_terminal(self):
        self.three()
        for sig in (signal.SIGTERM, signal.SIGINT):
            self.start('zebra')
            wait_for(lambda: self.flags() == '0 1', 'a screen of its own without a cursor', PATIENCE)
            shell = self.tmux('display-message', '-p', '#{pane_pid}').strip()
            with open(f'/proc/{shell}/task/{shell}/children', encoding='ascii') as children:
                os.kill(int(children.read().split()[0]), sig)
            self.wait('ended: ', gone=['postcopyctl top:'])
            if sig == signal.SIGTERM:
                self.assert_sane()
                self.keys('clear', 'Enter')
                self.wait('ready>', gone=['ended'])
        self.assertEqual(self.flags(), '1 0')

    def test_ascii(self):
        self.three()
        self.keys('export LC_ALL=C', 'Enter')
        self.start('zebra', '1.0 GiB', '#')
        self.assertTrue(self.screen().isascii())


class TestRefusals(Case):
    def test_no_terminal(self):
        result = ctl(self.bus, 'top')
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, re.compile(r'\A.*needs a terminal for input and output.*\n\Z'))
        self.assertEqual(result.stdout, '')

    def test_argument(self):
        self.assertEqual(ctl(self.bus, 'top', 'x').returncode, 2)


if __name__ == '__main__':
    if os.geteuid() != 0 or not shutil.which('tmux'):
        print('skipped: needs root, as only root may own the name org.postcopyd, and tmux')
        raise SystemExit(77)
    unittest.main(verbosity=2)
