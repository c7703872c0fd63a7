#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/examples/check-postcopy against a daemon in each state: its line, its exit status, its metrics."""
import os
import subprocess
import unittest

from test_bus import CTL, DEADLINE, U1, U2, Case

CHECK = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'docs', 'examples', 'check-postcopy')


class TestCheck(Case):
    def check(self, *words):
        done = subprocess.run([CHECK, *words], capture_output=True, text=True, timeout=4 * DEADLINE, check=False,
                              env={**os.environ, 'POSTCOPYCTL': f'{CTL} --bus {self.bus.address}'})
        self.assertEqual((done.stderr, done.stdout.count('\n')), ('', 1), done.stdout)
        return done.returncode, done.stdout.rstrip('\n')

    def test_states(self):
        daemon = self.daemon()
        daemon.tell('connected')
        self.assertEqual(self.check(), (0, 'POSTCOPY OK - 0 migrations under way, none in trouble|moving=0'))
        daemon.tell(f'migration {U1} source a postcopy flowing none no 0',
                    f'migration {U2} destination b completed none none no 0')
        self.assertEqual(self.check(), (0, 'POSTCOPY OK - 1 migrations under way, none in trouble|moving=1'))
        for phase, flow, words in (('postcopy', 'slow', 'postcopy slow'), ('postcopy', 'stalled', 'postcopy stalled'),
                                   ('recovering', 'none', 'recovering')):
            daemon.tell(f'migration {U1} source a {phase} {flow} none no 0')
            self.assertEqual(self.check(), (1, f'POSTCOPY WARNING - a (source) {words}|moving=1'))
        daemon.tell(f'migration {U2} destination b paused none network no 0')
        self.assertEqual(self.check(), (2, 'POSTCOPY CRITICAL - b (destination) paused, cause network; '
                                           'a (source) recovering|moving=2'))
        daemon.tell(f'migration {U2} destination b failed none none no 0')
        self.assertEqual(self.check(), (1, 'POSTCOPY WARNING - a (source) recovering; b (destination) failed|moving=1'))

    def test_blind(self):
        self.daemon()
        self.assertEqual(self.check()[0], 1)
        self.assertIn('WARNING - postcopyd is not connected to libvirt|', self.check()[1])

    def test_no_daemon(self):
        status, line = self.check()
        self.assertEqual(status, 2)
        self.assertRegex(line, r'^POSTCOPY CRITICAL - no answer from postcopyd on the bus .*: it is not running there')

    def test_metrics(self):
        path = os.path.join(self.bus.dir, 'postcopy.prom')
        self.check('--metrics', path)
        with open(path, encoding='utf-8') as file:
            self.assertEqual(file.read(), '# TYPE postcopy_up gauge\npostcopy_up 0\n')
        self.daemon().tell('connected', f'migration {U1} source a"b paused none network no 0')
        self.assertEqual(self.check('--metrics', path)[0], 2)
        with open(path, encoding='utf-8') as file:
            self.assertEqual(file.read(), '# TYPE postcopy_up gauge\npostcopy_up 1\n'
                             '# TYPE postcopy_migration gauge\n'
                             f'postcopy_migration{{domain="a\\"b",uuid="{U1}",role="source",phase="paused"}} 2\n')
        self.assertEqual(os.listdir(self.bus.dir).count('postcopy.prom'), 1)
        self.assertEqual(self.check('--metrics', '/nonexistent/x')[0], 3)

    def test_called_wrongly(self):
        self.assertEqual(self.check('--frob')[0], 3)


if __name__ == '__main__':
    unittest.main()
