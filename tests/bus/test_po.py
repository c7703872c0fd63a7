#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What postcopyctl shows of a daemon and of its journal, in a language that was made up.

See tests/pseudo_po.py: what is not in brackets could not have been translated. The daemon's own
words, as recorded, and those of policies, are shown as they are.
"""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
sys.path.insert(0, os.path.join(ROOT, 'tests'))

import pseudo_po  # noqa: E402
from test_bus import CTL, U1, U2, Case, ctl, end_process, wait_for  # noqa: E402

U3 = '33333333-2222-3333-4444-555555555555'
TIME = r'\d{4}-\d\d-\d\d \S+'
WORDS = (r'(?<![\w-])(source|destination|precopy|device|postcopy|paused|recovering|completed|failed|'
         r'gone|flowing|slow|stalled|none|network|peer-closed|operator|unknown|recover|freeze|stop|'
         r'snapshot|hold|release|notify|protect|metadata|default|done|refused|postcopy-active|'
         r'started|action|phase|flow|armed|blocked|shutdown|policy|libvirt|cause|measured|'
         r'force-pause|destroy|unattended|gave-up|unfinished)(?![\w-])')
# Commands are to be typed; names are the test's; and the records' own words.
SHOWN = (TIME, r'postcopyctl [a-z -]+', r'--[a-z]+', U1, U2, U3, r'(?<![\w])(KiB|MiB|GiB)(/s)?',
         r'the script said so', r'three are blocked', r'gräte', r'cluster', r'peer lost', WORDS)


@unittest.skipUnless(pseudo_po.have_tools(), 'no gettext')
class TestSpoken(Case):
    @classmethod
    def setUpClass(cls):
        cls.spoken = tempfile.mkdtemp(prefix='pcd-bus-po-')
        cls.addClassCleanup(shutil.rmtree, cls.spoken)
        cls.env = pseudo_po.install(ROOT, cls.spoken)

    def said(self, *args, allowed=(), code=0, bare=False):
        result = ctl(self.bus, *args, env=self.env)
        self.assertEqual(result.returncode, code, result)
        text = result.stdout + result.stderr
        self.assertTrue(bare or '⟦' in text, args)
        bad = pseudo_po.leftovers(text, (*allowed, *SHOWN))
        if bad:
            self.fail(f'no translator could reach, of {args}:\n' + '\n'.join(bad))
        return text

    def fill(self):
        daemon = self.daemon()
        soon = (int(time.time()) + 3600) * 1000000
        daemon.tell('connected',
                    f'migration {U1} source gräte postcopy stalled none no 3',
                    f'socket {U1} source 10.0.0.1:1 10.0.0.2:2 yes 1500000',
                    f'ladder {U1} source protect metadata yes 7 freeze stop refused '
                    f'the\\040script\\040said\\040so recover {soon}',
                    f'veto {U1} source destroy cluster the\\040script\\040said\\040so 1 {soon}',
                    f'doing {U1} source the\\040script\\040said\\040so 3 4',
                    f'progress {U1} source 10485761 20971520 1048576 10000001',
                    f'migration {U2} destination b paused none network no 2',
                    f'socket {U2} destination 10.0.0.1:1 10.0.0.2:2 no 1500000',
                    f'ladder {U2} destination recover default no 0 - - - - recover 0',
                    f'progress {U2} destination the\\040script\\040said\\040so',
                    f'migration {U3} destination c postcopy flowing none yes 0',
                    f'progress {U3} destination 0 8192 0 -1')
        return daemon

    def test_status(self):
        daemon = self.fill()
        text = self.said('status', allowed=(r'^\* b', r'^\* c', r'destroy'))
        labels = [line for line in text.splitlines() if line.startswith('  ⟦')]
        self.assertGreater(len(labels), 20)
        # All values begin in one column, behind the widest label.
        begins = {pseudo_po.width(re.match(r'  ⟦[^⟧]*⟧ +', line)[0]) for line in labels}
        self.assertEqual(len(begins), 1, labels)
        for phase in 'precopy', 'completed', 'failed', 'gone', 'recovering':
            daemon.tell(f'migration {U2} destination b {phase} none unknown no 0')
            self.said('status', 'b', allowed=(r'^\* b',))
        daemon.tell('disconnected the script said so')
        self.said('status')
        self.assertEqual(ctl(self.bus, 'status', 'nobody', env=self.env).returncode, 4)

    def test_list(self):
        self.fill()
        lines = self.said('list', allowed=(r'^ [bc] ',)).splitlines()
        self.assertEqual(pseudo_po.crooked(lines[0], lines[2:5]), [])
        self.assertEqual(len(lines), 6)

    def test_json(self):
        self.fill()
        for args in ('list', '--json'), ('events', '--json'), ('sinks', '--json'):
            english = ctl(self.bus, *args, env=pseudo_po.english())
            self.assertEqual(ctl(self.bus, *args, env=self.env).stdout, english.stdout, args)
            self.assertEqual(english.returncode, 0)

    def test_orders(self):
        daemon = self.fill()
        self.said('hold', 'b', allowed=('^b',))
        self.said('release', 'b', allowed=('^b',))
        for outcome in 'done', 'refused', 'failed':
            daemon.tell(f'answer {outcome} the\\040script\\040said\\040so')
            for action in 'stop', 'freeze':
                self.said(action, 'b', code=0 if outcome == 'done' else 1, allowed=('^b',),
                          bare=True)
            self.said('freeze', '--dry-run', 'b', code=0 if outcome == 'done' else 1,
                      allowed=('^b',), bare=True)
        self.said('stop', 'nobody', code=4, allowed=(r'nobody',))
        self.said('stop', 'b', '--role', 'source', code=4, allowed=(r"⟦?b⟦?", r'\bb\b'))
        self.said('sinks')

    def test_top(self):
        """In wide and narrow terminals: it starts, shows its help, and ends; all that is on the screen
        of a wide one is translated."""
        self.fill()
        for columns in 200, 61, 44:
            pid, fd = pty.fork()
            if pid == 0:
                os.execve(CTL, [CTL, '--bus', self.bus.address, 'top'],
                          {**self.env, 'TERM': 'xterm', 'COLUMNS': str(columns), 'LINES': '24'})
            try:
                shown = self.see(fd, 'gräte')
                self.assertIn('⟦', shown)
                os.write(fd, b'?')
                self.see(fd, '⟦')
                os.write(fd, b'\x1bq')
                self.see(fd, None)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                pid = 0
            finally:
                if pid:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                os.close(fd)
            self.assertEqual(status, 0, columns)
            self.assertNotIn('\ufffd', shown)
            if columns == 200:
                self.check_screen(shown)

    def check_screen(self, shown):
        """@shown: with what xterm is told; words that were cut off have lost a bracket."""
        for line in re.split(r'\x1b\[\d*(?:;\d*)?[Hd]|[\r\n]+', shown):
            plain = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]|\x1b[(][A-Z0-9]|\x1b[>=78]', ' ', line)
            self.assertEqual(pseudo_po.leftovers(
                plain, (r'⟦[^⟦⟧]*…', r'[▁▂▃▄▅▆▇█]+', *SHOWN, r'\b(src|dst)\b', r'\w*…', r'\b\d\w*')), [])

    def see(self, fd, text):
        """What came until @text has, %None for the end."""
        got, end = b'', time.monotonic() + 30
        while time.monotonic() < end:
            if not select.select([fd], [], [], 1)[0]:
                continue
            try:
                piece = os.read(fd, 65536)
            except OSError:
                piece = b''
            got += piece
            come = text and text.encode() in got and not select.select([fd], [], [], .3)[0]
            if come or text is None and not piece:
                return got.decode()
            if not piece:
                break
        return self.fail(f'{text} did not come: {got!r}')

    def test_journal(self):
        """A real one, written by the samples of the schemas' test."""
        samples = subprocess.run([os.environ['PCD_SAMPLES'], self.bus.dir], capture_output=True,
                                 text=True, timeout=60)
        self.assertEqual(samples.returncode, 0, samples.stderr)
        self.incidents(self.bus.dir)
        self.said('snapshot', 'info', samples.stdout.strip(), 
                  allowed=(r'\bfrozen\b', re.escape(os.uname().nodename)))
        self.said('snapshot', 'verify', samples.stdout.strip(), allowed=(r'^\S+',))

    def test_inspect(self):
        qemu = subprocess.Popen(['qemu-system-x86_64', '-machine', 'none', '-nodefaults',
                                 '-display', 'none', '-S'], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(end_process, qemu)
        args = 'inspect', '--pid', str(qemu.pid)
        wait_for(lambda: ctl(self.bus, *args).returncode == 0, 'a QEMU', 30)
        text = self.said(*args, allowed=(r'qemu\S*', r'call_rcu', r'(?<= )(yes|no|unknown)\b'))
        head, *rows = text.split('\n\n')[0].splitlines()
        self.assertTrue(rows)
        self.assertEqual(pseudo_po.crooked(head.rsplit('⟦', 1)[0], rows), [])

    def incidents(self, state):
        where = '--state-dir', state
        english = ctl(self.bus, 'incident', 'list', *where, env=pseudo_po.english()).stdout
        numbers = [line.split()[0] for line in english.splitlines()[1:]]
        self.assertTrue(numbers)
        lines = self.said('incident', 'list', *where, allowed=(r'.*(?=$)',)).splitlines()
        self.assertEqual(pseudo_po.leftovers(lines[0], ()), [])
        for number in numbers:
            for verb in 'show', 'report':
                self.said('incident', verb, number, *where, allowed=(rf'^{TIME}: .*', r'^  \+.*'))
            for verb in 'show', 'report':
                json = [ctl(self.bus, 'incident', verb, number, '--json', *where, env=env).stdout
                        for env in (self.env, pseudo_po.english())]
                self.assertEqual(*json)


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('skipped: needs root, as only root may own the name org.postcopyd')
        raise SystemExit(77)
    unittest.main(verbosity=2)
