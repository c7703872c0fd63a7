#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What operators ask of postcopyd by D-Bus and postcopyctl, and who may: with the real polkitd.

The engine is scripted, see test_bus; polkitd is Debian's, on the test's bus, with rules of the
test's own in a mount namespace. Other users are real users of this host that call by themselves.
"""
import fcntl
import itertools
import json
import os
import pty
import pwd
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

from test_bus import CTL, DEADLINE, PATH1, U1, Case, Lines, ctl, end_process, wait_for

POLKITD = '/usr/lib/polkit-1/polkitd'
ACTIONS = os.environ['PCD_POLKIT_ACTIONS']
SET = ['policy', '--policy-dir', os.environ['PCD_POLICIES'], 'set']
RULE = '''polkit.addRule(function(action, subject) {
  if (action.id == "org.postcopyd.manage" && subject.isInGroup("daemon"))
    return polkit.Result.YES;
  if (action.id == "org.postcopyd.destroy" && subject.user == "mail")
    return polkit.Result.YES;
  if (action.id == "org.postcopyd.manage" && subject.user == "games")
    return polkit.Result.AUTH_ADMIN;
});
'''
DEFAULTS = 'first 200ms, factor 2, ceiling 10s, attempts without end'
G = f'migration {U1} source g paused none network no 0'
H = f'migration {U1} destination g paused none network no 0'
XTERM = {**os.environ, 'TERM': 'xterm'}  # a dumb one gets no escape sequences
EINVALID, EPERMISSION, ENOTFOUND = 13, 14, 1  # GIOErrorEnum


def call(*args, user=None, bus=None):
    """A program that the caller opens and another user runs: its folder may be closed to them."""
    entry = pwd.getpwnam(user)
    with open(CTL, 'rb') as program:
        fd = program.fileno()
        return subprocess.run([f'/proc/self/fd/{fd}', '--bus', bus.address, *args],
                              user=entry.pw_uid, group=entry.pw_gid, extra_groups=[], cwd='/',
                              pass_fds=[fd], capture_output=True, text=True, timeout=DEADLINE * 2)


class Orders(Case):
    def start(self, *lines):
        daemon = self.daemon()
        daemon.tell('connected', *lines)
        return daemon

    def act(self, *args, path=PATH1, method='org.postcopyd.Migration1.Act'):
        return self.gdbus('call', '--dest', 'org.postcopyd', '--object-path', path, '--method',
                          method, *args)

    def asked(self, daemon):
        return daemon.tell('orders').removesuffix('ok').strip()


READ_PART = '''
import os, sys
from gi.repository import Gio, GLib
bus = Gio.DBusConnection.new_for_address_sync(sys.argv[1],
    Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION,
    None, None)
try:
    answer, fds = bus.call_with_unix_fd_list_sync('org.postcopyd', '/org/postcopyd',
        'org.postcopyd.Manager1', 'OpenSnapshotPart', GLib.Variant('(ss)', sys.argv[2:4]), None,
        Gio.DBusCallFlags.NONE, 10000, None, None)
except GLib.Error as error:
    sys.exit(error.message)
fd = fds.get(answer.unpack()[0])
sys.stdout.write(os.read(fd, 100).decode())
try:
    os.write(fd, b"x")
    sys.exit("the descriptor can be written to")
except OSError:
    pass
'''


class Snapshots(Orders):
    """Parts of finished snapshots come by descriptors, to those who may manage; no paths."""

    def setUp(self):
        super().setUp()
        self.state = tempfile.mkdtemp(prefix='pcd-bus-state-')
        self.addCleanup(shutil.rmtree, self.state)
        self.folder = os.path.join(self.state, 'snapshots')
        for name in ('g-2', 'g-1', '.partial-g-3'):
            os.makedirs(os.path.join(self.folder, name), 0o700)
            self.write(f'{name}/manifest.json', f'manifest of {name}')
        self.write('../secret', 'secret')
        os.symlink('/', os.path.join(self.folder, 'root'))
        os.symlink('../../secret', os.path.join(self.folder, 'g-1', 'link'))
        self.start(G).tell(f'state {self.state}')

    def write(self, name, text):
        with open(os.path.join(self.folder, name), 'w', encoding='ascii') as f:
            f.write(text)
            os.fchmod(f.fileno(), 0o600)

    def read(self, snapshot, part, user=None):
        entry = pwd.getpwnam(user) if user else None
        return subprocess.run(
            ['/usr/bin/python3', '-c', READ_PART, self.bus.address, snapshot, part],
            **({'user': entry.pw_uid, 'group': entry.pw_gid, 'extra_groups': []} if entry else {}),
            cwd='/', capture_output=True, text=True, timeout=DEADLINE * 2)


class TestSnapshots(Snapshots):
    def test_list(self):
        result = self.act(path='/org/postcopyd', method='org.postcopyd.Manager1.ListSnapshots')
        self.assertEqual(result.stdout, "(['g-1', 'g-2'],)\n", result.stderr)

    def test_read(self):
        result = self.read('g-1', 'manifest.json')
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, 'manifest of g-1', ''))

    def test_not_found_and_no_paths(self):
        for snapshot, part, says in (
                ('g-9', 'manifest.json', 'NotFound'), ('g-1', 'memory.zst', 'NotFound'),
                ('.partial-g-3', 'manifest.json', 'BadArgument'), ('..', 'secret', 'BadArgument'),
                ('g-1', '../../secret', 'BadArgument'), ('g-1/../g-2', 'manifest.json', 'BadArgument'),
                ('', 'manifest.json', 'BadArgument'), ('root', 'etc', 'Failed'),
                ('g-1', 'link', 'Failed')):
            result = self.read(snapshot, part)
            self.assertEqual((result.returncode, result.stdout), (1, ''), (snapshot, part))
            self.assertIn(f'org.postcopyd.Error.{says}', result.stderr, (snapshot, part))


class TestAct(Orders):
    def test_order_arrives_whole(self):
        daemon = self.start(G)
        daemon.tell('answer done over\\040tcp://10.0.0.2')
        result = ctl(self.bus, 'recover', 'g')
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, 'g: recover: done: over tcp://10.0.0.2\n', ''))
        self.assertEqual(self.asked(daemon),
                         f'recover source address=- who=uid 0 with {DEFAULTS};')
        ctl(self.bus, 'recover', U1.upper(), '--force', '--network', '10.0.2.0/24')
        self.assertEqual(self.asked(daemon), 'recover source force address=10.0.2.0/24 '
                                             f'who=uid 0 with {DEFAULTS};')
        ctl(self.bus, 'recover', 'g', '--uri', 'qemu+tcp://b/system')
        self.assertIn('address=qemu+tcp://b/system ', self.asked(daemon))

    def test_parameters(self):
        daemon = self.start(G)
        result = self.act('recover', "{'first': <'1s'>, 'factor': <3>, 'attempts': <uint32 5>, "
                                     "'address': <'fd00::2'>}")
        self.assertEqual(result.stdout, "('done', '')\n", result.stderr)
        self.assertIn('address=fd00::2 who=uid 0 with first 1s, factor 3, ceiling 10s, attempts 5',
                      self.asked(daemon))
        result = self.act('destroy', "{'order': <'source-first'>, 'without-proof': <true>}")
        self.assertEqual(result.stdout, "('done', '')\n", result.stderr)
        self.assertIn('order source-first, without-proof true', self.asked(daemon))

    def test_snapshot(self):
        daemon = self.start(G)
        daemon.tell('answer done /a/b/g-1')
        result = ctl(self.bus, 'snapshot', 'g', '--directory', '/a/b')
        self.assertEqual((result.returncode, result.stdout),
                         (0, 'g: snapshot: done: /a/b/g-1\n'), result.stderr)
        self.assertIn('snapshot source address=/a/b ', self.asked(daemon))

    def test_bad_arguments(self):
        """Messages are those of policies; the engine hears nothing."""
        daemon = self.start(G)
        for args, says in (
                (('notify', '{}'), 'unknown action "notify", expected one of: recover, force-pause, '
                                   'stop, freeze, snapshot, debug, resume, destroy'),
                (('reboot', '{}'), 'unknown action "reboot"'),
                (('snapshot', "{'directory': <'a/b'>}"), 'directory: got "a/b", expected an absolute '
                                                         'path'),
                (('stop', "{'directory': <'/a'>}"), 'unknown option "directory" of stop'),
                (('recover', "{'frob': <1>}"), 'unknown option "frob" of recover, expected one of: '
                 'force, dry-run, timeout, address, first, factor, ceiling, attempts'),
                (('stop', "{'address': <'10.0.0.1'>}"), 'unknown option "address" of stop'),
                (('recover', "{'address': <'b.example'>}"), 'address: got "b.example", expected an '
                 'IP address, a network such as 10.0.2.0/24, or a libvirt URI of QEMU'),
                (('recover', "{'address': <'http://b/'>}"), 'address: got "http://b/", expected'),
                (('recover', "{'first': <'soon'>}"),
                 'first: got "soon", expected a duration such as 200ms (50ms to 10min)'),
                (('recover', "{'first': <'1us'>}"), 'first: got "1us", expected a duration'),
                (('recover', "{'first': <1.0>}"), 'first: got 1.0, expected a duration'),
                (('recover', "{'ceiling': <'2s'>, 'first': <'3s'>}"), 'ceiling: got "2s", expected'),
                (('recover', "{'factor': <11>}"), 'factor: got 11, expected a number from 1 to 10'),
                (('recover', "{'attempts': <1.5>}"), 'attempts: got 1.5, expected a whole number'),
                (('recover', "{'force': <'yes'>}"), 'force: got "yes", expected true or false'),
                (('recover', "{'timeout': <uint64 0>}"), 'timeout: got 0, expected microseconds'),
                (('recover', "{'timeout': <'5s'>}"), 'timeout: got "5s", expected microseconds'),
                (('destroy', '{}'), 'destroy must be told its "order", expected destination-first '
                                    'or source-first'),
                (('destroy', "{'order': <'x'>}"), 'order: got "x", expected destination-first')):
            result = self.act(*args)
            self.assertEqual(result.returncode, 1, args)
            self.assertIn(f'GDBus.Error:org.postcopyd.Error.BadArgument: {says}', result.stderr)
        self.assertEqual(self.asked(daemon), '')

    def test_answer_comes_when_the_action_ended(self):
        daemon = self.start(H)
        daemon.tell('answer later -')
        process, lines = self.follow('stop', 'g')
        wait_for(lambda: 'stop destination' in self.asked(daemon), 'the order')
        self.assertFalse(lines.arrive(0.3))
        self.assertEqual(ctl(self.bus, 'list').returncode, 0)  # nobody else is held up
        daemon.tell('finish done -')
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertEqual(lines.next(), 'g: stop: done')

    def test_caller_goes_away(self):
        daemon = self.start(H)
        daemon.tell('answer later -')
        process, _ = self.follow('stop', 'g')
        wait_for(lambda: 'stop destination' in self.asked(daemon), 'the order')
        end_process(process, signal.SIGKILL)
        daemon.tell('finish done -', 'answer done -')
        self.assertEqual(ctl(self.bus, 'freeze', 'g').returncode, 0)

    def test_timeout_leaves_the_action_alone(self):
        daemon = self.start(H)
        daemon.tell('answer later -')
        begun = time.monotonic()
        result = ctl(self.bus, 'stop', 'g', '--timeout', '300ms')
        self.assertLess(time.monotonic() - begun, 3)
        self.assertEqual((result.returncode, result.stdout), (1, ''))
        self.assertEqual(result.stderr,
                         'postcopyctl stop: stop has not ended within 300ms; it goes on\n')
        daemon.tell('finish done -', 'answer done -')
        self.assertEqual(ctl(self.bus, 'stop', 'g').returncode, 0)

    def test_migration_is_gone(self):
        daemon = self.start(G)
        result = self.act('recover', '{}', path=PATH1.replace('source', 'destination'))
        self.assertEqual(result.returncode, 1)
        daemon.tell(f'remove {U1} source')
        result = ctl(self.bus, 'recover', 'g')
        self.assertEqual(result.returncode, 4)
        self.assertIn("no migration of a domain 'g' is known here", result.stderr)

    def test_daemon_ends_meanwhile(self):
        daemon = self.start(H)
        daemon.tell('answer later -')
        process, _ = self.follow('stop', 'g')
        wait_for(lambda: 'stop destination' in self.asked(daemon), 'the order')
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(process.wait(DEADLINE), 3)


class TestVerbs(Orders):
    def test_refused(self):
        daemon = self.start(H)
        daemon.tell('answer refused vCPU\\0400\\040(thread\\0401234)\\040waits')
        result = ctl(self.bus, 'stop', 'g')
        self.assertEqual((result.returncode, result.stdout, result.stderr), (
            1, '', 'postcopyctl stop: refused: vCPU 0 (thread 1234) waits; '
                   "try 'postcopyctl freeze g'\n"))
        result = ctl(self.bus, 'freeze', 'g')
        self.assertEqual((result.returncode, result.stderr), (
            1, 'postcopyctl freeze: refused: vCPU 0 (thread 1234) waits\n'))
        daemon.tell('answer failed no\\nroute\\033[2J')
        result = ctl(self.bus, 'resume', 'g')
        self.assertEqual((result.returncode, result.stderr), (
            1, 'postcopyctl resume: failed: no?route?[2J\n'))

    def test_dry_run(self):
        daemon = self.start(H)
        daemon.tell('answer done send\\040QMP\\040stop')
        result = ctl(self.bus, 'stop', 'g', '--dry-run')
        self.assertEqual((result.returncode, result.stdout), (0, 'g: would stop: send QMP stop\n'))
        self.assertEqual(self.asked(daemon),
                         'stop destination dry-run address=- who=uid 0 with first 1s, factor 2, '
                         'ceiling 30s, attempts without end;')

    def test_the_role_that_makes_sense(self):
        daemon = self.start(f'migration {U1} source g completed none none no 0', H)
        ctl(self.bus, 'freeze', 'g')
        self.assertIn('freeze destination', self.asked(daemon))
        ctl(self.bus, 'recover', 'g')
        self.assertIn('recover source', self.asked(daemon))
        ctl(self.bus, 'force-pause', 'g')
        self.assertIn('force-pause destination', self.asked(daemon))
        daemon.tell(G, f'migration {U1} destination g completed none none no 0')
        ctl(self.bus, 'force-pause', 'g')
        self.assertIn('force-pause source', self.asked(daemon))

    def test_usage(self):
        daemon = self.start(G)
        for args, says in (
                (['stop'], 'expected one DOMAIN'), (['stop', 'a', 'b'], 'expected one DOMAIN'),
                (['stop', 'g', '--network', '10.0.0.0/8'], 'Unknown option --network'),
                (['recover', 'g', '--wiat'], "--wiat (did you mean '--wait'?); see"),
                (['status', '--wach'], "--wach (did you mean '--watch'?); see"),
                (['policy', 'lst'], "(did you mean 'list'?); see"),
                (['incident', 'shwo', '1'], "(did you mean 'show'?); see"),
                (['reboot', 'g'], "unknown command 'reboot'"),
                (['snapshot'], 'expected one DOMAIN'), (['snapshot', 'info'], 'expected DOMAIN'),
                (['snapshot', 'g', '--directory', 'a/b'], 'got "a/b", expected an absolute path'),
                (['snapshot', 'g', '--json'], '--mark-missing are for info and merge'),
                (['snapshot', 'merge', 'a', 'b'], '--output is missing'),
                (['recover', 'g', '--network', '1.0.0.0/8', '--uri', 'qemu+tcp://b/system'],
                 'expected one of them'),
                (['recover', 'g', '--network', 'b'], 'address: got "b", expected an IP address'),
                (['recover', 'g', '--timeout', 'soon'], '--timeout: got "soon", expected a duration'),
                (['destroy', 'g'], '--order is missing, expected destination-first or source-first'),
                (['destroy', 'g', '--order', 'x'], 'order: got "x", expected destination-first'),
                (['hold'], 'expected one DOMAIN'), (['policy', 'set', 'g'], 'expected'),
                ([*SET, 'other', 'no-such'], "no policy 'no-such', expected one of those")):
            result = ctl(self.bus, *args)
            self.assertEqual((result.returncode, result.stdout), (2, ''), (args, result.stderr))
            self.assertIn(says, result.stderr)
        self.assertEqual(self.asked(daemon), '')
        for verb in ('recover', 'force-pause', 'stop', 'freeze', 'snapshot', 'resume', 'destroy',
                     'hold', 'release'):
            self.assertEqual(ctl(self.bus, verb, '--help').returncode, 0)

    def test_no_daemon(self):
        for args in (['stop', 'g'], ['destroy', 'g', '--order', 'source-first'], ['hold', 'g']):
            result = ctl(self.bus, *args)
            self.assertEqual((result.returncode, result.stdout), (3, ''))
            self.assertIn('it is not running there', result.stderr)

    def test_hold(self):
        daemon = self.start(G)
        self.assertEqual(ctl(self.bus, 'hold', 'g').returncode, 0)
        self.assertEqual(ctl(self.bus, 'release', U1).returncode, 0)
        self.assertEqual(self.asked(daemon), f'held=1 {U1} source who=uid 0; held=0 {U1} source who=uid 0;')
        self.assertEqual(ctl(self.bus, 'hold', 'x').returncode, 4)
        for code, status, says in ((ENOTFOUND, 4, ''), (EPERMISSION, 1, 'refused: ')):
            daemon.tell(f'refuse {code}')
            result = ctl(self.bus, 'hold', 'g')
            self.assertEqual((result.returncode, result.stderr),
                             (status, f'postcopyctl hold: {says}the script says no\n'))

    def test_set_policy_of_a_migration(self):
        daemon = self.start(G)
        result = ctl(self.bus, *SET, 'g', 'protect')
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, 'g: policy protect, for the migration under way\n', ''))
        self.assertEqual(self.asked(daemon), f'policy=protect {U1} source who=uid 0;')
        daemon.tell(f'refuse {EPERMISSION}')
        result = ctl(self.bus, *SET, 'g', 'fence')
        self.assertEqual((result.returncode, result.stderr),
                         (1, 'postcopyctl policy: refused: the script says no\n'))
        daemon.tell(f'refuse {EINVALID}')
        self.assertEqual(ctl(self.bus, *SET, 'g', 'fence').returncode, 2)
        self.act('', method='org.postcopyd.Migration1.SetPolicy')
        self.assertIn('policy=- ', self.asked(daemon))

    def test_set_policy_back(self):
        daemon = self.start(G)
        result = ctl(self.bus, 'policy', 'set', 'g', '--default')
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, 'g: the configured policy again, for the migration under way\n', ''))
        self.assertEqual(self.asked(daemon), f'policy=- {U1} source who=uid 0;')
        for args in (['set', 'g', 'protect', '--default'], ['set', '--default']):
            self.assertEqual(ctl(self.bus, 'policy', *args).returncode, 2)
        self.assertEqual(self.asked(daemon), '')

    def test_two_migrations_of_one_domain(self):
        """One that ended is not meant; of two that have not, --role says which."""
        daemon = self.start(f'migration {U1} source g completed none none no 0', H)
        self.assertEqual(ctl(self.bus, 'hold', 'g').returncode, 0)
        self.assertIn(f'{U1} destination who', self.asked(daemon))
        daemon.tell(G)
        for args in (['hold', 'g'], ['release', 'g'], [*SET, 'g', 'observe'], ['force-pause', 'g'],
                     ['destroy', 'g', '--order', 'source-first']):
            result = ctl(self.bus, *args)
            self.assertEqual((result.returncode, result.stdout), (2, ''), args)
            self.assertIn("'g' has more than one migration here; say which by --role source",
                          result.stderr)
        self.assertEqual(self.asked(daemon), '')
        for args, says in ((['hold', 'g'], f'held=1 {U1} '), ([*SET, 'g', 'observe'], U1),
                           (['force-pause', 'g'], 'force-pause ')):
            for role in ('source', 'destination'):
                result = ctl(self.bus, *args, '--role', role)
                self.assertEqual((result.returncode, result.stderr), (0, ''))
                asked = self.asked(daemon)
                self.assertIn(says, asked)
                self.assertIn(f' {role}', asked)
        # Only one side can recover, or be frozen.
        self.assertEqual(ctl(self.bus, 'recover', 'g').returncode, 0)
        self.assertEqual(ctl(self.bus, 'freeze', 'g').returncode, 0)
        result = ctl(self.bus, 'hold', 'g', '--role', 'src')
        self.assertEqual((result.returncode, result.stderr), (
            2, 'postcopyctl hold: --role: got "src", expected source or destination\n'))
        daemon.tell(f'remove {U1} destination')
        result = ctl(self.bus, 'hold', 'g', '--role', 'destination')
        self.assertEqual(result.returncode, 4)
        self.assertIn("no migration of a domain 'g' is known here as destination", result.stderr)

    def test_set_policy_at_rest(self):
        """libvirt's test driver keeps metadata, but only as long as one connection."""
        xml = os.path.join(self.bus.dir, 'node.xml')
        with open(xml, 'w') as node:
            node.write('<node><domain type="test"><name>g</name><memory>8192</memory>'
                       f'<uuid>{U1}</uuid><os><type>hvm</type></os></domain></node>')
        args = ['--connect', f'test://{xml}', *SET]
        for domain in ('g', U1):
            result = ctl(self.bus, *args, domain, 'protect')
            self.assertEqual((result.returncode, result.stdout, result.stderr),
                             (0, f'{domain}: policy protect, in its metadata\n', ''))
        result = ctl(self.bus, *args, '1', '--default')
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, '1: the configured policy, none in its metadata\n', ''))
        result = ctl(self.bus, *args, 'x', 'protect')
        self.assertEqual((result.returncode, result.stderr),
                         (4, "postcopyctl policy: libvirt knows no domain 'x'\n"))
        # An ended migration is at rest, too.
        daemon = self.start(f'migration {U1} source g completed none none no 0')
        self.assertIn('in its metadata', ctl(self.bus, *args, 'g', 'protect').stdout)
        self.assertEqual(self.asked(daemon), '')

    def test_reload(self):
        path = os.path.join(self.bus.dir, 'postcopyd.conf')
        with open(path, 'w') as config:
            config.write('[arm]\nnetwork-timeout=3s\n')
        daemon = self.daemon('--config', path)
        with open(path, 'w') as config:
            config.write('[arm]\nnetwork-timeout=4s\n')
        reload = ['call', '--dest', 'org.postcopyd', '--object-path', '/org/postcopyd', '--method',
                  'org.postcopyd.Manager1.Reload']
        self.assertEqual(self.gdbus(*reload).stdout, '()\n')
        self.assertEqual(daemon.tell('config'), '4000000 ok')
        with open(path, 'w') as config:
            config.write('[arm]\nfrob=4s\n')
        result = self.gdbus(*reload)
        self.assertIn(f'org.postcopyd.Error.Refused: {path}:2: [arm]: unknown key "frob"',
                      result.stderr)
        self.assertEqual(daemon.tell('config'), '4000000 ok')


class TestDebug(Orders):
    """What action debug kept comes by a descriptor: to root, and of this incident only."""

    def setUp(self):
        super().setUp()
        self.state = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.state)

    def keep(self, name, text, mode=0o700):
        folder = os.path.join(self.state, 'debug')
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, mode)
        with open(os.path.join(folder, name), 'w') as f:
            f.write(text)

    def test_prints_the_last(self):
        daemon = self.start(H)
        daemon.tell(f'state {self.state}', 'answer done 3\\040threads')
        self.keep('7-20261122T100000.000001-stacks.txt', 'old\n')
        self.keep('7-20261122T100001.000000-stacks.txt', 'thread 1\nthread 2\n')
        self.keep('70-20261122T100002.000000-stacks.txt', 'another incident\n')
        result = ctl(self.bus, 'debug', 'g', '--mode', 'stacks', '--limit', '5s')
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, 'thread 1\nthread 2\n', 'g: debug: done: 3 threads\n'))
        self.assertIn('with first 5s, factor 2, ceiling 1min, attempts 3, mode stacks, limit 5s',
                      self.asked(daemon))

    def test_nothing_there(self):
        daemon = self.start(H)
        daemon.tell(f'state {self.state}')
        result = ctl(self.bus, 'debug', 'g')
        self.assertEqual((result.returncode, result.stdout), (4, ''))
        self.assertIn('debug', result.stderr)

    def test_a_link_or_an_open_folder_is_not_followed(self):
        daemon = self.start(H)
        daemon.tell(f'state {self.state}')
        self.keep('7-20261122T100000.000001-stacks.txt', 'open to all\n', 0o755)
        result = ctl(self.bus, 'debug', 'g')
        self.assertEqual((result.returncode, result.stdout), (1, ''))
        self.assertIn('mode 0700', result.stderr)
        folder = os.path.join(self.state, 'debug')
        os.chmod(folder, 0o700)
        os.rename(folder, folder + '.real')
        os.symlink(folder + '.real', folder)
        result = ctl(self.bus, 'debug', 'g')
        self.assertEqual((result.returncode, result.stdout), (1, ''))

    def test_bad_mode(self):
        self.start(H)
        result = ctl(self.bus, 'debug', 'g', '--mode', 'strace')
        self.assertEqual(result.returncode, 2)
        self.assertIn('mode: got "strace", expected one of: backtrace, core, stacks, gdbserver, guest', result.stderr)


class TestWait(Orders):
    def test_recover(self):
        daemon = self.start(G)
        process, lines = self.follow('recover', 'g', '--wait')
        self.assertEqual(lines.next(), 'g: recover: done')
        for phase, flow in (('recovering', 'none'), ('postcopy', 'flowing'), ('paused', 'none'),
                            ('postcopy', 'slow')):
            daemon.tell(f'migration {U1} source g {phase} {flow} none no 0')
            time.sleep(0.15)
            self.assertIsNone(process.poll())
        daemon.tell(f'migration {U1} source g completed none none no 0')
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertEqual(lines.next(), 'g: completed')
        self.assertEqual(process.stderr.read().decode(), 'g: paused\ng: recovering\n'
                         'g: postcopy, flowing\ng: paused\ng: postcopy, slow\n')

    def test_quiet(self):
        daemon = self.start(G, f'progress {U1} source 4096 8192 -1 -1')
        process, lines = self.follow('recover', 'g', '--wait', '--quiet')
        wait_for(lambda: 'recover' in self.asked(daemon), 'the order')
        daemon.tell(f'migration {U1} source g postcopy flowing none no 0')
        time.sleep(0.3)
        daemon.tell(f'migration {U1} source g completed none none no 0')
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertEqual(process.stderr.read(), b'')
        self.assertIsNone(lines.next())

    def test_figures_without_a_terminal(self):
        daemon = self.start(G, f'progress {U1} source 4096 8192 0 -1')
        process, _ = self.follow('recover', 'g', '--wait')
        wait_for(lambda: 'recover' in self.asked(daemon), 'the order')
        daemon.tell(f'progress {U1} source 2048 8192 1024 2000000',
                    f'migration {U1} source g postcopy flowing none no 0')
        time.sleep(0.3)
        daemon.tell(f'migration {U1} source g completed none none no 0')
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertEqual(
            process.stderr.read().decode(),
            'g: paused: 4.0 KiB (1 page) left of 8.0 KiB, nothing flows\n'
            'g: postcopy, flowing: 2.0 KiB (1 page) left of 8.0 KiB, 1.0 KiB/s, about 2 s\n')

    def test_failed_attempt_is_tried_again(self):
        """By the policy if that goes on, else by the command itself, and told once."""
        daemon = self.start(G)
        daemon.tell('answer failed no\\040route')
        process, _ = self.follow('recover', 'g', '--wait')
        wait_for(lambda: self.asked(daemon).count('recover source') == 1, 'an order')
        wait_for(lambda: self.asked(daemon).count('recover source') == 1, 'another one')
        # Now the policy has plans of its own.
        daemon.tell(f'ladder {U1} source recover default no 7 - recover failed no\\040route '
                    'recover 1000000')
        self.asked(daemon)
        time.sleep(4)
        self.assertEqual(self.asked(daemon), '')
        # Held: nobody else would do it.
        daemon.tell('answer done -', f'ladder {U1} source recover default yes 7 - recover failed '
                    'no\\040route - 0')
        wait_for(lambda: 'recover source' in self.asked(daemon), 'a third one')
        daemon.tell(f'migration {U1} source g completed none none no 0')
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertEqual(process.stderr.read().decode(), 'g: paused\npostcopyctl recover: an '
                         'attempt failed: no route; it is tried again\n')

    def test_refused_is_the_end(self):
        daemon = self.start(G)
        daemon.tell('answer refused no\\040peer')
        result = ctl(self.bus, 'recover', 'g', '--wait', '--quiet')
        self.assertEqual((result.returncode, result.stderr),
                         (1, 'postcopyctl recover: refused: no peer\n'))
        # ... but for a migration that goes on all the same.
        daemon.tell(f'migration {U1} source g postcopy flowing none no 0')
        process, _ = self.follow('recover', 'g', '--wait')
        wait_for(lambda: 'recover' in self.asked(daemon), 'the order')
        daemon.tell(f'migration {U1} source g completed none none no 0')
        self.assertEqual(process.wait(DEADLINE), 0)

    def test_ends_otherwise(self):
        for word, status, says in (
                (f'migration {U1} source g failed none none no 0', 1,
                 "failed: the migration of 'g' is failed"),
                (f'migration {U1} source g gone none none no 0', 1,
                 "failed: the migration of 'g' is gone"),
                (f'remove {U1} source', 4, "the migration of 'g' is not known here any more")):
            daemon = self.start(G)
            process, lines = self.follow('recover', 'g', '--wait')
            lines.next()
            time.sleep(0.1)
            daemon.tell(word)
            self.assertEqual(process.wait(DEADLINE), status)
            self.assertEqual(process.stderr.read().decode().removeprefix('g: paused\n'),
                             f'postcopyctl recover: {says}\n')
            self.assertEqual(daemon.stop(), 0)
            self.doCleanups()
            self.setUp()

    def test_timeout(self):
        self.start(G)
        begun = time.monotonic()
        result = ctl(self.bus, 'recover', 'g', '--wait', '--timeout', '1s')
        self.assertTrue(1 <= time.monotonic() - begun < 4)
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (1, 'g: recover: done\n', 'g: paused\n'
                          'postcopyctl recover: failed: not over within 1s; it is still paused\n'))

    def test_timeout_while_held(self):
        daemon = self.start(G)
        daemon.tell(f'ladder {U1} source recover default yes 7 - - - - - 0')
        result = ctl(self.bus, 'recover', 'g', '--wait', '--timeout', '100ms', '--quiet')
        self.assertEqual((result.returncode, result.stderr), (
            1, 'postcopyctl recover: failed: not over within 100ms; it is paused, and held: '
               'postcopyd does not go on by itself\n'))

    def test_false_error(self):
        """libvirt 9.0 to 10.x may report an error while the recovery proceeds."""
        daemon = self.start(f'migration {U1} source g recovering none none no 0')
        daemon.tell('answer failed libvirt\\040says\\040so')
        process, _ = self.follow('recover', 'g', '--wait')
        wait_for(lambda: 'recover' in self.asked(daemon), 'the order')
        time.sleep(0.3)
        self.assertIsNone(process.poll())
        daemon.tell(f'migration {U1} source g completed none none no 0')
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertNotIn(b'failed', process.stderr.read())

    def test_force_pause(self):
        daemon = self.start(f'migration {U1} source g postcopy stalled none no 0')
        process, lines = self.follow('force-pause', 'g', '--wait')
        lines.next()
        self.assertFalse(lines.arrive(0.2))
        self.assertIsNone(process.poll())
        daemon.tell(G)
        self.assertEqual(process.wait(DEADLINE), 0)

    def test_daemon_killed(self):
        """Told once, what that means for what was asked, and exit code 3: however it was waited."""
        for words, answered in ((['snapshot', 'g'], False), (['snapshot', 'g', '--quiet'], False),
                                (['recover', 'g', '--wait'], False), (['recover', 'g', '--wait'], True),
                                (['force-pause', 'g'], False)):
            with self.subTest(words=words, answered=answered):
                daemon = self.start(G)
                daemon.tell('answer done -' if answered else 'answer later -')
                process, lines = self.follow(*words)
                wait_for(lambda: f'{words[0]} source' in self.asked(daemon), 'the order')
                if answered:
                    self.assertEqual(lines.next(), 'g: recover: done')
                daemon.process.kill()
                self.assertEqual(process.wait(DEADLINE), 3)
                told = [line for line in process.stderr.read().decode().splitlines() if line != 'g: paused']
                self.assertEqual(told, [
                    f'postcopyctl {words[0]}: no answer from postcopyd on the bus {self.bus.address}: it went '
                    "away; what it had begun is in the journal of its host, see 'postcopyctl incident list' there"])

    def test_snapshot_bar(self):
        """On a terminal, and not with --quiet; the answer comes on a line of its own."""
        for words, has_bar in (([], True), (['--quiet'], False)):
            daemon = self.start(G)
            daemon.tell('answer later -', f'ladder {U1} source recover default no 1 snapshot - - - - 0',
                        f'doing {U1} source memory 3 8')
            terminal, end = pty.openpty()
            process = subprocess.Popen([CTL, '--bus', self.bus.address, 'snapshot', 'g', *words],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=end,
                                       env=XTERM)
            self.addCleanup(end_process, process)
            shown = b''

            def shows(text):
                nonlocal shown
                if select.select([terminal], [], [], 0)[0]:
                    shown += os.read(terminal, 4096)
                return text in shown
            wait_for(lambda: 'snapshot source' in self.asked(daemon), 'the order')
            if has_bar:
                wait_for(lambda: shows(b'\rg: snapshot: memory [#######-------------] 37 %, '), 'a bar')
                daemon.tell(f'doing {U1} source memory 8 8')
                wait_for(lambda: shows(b'[####################] 100 %, '), 'its end')
            else:
                time.sleep(1)
            daemon.tell('finish done /a')
            out = process.communicate(timeout=DEADLINE)[0]
            self.assertEqual((process.returncode, out), (0, b'g: snapshot: done: /a\n' if has_bar else b''))
            shows(b'')
            self.assertTrue(shown.endswith(b'\r\033[K') if has_bar else shown == b'', shown)
            os.close(terminal)
            os.close(end)
            daemon.stop()

    def test_progress_on_a_terminal(self):
        daemon = self.start(G)
        terminal, end = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('4H', 24, 102, 0, 0))
        self.addCleanup(os.close, terminal)
        process = subprocess.Popen([CTL, '--bus', self.bus.address, 'recover', 'g', '--wait'],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=end,
                                   env=XTERM)
        os.close(end)
        self.addCleanup(end_process, process)
        shown = b''

        def shows(text):
            nonlocal shown
            if select.select([terminal], [], [], 0)[0]:
                shown += os.read(terminal, 4096)
            return text in shown
        wait_for(lambda: shows(b'\rg: paused, '), 'a first line')
        daemon.tell(f'migration {U1} source g postcopy flowing none no 0')
        wait_for(lambda: shows(b'\rg: postcopy, flowing, '), 'news')
        daemon.tell(f'progress {U1} source 6291456 8388608 1048576 6000000')
        wait_for(lambda: shows(b'\rg: postcopy, flowing: [####--------------] 6.0 MiB (1536 '
                               b'pages) left of 8.0 MiB, 1.0 MiB/s, about 6 s\033[K'), 'a bar')
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('4H', 24, 40, 0, 0))
        wait_for(lambda: shows(b'\rg: postcopy, flowing: 6.0 MiB (1536 pag\033[K'), 'a short line')
        daemon.tell(f'migration {U1} source g completed none none no 0')
        self.assertEqual(process.wait(DEADLINE), 0)


JOB = 'org.postcopyd.Job1'


class Jobs(Orders):
    def begin(self, *args, role='destination'):
        path = PATH1 if role == 'source' else PATH1.replace('source', role)
        result = self.act(*args, path=path, method='org.postcopyd.Migration1.Start')
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.split("'")[1]

    def gdbus_as(self, user, *args):
        entry = pwd.getpwnam(user)
        return subprocess.run(['gdbus', args[0], '--address', self.bus.address, *args[1:]],
                              user=entry.pw_uid, group=entry.pw_gid, extra_groups=[], cwd='/',
                              capture_output=True, text=True, timeout=DEADLINE)

    def cancel(self, job, user='root'):
        return self.gdbus_as(user, 'call', '--dest', 'org.postcopyd', '--object-path', job,
                             '--method', f'{JOB}.Cancel')

    def get(self, job, name):
        result = self.gdbus('call', '--dest', 'org.postcopyd', '--object-path', job, '--method',
                            'org.freedesktop.DBus.Properties.Get', JOB, name)
        return result.stdout.strip()[2:-3] if result.returncode == 0 else None


class TestJobs(Jobs):
    def test_outlives_its_caller(self):
        daemon = self.start(H)
        daemon.tell('answer later -')
        job = self.begin('snapshot', '{}')  # the caller is gone here
        self.assertTrue(job.startswith('/org/postcopyd/job/'), job)
        self.assertIn('snapshot destination', self.asked(daemon))
        for name, value in (('Action', "'snapshot'"), ('State', "'running'"), ('Outcome', "''"),
                            ('Domain', "'g'"), ('Uuid', f"'{U1}'"), ('Who', "'uid 0'"),
                            ('Migration', "objectpath '" + PATH1.replace('source', 'destination'))):
            self.assertIn(value.rstrip("'"), self.get(job, name), name)
        daemon.tell('busy 3 8 reading\\040memory')
        self.assertEqual([self.get(job, name) for name in ('Text', 'Done', 'Total')],
                         ["'reading memory'", 'uint64 3', 'uint64 8'])
        monitor = subprocess.Popen(
            ['stdbuf', '-oL', 'gdbus', 'monitor', '--address', self.bus.address, '--dest',
             'org.postcopyd', '--object-path', job], stdout=subprocess.PIPE)
        self.addCleanup(monitor.stdout.close)
        self.addCleanup(end_process, monitor)
        lines, done = Lines(monitor.stdout), itertools.count()
        while 'is owned by' not in lines.next():
            pass

        def hears():  # it says so before it listens
            daemon.tell(f'busy {next(done) % 8} 8 more')
            return lines.arrive(0.2)
        wait_for(hears, 'a monitor that hears')
        daemon.tell('finish done /a/b', 'answer done -')
        while f"{JOB}.Ended ('done', '/a/b')" not in lines.next():
            pass
        self.assertEqual([self.get(job, name) for name in ('State', 'Outcome', 'Reason')],
                         ["'ended'", "'done'", "'/a/b'"])
        result = self.cancel(job)
        self.assertIn('org.postcopyd.Error.Refused: it has ended', result.stderr)
        wait_for(lambda: self.get(job, 'State') is None, 'the end of the job', 60)
        self.assertEqual(self.listed()['migrations'][0]['name'], 'g')

    def test_cancel(self):
        daemon = self.start(H)
        daemon.tell('answer later -')
        process, _ = self.follow('snapshot', 'g')  # by Act (), which is a job, too
        wait_for(lambda: 'snapshot' in self.asked(daemon), 'the order')
        job = '/org/postcopyd/job/1'
        self.assertEqual(self.get(job, 'State'), "'running'")
        end_process(process, signal.SIGKILL)
        self.assertEqual(self.get(job, 'State'), "'running'")
        self.assertEqual(self.cancel(job).returncode, 0)
        self.assertEqual(self.asked(daemon), 'cancelled;')
        self.assertEqual(self.get(job, 'State'), "'cancelling'")
        daemon.tell('finish failed cancelled')
        self.assertEqual([self.get(job, name) for name in ('State', 'Outcome', 'Reason')],
                         ["'ended'", "'failed'", "'cancelled'"])

    def test_at_once(self):
        daemon = self.start(H)
        daemon.tell('answer refused no')
        job = self.begin('stop', '{}')
        self.assertEqual(self.get(job, 'Outcome'), "'refused'")
        result = self.act('stop', "{'timeout': <uint64 5>}", method='org.postcopyd.Migration1.Start',
                          path=PATH1.replace('source', 'destination'))
        self.assertIn('BadArgument: timeout:', result.stderr)


class TestShown(Orders):
    def test_status(self):
        daemon = self.start(H)
        daemon.tell(f'ladder {U1} destination protect metadata yes 7 freeze stop refused '
                    'vCPU\\0400\\040waits resume 1000000')
        text = ctl(self.bus, 'status', 'g', env={**os.environ, 'TZ': 'UTC'}).stdout
        for line in ('  Policy:    protect (metadata), held: nothing is done by itself\n',
                     '  Did:       stop: refused: vCPU 0 waits\n', '  Does:      freeze\n',
                     '  Will:      resume, at 1970-01-01 00:00:01.000+0000\n',
                     ', incident 7\n', 'postcopyctl release g'):
            self.assertIn(line, text)
        migration = self.listed()['migrations'][0]
        self.assertEqual({k: migration[k] for k in (
            'policy', 'policy-source', 'held', 'incident', 'doing', 'last-action', 'last-outcome',
            'last-reason', 'next-action', 'next-time')}, {
                'policy': 'protect', 'policy-source': 'metadata', 'held': True, 'incident': 7,
                'doing': 'freeze', 'last-action': 'stop', 'last-outcome': 'refused',
                'last-reason': 'vCPU 0 waits', 'next-action': 'resume',
                'next-time': '1970-01-01T00:00:01.000000Z'})
        daemon.tell(f'doing {U1} destination by\\04010.0.0.2 0 0')
        self.assertIn('  Does:      freeze: by 10.0.0.2\n',
                      ctl(self.bus, 'status', 'g').stdout)
        daemon.tell(f'doing {U1} destination reading\\040memory 3 8')
        self.assertIn('  Does:      freeze: reading memory (3 of 8)\n',
                      ctl(self.bus, 'status', 'g').stdout)
        migration = self.listed()['migrations'][0]
        self.assertEqual((migration['doing-text'], migration['doing-done'],
                          migration['doing-total']), ('reading memory', 3, 8))
        daemon.tell(f'veto {U1} destination stop /etc/x bei\\303\\040wait\\012s 1000000 3000000')
        text = ctl(self.bus, 'status', 'g', env={**os.environ, 'TZ': 'UTC'}).stdout
        self.assertIn('  Vetoed:    stop, by /etc/x: bei\ufffd wait?s, since 1970-01-01 '
                      '00:00:01.000+0000, asked again at 1970-01-01 00:00:03.000+0000\n', text)
        self.assertEqual(self.listed()['migrations'][0]['vetoes'], [
            {'action': 'stop', 'by': '/etc/x', 'reason': 'bei\ufffd wait\ns',
             'since': '1970-01-01T00:00:01.000000Z', 'until': '1970-01-01T00:00:03.000000Z'}])
        daemon.tell(f'veto {U1} destination')
        self.assertEqual(self.listed()['migrations'][0]['vetoes'], [])
        daemon.tell(f'ladder {U1} destination recover default no 0 - - - - - 0')
        text = ctl(self.bus, 'status', 'g').stdout
        self.assertIn('  Policy:    recover (default)\n', text)
        for word in ('Did:', 'Does:', 'Will:', 'ncident'):
            self.assertNotIn(word, text)
        self.assertIsNone(self.listed()['migrations'][0]['next-time'])

    def test_changes_are_told(self):
        daemon = self.start(H)
        _, lines = self.follow('status', 'g', '--watch', '--json')
        lines.next()
        daemon.tell(f'ladder {U1} destination protect metadata no 7 freeze - - - - 0')
        self.assertEqual(json.loads(lines.next())['migrations'][0]['doing'], 'freeze')


class TestNobodyByDefault(Orders):
    """A bus without polkit: root, and nobody else."""

    def test_only_root(self):
        daemon = self.start(G)
        for args in (['recover', 'g'], ['stop', 'g', '--dry-run'], ['hold', 'g'], ['release', 'g'],
                     [*SET, 'g', 'observe'],
                     ['destroy', 'g', '--order', 'source-first', '--without-proof', '--force']):
            result = call(*args, user='nobody', bus=self.bus)
            self.assertEqual((result.returncode, result.stdout), (1, ''), args)
            self.assertIn('uid 65534 may not do this: only root may without polkit (',
                          result.stderr)
        self.assertEqual(self.asked(daemon), '')
        self.assertEqual(ctl(self.bus, 'hold', 'g').returncode, 0)
        self.assertNotEqual(self.asked(daemon), '')


@unittest.skipUnless(os.path.exists(POLKITD), 'no polkitd here, which `check` installs')
class WithPolkit(Jobs):
    """The real polkitd: group `daemon` may manage, `mail` may destroy, `nobody` may nothing."""

    def start_polkit(self):
        actions, rules = (os.path.join(self.bus.dir, d) for d in ('actions', 'rules'))
        for directory in (actions, rules):
            os.mkdir(directory)
        shutil.copy(ACTIONS, actions)
        with open(os.path.join(rules, '50-test.rules'), 'w') as rule:
            rule.write(RULE)
        # polkitd reads fixed folders, and gives root up as soon as it is on the bus.
        script = ('set -e; mount --make-rprivate /; mount --bind "$1" /usr/share/polkit-1/actions; '
                  'mount --bind "$2" /etc/polkit-1/rules.d; exec "$3" --no-debug')
        self.polkitd = subprocess.Popen(
            ['unshare', '--mount', 'sh', '-c', script, 'sh', actions, rules, POLKITD],
            env={**os.environ, 'DBUS_SYSTEM_BUS_ADDRESS': self.bus.address},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(end_process, self.polkitd)
        wait_for(lambda: 'true' in self.gdbus(
            'call', '--dest', 'org.freedesktop.DBus', '--object-path', '/org/freedesktop/DBus',
            '--method', 'org.freedesktop.DBus.NameHasOwner', 'org.freedesktop.PolicyKit1').stdout,
            'polkitd on the bus')


class TestSnapshotsPolkit(Snapshots, WithPolkit):
    def test_who_gets_parts(self):
        self.start_polkit()
        for user, gets in (('daemon', True), ('nobody', False), ('mail', False)):
            result = self.read('g-2', 'manifest.json', user)
            self.assertEqual((result.returncode == 0, result.stdout),
                             (gets, 'manifest of g-2' if gets else ''), (user, result.stderr))
            if not gets:
                self.assertIn('org.postcopyd.Error.NotAuthorized', result.stderr)


class TestPolkit(WithPolkit):
    def setUp(self):
        super().setUp()
        self.start_polkit()

    def test_who_may_what(self):
        daemon = self.start(G)
        destroy = ['destroy', 'g', '--order', 'source-first']
        manage = (['recover', 'g'], ['hold', 'g'], ['release', 'g'],
                  [*SET, 'g', 'observe'])
        uids = {user: pwd.getpwnam(user).pw_uid for user in ('daemon', 'mail', 'nobody')}
        for user, allowed, denied in (('daemon', manage, [destroy]), ('mail', [destroy], manage),
                                      ('nobody', [], [destroy, *manage])):
            for args in allowed:
                result = call(*args, user=user, bus=self.bus)
                self.assertEqual((result.returncode, result.stderr), (0, ''), (user, args))
                self.assertIn(f'who=uid {uids[user]}', self.asked(daemon))
            for args in denied:
                result = call(*args, user=user, bus=self.bus)
                action = 'destroy' if args is destroy else 'manage'
                self.assertEqual(result.returncode, 1, (user, args))
                self.assertIn(f'uid {uids[user]} may not do this: polkit says no to '
                              f'org.postcopyd.{action};', result.stderr)
                self.assertEqual(self.asked(daemon), '')
        self.assertEqual(call('status', 'g', user='nobody', bus=self.bus).returncode, 0)
        # A password would do, but there is no agent to ask for it.
        result = call('hold', 'g', user='games', bus=self.bus)
        self.assertEqual(result.returncode, 1)
        self.assertIn('may not do this: polkit says no to org.postcopyd.manage', result.stderr)
        self.assertEqual(self.asked(daemon), '')

    def test_who_cancels_a_job(self):
        daemon = self.start(G)
        daemon.tell('answer later -')
        job = self.begin('destroy', "{'order': <'source-first'>, 'without-proof': <true>}", role='source')
        self.asked(daemon)
        for user in ('nobody', 'daemon'):
            result = self.cancel(job, user)
            self.assertIn('NotAuthorized', result.stderr, user)
        self.assertEqual(self.asked(daemon), '')
        self.assertEqual(self.cancel(job, 'mail').returncode, 0)
        self.assertEqual(self.asked(daemon), 'cancelled;')
        daemon.tell('finish failed cancelled')
        job = self.begin('snapshot', '{}', role='source')
        self.asked(daemon)
        self.assertIn('NotAuthorized', self.cancel(job, 'nobody').stderr)
        result = self.cancel(job, 'daemon')
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.asked(daemon), 'cancelled;')
        daemon.tell('finish failed cancelled')

    def test_root_without_asking(self):
        """polkitd stopped: root is served at once, others are told no."""
        daemon = self.start(G)
        self.polkitd.send_signal(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            self.assertEqual(ctl(self.bus, 'recover', 'g').returncode, 0)
            self.assertLess(time.monotonic() - begun, 2)
            self.assertIn('who=uid 0', self.asked(daemon))
            result = call('recover', 'g', user='daemon', bus=self.bus)
        finally:
            self.polkitd.send_signal(signal.SIGCONT)
        self.assertEqual(result.returncode, 1)
        self.assertIn('only root may without polkit', result.stderr)
        self.assertEqual(self.asked(daemon), '')


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('skipped: needs root, as only root may own the name org.postcopyd')
        raise SystemExit(77)
    unittest.main(verbosity=2)
