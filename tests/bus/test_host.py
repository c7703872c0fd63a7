#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""postcopyctl --host: by a real sshd on a port of its own, to a real systemd-stdio-bridge, to the
test's bus. Skipped without sshd. Nothing of this host's own ssh is used or changed."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import unittest

from test_bus import CTL, U1, Case, Lines, ctl, end_process, wait_for

SSHD = '/usr/sbin/sshd'
LONG = 60  # on a machine that is busy, ssh takes its time
SSHD_CONFIG = '''
ListenAddress 127.0.0.1:{port}
ListenAddress 127.0.0.1:{bare}
HostKey {dir}/host_key
PidFile none
AuthorizedKeysFile {dir}/key.pub
StrictModes no
UsePAM {pam}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
# A host without systemd: the command is looked for, and is not there.
Match LocalPort {bare}
  ForceCommand PATH=/nonexistent; eval "$SSH_ORIGINAL_COMMAND"
'''
SSH_CONFIG = '''
Host far bare dead
  HostName 127.0.0.1
  HostKeyAlias far
  User root
  IdentityFile {dir}/key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {dir}/known_hosts
  StrictHostKeyChecking yes
  BatchMode yes
Match originalhost far
  Port {port}
Match originalhost bare
  Port {bare}
Match originalhost dead
  Port {dead}
'''


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(('127.0.0.1', 0))
        return [each.getsockname()[1] for each in sockets]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 1) as connection:
        return connection.recv(4) == b'SSH-'
    return False


def root_is_locked():
    """sshd lets nobody in then without PAM."""
    with open('/etc/shadow') as shadow:
        return any(line.startswith('root:!') for line in shadow)


@unittest.skipUnless(os.path.exists(SSHD) and shutil.which('systemd-stdio-bridge'), 'no sshd or bridge')
class TestHost(Case):
    def setUp(self):
        super().setUp()
        self.dir = self.bus.dir
        port, bare, dead = free_ports(3)
        for key in ('key', 'host_key'):
            subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', f'{self.dir}/{key}'], check=True)
        with open(f'{self.dir}/host_key.pub') as public:
            self.write('known_hosts', f'far {public.read()}')
        self.write('sshd_config', SSHD_CONFIG.format(dir=self.dir, port=port, bare=bare,
                                                     pam='yes' if root_is_locked() else 'no'))
        self.write('ssh_config', SSH_CONFIG.format(dir=self.dir, port=port, bare=bare, dead=dead))
        # sshd's own, made at boot where there is systemd. It stays: another run beside this one may need it.
        os.makedirs('/run/sshd', 0o755, exist_ok=True)
        log = open(f'{self.dir}/sshd.log', 'w')
        self.addCleanup(log.close)
        self.sshd = subprocess.Popen([SSHD, '-D', '-e', '-f', f'{self.dir}/sshd_config'],
                                     stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(end_process, self.sshd)
        wait_for(lambda: answers(port) and answers(bare), 'sshd', LONG)
        self.env = {**os.environ, 'POSTCOPYCTL_SSH': f'ssh -F {self.dir}/ssh_config'}

    def write(self, name, text):
        with open(f'{self.dir}/{name}', 'w') as file:
            file.write(text)

    def far(self, *args, host='far', bus=None):
        return subprocess.run([CTL, '--host', host, '--bus', bus or self.bus.address, *args], env=self.env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * LONG)

    def started(self):
        daemon = self.daemon()
        daemon.tell('connected', f'migration {U1} source g paused none network no 1',
                    f'socket {U1} source 127.0.0.1:1 127.0.0.1:2 yes 900')
        return daemon

    def test_asks_and_acts(self):
        daemon = self.started()
        for words in (('list', '--json'), ('status', 'g', '--json'), ('sinks', '--json')):
            near, far = ctl(self.bus, *words), self.far(*words)
            self.assertEqual((far.returncode, far.stdout), (near.returncode, near.stdout), far.stderr)
        self.assertEqual(json.loads(self.far('list', '--json').stdout)['migrations'][0]['name'], 'g')
        # Nothing of this host is mixed in: neither the interface that has 127.0.0.1, nor threads.
        self.assertIn(' lo, 127', ctl(self.bus, 'status').stdout)
        self.assertNotIn(' lo, 127', self.far('status').stdout)
        held = self.far('hold', 'g')
        self.assertEqual((held.returncode, held.stdout),
                         (0, 'g: held: no automatic action until it is released\n'), held.stderr)
        self.assertIn(U1, daemon.tell('orders'))
        self.assertEqual(self.far('recover', 'no-such').returncode, 4)

    def test_follows_until_ssh_ends(self):
        daemon = self.started()
        process = subprocess.Popen([CTL, '-H', 'root@far', '--bus', self.bus.address, 'status', '--watch', '--json'],
                                   env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(end_process, process)
        lines = Lines(process.stdout)
        self.assertEqual(json.loads(lines.next(LONG))['migrations'][0]['phase'], 'paused')
        daemon.tell(f'migration {U1} source g recovering none none no 1')
        self.assertEqual(json.loads(lines.next(LONG))['migrations'][0]['phase'], 'recovering')
        children = subprocess.run(['pgrep', '-P', str(process.pid), '-x', 'ssh'], capture_output=True, text=True)
        os.kill(int(children.stdout), 15)
        self.assertEqual(process.wait(LONG), 3)
        self.assertIn(b'of root@far: the bus went away', process.stderr.read())

    def test_no_answer(self):
        """Each reason is said, and the exit status is 3."""
        for host, bus, says in (
                ('dead', None, 'of dead: ssh cannot reach that host, or is not let in'),
                ('bare', None, 'of bare: there is no systemd-stdio-bridge on that host'),
                ('far', 'unix:path=/nonexistent/x y', "far: that host's bus cannot be reached"),
                ('far', None, 'far: it is not running there; start it')):
            with self.subTest(says):
                done = self.far('list', host=host, bus=bus)
                self.assertEqual((done.returncode, done.stdout), (3, ''), done.stderr)
                self.assertIn(says, done.stderr)
        self.env['POSTCOPYCTL_SSH'] = '/nonexistent/ssh'
        done = self.far('list')
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn('/nonexistent/ssh', done.stderr)

    def test_bad_host(self):
        """No word of ours becomes an option of ssh, or a command there."""
        mark = f'{self.dir}/mark'
        for host in (f'-oProxyCommand=touch {mark}', '-v', '', 'a b', 'a\nb'):
            with self.subTest(host):
                done = self.far('list', host=host)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn('expected a host', done.stderr)
        done = self.far('list', bus=f'unix:path=/x;touch {mark};#')
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertFalse(os.path.exists(mark))

    def test_own_host(self):
        """What would look at this host instead says so."""
        for words in (['probe'], ['doctor'], ['inspect', 'g'], ['policy', 'list'], ['plugins'], ['incident', 'list'],
                      ['debug', 'g'], ['snapshot', 'verify', '/x']):
            with self.subTest(words):
                done = self.far(*words)
                self.assertEqual((done.returncode, done.stdout), (2, ''))
                self.assertIn('looks at its own host; run it there: ssh far postcopyctl ', done.stderr)


if __name__ == '__main__':
    unittest.main(verbosity=2)
