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
U4 = '44444444-2222-3333-4444-555555555555'


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
        self.tmux('set-option', '-g', 'remain-on-exit', 'on')
        self.wait('ready>')

    def tmux(self, *args):
        return subprocess.run(['tmux', '-u', '-S', self.socket, *args], env=self.env, check=True,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE * 2).stdout

    def keys(self, *keys):
        self.tmux('send-keys', *keys)

    def screen(self, *args):
        return self.tmux('capture-pane', '-p', *args)

    def shell(self, line, status=0):
        """Types a line, and waits for its end, not for that of the line before, which may still be there."""
        self.lines = getattr(self, 'lines', 0) + 1
        self.keys('-l', f'clear; {line}; echo "so {self.lines}: $?"')
        self.keys('Enter')
        return self.wait(f'so {self.lines}: {status}\n')

    def stty(self):
        """All that the terminal's driver is set to."""
        self.keys('-l', 'clear; stty -a; echo tty:')
        self.keys('Enter')
        screen = self.wait('speed ', '\ntty:').split('\ntty:')[0]
        # What the shell itself still had to say, of the job that ended, may stand before it.
        return re.sub(r'rows \d+; columns \d+', '', screen[screen.index('speed '):])

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

    def wait_row(self, name, word):
        wait_for(lambda: any(word in row for row in self.screen().splitlines()[2:-3]
                             if row[2:].startswith(name + ' ')), f'{name} with {word}', PATIENCE)

    def start(self, *words, prefix=''):
        self.before = self.stty()
        self.keys('-l', f'clear; {prefix} {shlex.quote(CTL)} --bus {self.bus.address} top; '
                        'echo "ended: $?"')
        self.keys('Enter')
        self.wait('postcopyctl top:', *words)

    def top_pid(self):
        shell = self.tmux('display-message', '-p', '#{pane_pid}').strip()
        with open(f'/proc/{shell}/task/{shell}/children', encoding='ascii') as children:
            return int(children.read().split()[0])

    def flags(self):
        return self.tmux('display-message', '-p', '#{cursor_flag} #{alternate_on}').strip()

    def assert_sane(self, status=0):
        """The shell is back, on the screen that was there before, its terminal as it was."""
        self.wait(f'ended: {status}\n', gone=['postcopyctl top:'])
        self.assertEqual(self.flags(), '1 0')
        self.assertEqual(self.stty(), self.before)

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
                     if line[2:].startswith(n)]
            return found == list(names)
        wait_for(seen, f'the order {names}', PATIENCE)

    def test_rows_and_order(self):
        self.three()
        self.start('3 migrations, 2 in trouble, by trouble', '1.0 GiB', '2000', 'network', '4/4')
        self.wait_row('zebra', ' - ')  # all pages of a source are there, whatever it is said to wait for
        self.wait('█')
        self.assertNotIn('\033', self.screen())
        self.order('zebra', 'b?[31mad', 'calm')
        for key, names in (('n', ('b?[31mad', 'calm', 'zebra')), ('R', ('zebra', 'calm', 'b?[31mad')),
                           ('b', ('b?[31mad', 'calm', 'zebra')), ('r', ('calm', 'b?[31mad', 'zebra')),
                           ('p', ('zebra', 'b?[31mad', 'calm'))):
            self.keys(key)
            self.order(*names)
        self.keys('q')
        self.assert_sane()

    def test_held_still(self):
        """A guest that stands still by us after its migration is no row like any other."""
        daemon = self.three()
        self.start('2 in trouble')
        daemon.tell(f'migration {U4} destination frozen completed none none no 0',
                    f'ladder {U4} destination observe default no 0 - freeze done why - 0')
        self.wait('3 in trouble')
        self.wait_row('frozen', 'held still')
        daemon.tell(f'ladder {U4} destination observe default no 0 - resume done why - 0')
        self.wait('2 in trouble', gone=['held still'])

    def test_help(self):
        """All of it fits 80 columns and 24 lines, and names every key."""
        self.three()
        self.tmux('resize-window', '-x', '80', '-y', '24')
        self.start('NAME')
        self.keys('?')
        screen = self.wait('the other way round', 'MISSING:', gone=['NAME'])
        self.assertNotIn('…', screen)
        for key in ('Enter', 'i', 'Esc', 'h', 'c', 'p', 'n', 'b', 'r', 't', 'R', '/', 'q', 'PgUp'):
            self.assertRegex(screen, rf'(?m)(^| ){re.escape(key)} ')
        for end in ('Escape', 'q', '?'):
            self.keys(end)
            self.wait('NAME', gone=['the other way round'])
            self.keys('?')
            self.wait('the other way round')

    def test_actions(self):
        """To hold is done at once; what acts on a guest names it, and asks."""
        daemon = self.three()
        daemon.tell('answer refused not\\040now')
        self.start('zebra')
        self.keys('h')
        self.wait('zebra: hold: done')
        self.assertIn(f'held=1 {U2} source', daemon.tell('orders'))
        daemon.tell(f'ladder {U2} source recover default yes 0 - - - - - 0')
        self.wait('recover (held)')
        for word, key in (('release', 'h'), ('recover', 'c')):
            for no in ('n', 'Enter', 'Escape'):
                self.keys(key)
                self.wait(f'{word} zebra (source)? [y/N]')
                self.keys(no)
                self.wait(f'zebra: {word}: left alone')
        self.assertEqual(daemon.tell('orders'), 'ok')
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

    def test_who_may_only_look(self):
        """Another user sees all, and is told why nothing is done."""
        daemon = self.three()
        with open(CTL, 'rb') as program:  # its folder may be closed to others
            self.keys('-l', f'exec 7</proc/{os.getpid()}/fd/{program.fileno()}')
            self.keys('Enter')
            self.shell('test -e /proc/self/fd/7')
        self.keys('-l', 'clear; setpriv --reuid=65534 --regid=65534 --clear-groups '
                        f'/proc/self/fd/7 --bus {self.bus.address} top')
        self.keys('Enter')
        self.wait('postcopyctl top:', 'zebra', '4/4')
        self.keys('h')
        self.wait('zebra: hold: refused: uid 65534 may not do this')
        self.keys('c')
        self.wait('recover zebra (source)?')
        self.keys('y')
        self.wait('zebra: recover: refused: uid 65534 may not do this')
        self.assertEqual(daemon.tell('orders'), 'ok')

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

    def test_detail(self):
        daemon = self.three()
        self.start('zebra')
        self.keys('Down', 'Down', 'Enter')
        self.wait('calm (source), as of', 'calm (source): postcopy', U1, 'Missing:', gone=['zebra'])
        daemon.tell(f'migration {U1} source calm paused none network no 0')
        self.wait('calm (source): paused', 'the network failed', 'postcopyctl recover calm --wait')
        self.keys('c')
        self.wait('recover calm (source)?')
        self.keys('n')
        self.wait('left alone')
        self.tmux('resize-window', '-x', '60', '-y', '12')
        self.wait(' 1-9 of 12', gone=['incident show'])  # wrapped anew, or End would be that of the old lines
        self.keys('End')
        self.wait('postcopyctl snapshot calm', gone=['UUID:'])
        self.keys('Home')
        self.wait('UUID:', ' 1-9 of ')
        daemon.tell(f'remove {U1} source')
        self.wait('calm: not there any more; as of', 'calm (source): paused')
        self.keys('h')
        self.wait('no migration to do that with')
        for end in ('q', 'Escape'):
            self.keys(end)
            self.wait('zebra', 'NAME')
            self.keys('Enter')
            self.wait('UUID:')

    def test_threads(self):
        """Of a real process, that is called a QEMU; its end is told."""
        daemon = self.three()
        program = os.path.join(self.bus.dir, 'qemu-system-none')
        shutil.copy(shutil.which('sleep'), program)
        child = subprocess.Popen([program, '1000'])
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        inspect = [CTL, 'inspect', '--pid', str(child.pid)]
        for columns, title in (120, 'KICKABLE TRACEABLE'), (80, 'KICK    TRACE'):
            self.tmux('resize-window', '-x', str(columns), '-y', '24')
            # The terminal's program hears of its size a moment after tmux has answered.
            screen = self.shell(f'until [ "$(stty size)" = "24 {columns}" ]; do sleep 0.1; done; {shlex.join(inspect)}')
            self.assertRegex(screen, r'(?m)^● No thread is known to wait')
            self.assertRegex(screen, rf'(?m)^TID .* {title}$')
            self.assertRegex(screen, rf'(?m)^{child.pid} +qemu-system-\S+ .* none +yes +yes$')
        plain = subprocess.run(inspect, env={**self.env, 'COLUMNS': '80'}, capture_output=True, text=True,
                               timeout=DEADLINE, check=True).stdout
        self.assertRegex(plain, rf'^TID .* KICKABLE  TRACEABLE   REASON\n{child.pid} .* yes\n\nNo thread is known')
        daemon.tell(f'pid {U2} source {child.pid}')
        self.start('zebra')
        self.keys('i')
        screen = self.wait(f'threads of zebra (source), process {child.pid}, as of', 'TID', 'KICK',
                           'qemu-system-…', 'TRACEABLE no', gone=['NAME         S/D'])
        as_of = re.search(r'as of (\S+)', screen)[1]
        self.wait('as of', gone=[as_of])
        self.keys('Enter')
        self.wait('UUID:', gone=['TID'])
        self.keys('i')
        self.wait('TID')
        child.kill()
        child.wait()
        self.wait('Its threads cannot be shown', 'tried again by itself')
        self.keys('q')
        self.wait('NAME')

    def test_filter(self):
        self.three()
        self.start('zebra')
        self.keys('/')
        self.wait('only names with: _')
        self.keys('-l', 'qAL')
        self.keys('BSpace', 'BSpace', 'BSpace')
        self.keys('-l', 'AL')
        self.wait('1 with', 'only names with: AL_', gone=['zebra'])
        self.keys('Enter')
        self.wait('calm: ', '3 migrations', '2 in trouble', gone=['only names'])
        self.keys('/')
        self.keys('-l', 'x')
        self.wait("no name with 'ALx' in it")
        self.keys('Escape')
        self.wait('zebra', 'calm', gone=['with'])

    def test_resize(self):
        self.three()
        self.start('POLICY')
        self.wait('█')
        for x, y, words, gone in ((80, 24, ['MISSING', 'RATE', '1.0 GiB', '█'], ['POLICY']),
                                  (60, 12, ['FLOW/CAUSE', 'network', '█'], ['RATE']),
                                  (40, 10, ['BLOCKED'], ['FLOW', '█'])):
            self.tmux('resize-window', '-x', str(x), '-y', str(y))
            self.wait('NAME', 'zebra', '4/4', 'paused', 'q quit', *words, gone=gone)
            lines = self.screen().splitlines()
            self.assertLessEqual(max(map(len, lines)), x)
            self.assertIn('q quit', lines[y - 1])
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
        self.wait('reversed', 'vm499', gone=['vm000'])
        # All change at once, and go on changing: keys are heard all the same.
        for blocked in (1, 2):
            daemon.tell(*(f'migration {i:08x}-2222-3333-4444-555555555555 destination vm{i:03d} paused none '
                          f'network no {blocked}' for i in range(500)))
            self.keys('n', 'End')
            self.wait('by name', 'vm499')
            self.keys('p', 'Home')
            self.wait('by trouble', 'vm000')
        self.wait('500 in trouble', '2/4')
        self.keys('q')
        self.assert_sane()

    def test_selection_stays(self):
        """With its migration, while that moves among 500."""
        daemon = self.daemon()
        names = [f'{i:08x}-2222-3333-4444-555555555555 destination vm{i:03d}' for i in range(500)]
        daemon.tell('connected', *(f'migration {n} postcopy flowing none no 0' for n in names))
        self.start('500 migrations')
        self.keys('b', 'Down')
        self.wait('vm001: ')
        for blocked in (3, 1, 4, 2):
            daemon.tell(*(f'migration {n} postcopy flowing none no {(b + blocked) % 5}'
                          for b, n in enumerate(names[100:120])))
            daemon.tell(f'migration {names[1]} postcopy flowing none no {blocked}')
            self.wait_row('vm001', f' {blocked}/4')
            rows = self.wait('vm001: ').splitlines()[2:-3]
            self.assertEqual(sum('vm001 ' in row for row in rows), 1, rows)
        daemon.tell(f'remove {names[1].rsplit(" ", 1)[0]}')
        self.wait('499 migrations', gone=['vm001'])
        # The first row is the first, whichever that is.
        self.keys('Home', 'p')
        daemon.tell(f'migration {names[300]} paused none network no 4')
        self.wait('1 in trouble', 'vm300: ')
        daemon.tell(f'migration {names[300]} completed none none no 0')
        self.wait('0 in trouble', gone=['vm300'])

    def test_daemon_comes_and_goes(self):
        self.start('nothing known yet: postcopyd is not running')
        daemon = self.three()
        self.wait('3 migrations', 'zebra', gone=['known'])
        self.keys('c')
        self.wait('recover zebra (source)?')
        daemon.process.kill()
        daemon.process.wait(DEADLINE)
        self.wait('last known, old since', 'Z (', 's): postcopyd is not running', 'trying again',
                  'zebra')
        self.keys('y')
        self.wait('zebra: recover: not asked: postcopyd is not running')
        self.keys('h')
        self.wait('zebra: hold: not asked: postcopyd is not running')
        self.keys('Enter')
        self.wait('UUID:', 'last known')
        self.keys('q')
        second = self.daemon()
        second.tell('connected', f'migration {U1} source other paused none network no 1')
        self.wait('1 migration,', 'other', gone=['last known'])
        second.tell('disconnected no libvirtd')
        self.wait('last known, old since', 'not connected to libvirt', 'no libvirtd', 'other')
        second.tell('connected')
        self.wait('1 migration,', gone=['last known'])

    def test_bus_comes_and_goes(self):
        daemon = self.three()
        self.start('3 migrations')
        self.bus.kill()
        self.wait('last known, old since', 'trying again', 'zebra')
        self.bus.start()
        wait_for(lambda: ctl(self.bus, 'list').returncode == 0, 'the daemon, back', PATIENCE)
        daemon.tell(f'migration {U3} destination bad paused none network no 2')
        self.wait('3 migrations', '2/4', gone=['last known'])

    def test_signals_leave_a_sane_terminal(self):
        self.three()
        for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT):
            self.start('zebra')
            wait_for(lambda: self.flags() == '0 1', 'a screen of its own without a cursor', PATIENCE)
            os.kill(self.top_pid(), sig)
            self.assert_sane()
        for key in ('q', 'C-c', 'C-\\'):
            self.start('zebra')
            self.keys(key)
            self.assert_sane()

    def test_job_control(self):
        """Stopped, by a key or by a signal that cannot be caught, it comes back whole."""
        daemon = self.three()
        self.keys('set -m', 'Enter')
        self.start('zebra')
        before = self.before
        for blocked, sig in ((1, None), (2, signal.SIGTSTP), (3, signal.SIGSTOP)):
            if sig:
                os.kill(self.top_pid(), sig)
            else:
                self.keys('C-z')
            self.wait('Stopped')
            if sig != signal.SIGSTOP:  # which leaves nobody time to tidy up
                self.assertEqual(self.flags(), '1 0')
                self.assertEqual(self.stty(), before)
            daemon.tell(f'migration {U3} destination bad paused none network no {blocked}')
            self.keys('-l', 'fg; echo "ended: $?"')
            self.keys('Enter')
            self.wait('postcopyctl top:', 'zebra', f'{blocked}/4', 'q quit', gone=['Stopped'])
            self.assertEqual(self.flags(), '0 1')
        self.keys('q')
        self.assert_sane()

    def test_terminal_goes(self):
        self.three()
        self.start('zebra')
        pid = self.top_pid()
        self.tmux('kill-server')
        wait_for(lambda: not os.path.exists(f'/proc/{pid}'), 'the end of top', PATIENCE)
        self.tmux('-f', '/dev/null', 'new-session', '-d')  # for the cleanup

    def test_without_colours(self):
        self.three()
        for prefix, has in (('', True), ('NO_COLOR=1', False), ('TERM=vt100', False)):
            self.start('! zebra', '▲ b', '● calm', prefix=prefix)
            colours = re.findall(r'\033\[(?:[0-9;]*;)?3[1-7]m', self.screen('-e'))
            self.assertEqual(bool(colours), has, prefix)
            self.keys('q')
            if 'vt100' not in prefix:  # which has one screen only
                self.assert_sane()
                continue
            self.wait('ended: 0')
            self.assertEqual(self.stty(), self.before)

    def test_terminals_that_cannot(self):
        self.three()
        for term, words in (('dumb', "type 'dumb' cannot show a full screen"),
                            ('none-such', "does not know a terminal of type 'none-such'"),
                            ('', 'TERM is not set')):
            before = self.stty()
            screen = re.sub(r'\n', '', self.shell(
                f'TERM={term} {shlex.quote(CTL)} --bus {self.bus.address} top', 1))
            self.assertIn(words, screen)
            self.assertIn("postcopyctl status --watch'", screen)
            self.assertEqual(self.stty(), before)

    def test_ascii(self):
        self.three()
        self.keys('export LC_ALL=C', 'Enter')
        self.start('zebra', '1.0 GiB', '#')
        self.assertTrue(self.screen().isascii())


class TestRefusals(Case):
    def test_no_terminal(self):
        result = ctl(self.bus, 'top')
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, re.compile(
            r"\A.*needs a terminal for input and output; 'postcopyctl status --watch'.*\n\Z"))
        self.assertEqual(result.stdout, '')

    def test_other_host(self):
        result = subprocess.run([CTL, '--host', 'far', 'top'], capture_output=True, text=True,
                                timeout=DEADLINE)
        self.assertEqual(result.returncode, 2)
        self.assertIn('ssh -t far postcopyctl top\n', result.stderr)

    def test_help(self):
        result = ctl(self.bus, 'top', '--help')
        self.assertEqual(result.returncode, 0)
        self.assertLessEqual(result.stdout.count('\n'), 24)

    def test_argument(self):
        self.assertEqual(ctl(self.bus, 'top', 'x').returncode, 2)


if __name__ == '__main__':
    if os.geteuid() != 0 or not shutil.which('tmux'):
        print('skipped: needs root, as only root may own the name org.postcopyd, and tmux')
        raise SystemExit(77)
    unittest.main(verbosity=2)
