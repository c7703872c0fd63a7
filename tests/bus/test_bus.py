#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""postcopyd's D-Bus service and postcopyctl, on a bus of their own.

The bus has the rules of a system bus plus units/org.postcopyd.conf. The daemon is the real one
except for its engine, which does what a test writes to its stdin. Needs root, as the name may be
owned by root only. Every wait has a deadline; everything started is ended by its own process id.
"""
import contextlib
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

POLICIES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'policies')
DAEMON, REAL_DAEMON, CTL, POLICY = (
    os.environ[k] for k in ('PCD_DAEMON', 'PCD_REAL_DAEMON', 'PCD_CTL', 'PCD_POLICY'))
U1 = '11111111-2222-3333-4444-555555555555'
U2 = '22222222-2222-3333-4444-555555555555'
PATH1 = '/org/postcopyd/migration/11111111_2222_3333_4444_555555555555_source'
DEADLINE = 10

BUS_CONFIG = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={dir}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
  </policy>
  <include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
  {policy}
</busconfig>
'''


def wait_for(condition, what, deadline=DEADLINE):
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f'not within {deadline} s: {what}')


def end_process(process, sig=signal.SIGTERM):
    """Ends a process that we started, and gives its exit status."""
    if process.poll() is None:
        process.send_signal(sig)
    try:
        return process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


class Lines:
    """The lines of a pipe, with a deadline."""

    def __init__(self, pipe):
        self.fd = pipe.fileno()
        self.rest = b''

    def arrive(self, seconds):
        """Whether there is something to read by then."""
        return bool(self.rest) or bool(select.select([self.fd], [], [], seconds)[0])

    def next(self, deadline=DEADLINE):
        end = time.monotonic() + deadline
        while b'\n' not in self.rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f'no line within {deadline} s, only {self.rest!r}')
            piece = os.read(self.fd, 4096)
            if not piece:
                return None
            self.rest += piece
        line, self.rest = self.rest.split(b'\n', 1)
        return line.decode()


class Bus:
    def __init__(self, directory, policy=True):
        self.dir = directory
        self.address = f'unix:path={directory}/bus'
        self.config = os.path.join(directory, 'bus.conf')
        with open(self.config, 'w') as config:
            config.write(BUS_CONFIG.format(
                dir=directory, policy=f'<include>{POLICY}</include>' if policy else ''))
        self.process = None
        self.start()

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.dir, 'bus'))
        self.process = subprocess.Popen(
            ['dbus-daemon', '--nofork', '--nopidfile', f'--config-file={self.config}'],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(os.path.join(self.dir, 'bus')), 'a bus')

    def kill(self):
        end_process(self.process, signal.SIGKILL)


class Daemon:
    """The scripted daemon; tell() returns when the engine has obeyed."""

    def __init__(self, bus, *args, env=None, wait=True, program=DAEMON):
        self.log_path = os.path.join(bus.dir, f'log-{time.monotonic_ns()}')
        with open(self.log_path, 'w') as log:
            self.process = subprocess.Popen(
                [program, '--bus', bus.address, *args], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, env={**os.environ, **(env or {})})
        self.answers = Lines(self.process.stdout)
        if wait:
            wait_for(lambda: ctl(bus, 'list').returncode == 0, 'a daemon that answers')

    def tell(self, *lines):
        answer = None
        for line in lines:
            self.process.stdin.write(line.encode() + b'\n')
            self.process.stdin.flush()
            answer = self.answers.next()
            assert answer and answer.endswith('ok'), (line, answer, self.log())
        return answer

    def log(self):
        with open(self.log_path) as log:
            return log.read()

    def stop(self):
        self.process.stdin.close()
        status = end_process(self.process)
        self.process.stdout.close()
        return status


def ctl(bus, *args, **kwargs):
    return subprocess.run([CTL, '--bus', bus if isinstance(bus, str) else bus.address, *args],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE * 2, **kwargs)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.mkdtemp(prefix='pcd-bus-')
        self.addCleanup(shutil.rmtree, directory)
        os.chmod(directory, 0o755)
        self.bus = Bus(directory)
        self.addCleanup(self.bus.kill)

    def daemon(self, *args, **kwargs):
        daemon = Daemon(self.bus, *args, **kwargs)
        self.addCleanup(daemon.stop)
        return daemon

    def follow(self, *args):
        process = subprocess.Popen([CTL, '--bus', self.bus.address, *args],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(end_process, process)
        return process, Lines(process.stdout)

    def listed(self):
        return json.loads(ctl(self.bus, 'list', '--json').stdout)

    def gdbus(self, *args):
        return subprocess.run(['gdbus', *args[:1], '--address', self.bus.address, *args[1:]],
                              capture_output=True, text=True, timeout=DEADLINE)


class TestList(Case):
    def test_table(self):
        self.daemon().tell('connected',
                           f'migration {U1} source gräte postcopy flowing none no 1',
                           f'migration {U2} destination b paused none network no 0')
        result = ctl(self.bus, 'list', env={**os.environ, 'LC_ALL': 'C.UTF-8'})
        self.assertEqual((result.returncode, result.stderr), (0, ''))
        times = r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000'
        self.assertRegex(result.stdout, re.compile(
            r'\A Name    Role          Phase      Flow      Cause     Since\n'
            r'-+\n'
            rf' b       destination   paused     -         network   {times}\n'
            rf' gräte   source        postcopy   flowing   -         {times}\n\n\Z'))

    def test_held_still(self):
        """In a pause and after the end, as long as the guest stands still by us."""
        daemon = self.daemon()
        for phase, action, outcome, shown in (('paused', 'freeze', 'done', 'paused (held still)'),
                                              ('completed', 'stop', 'done', 'completed (held still)'),
                                              ('completed', 'freeze', 'failed', 'completed'),
                                              ('completed', 'resume', 'done', 'completed')):
            daemon.tell('connected', f'migration {U1} destination g {phase} none none no 0',
                        f'ladder {U1} destination observe default no 0 - {action} {outcome} why - 0')
            row = ctl(self.bus, 'list').stdout.splitlines()[2]
            self.assertEqual(re.split('   +', row.strip())[:4], ['g', 'destination', shown, '-'])
            self.assertEqual('held still by' in ctl(self.bus, 'status', 'g').stdout, 'held' in shown)

    def test_empty(self):
        self.daemon().tell('connected')
        result = ctl(self.bus, 'list')
        self.assertEqual((result.returncode, result.stderr), (0, ''))
        self.assertRegex(result.stdout, r'\A Name   Role .*\n-+\n\n\Z')

    def test_json(self):
        self.daemon('--connect', 'qemu:///system').tell(
            'connected', f'migration {U1} source g postcopy slow none yes 3',
            f'socket {U1} source 10.0.0.1:1 [::1]:2 yes 900')
        state = self.listed()
        self.assertRegex(state.pop('connection-since'), r'^20\d\d-\d\d-\d\dT.{8}\.\d{6}Z$')
        self.assertRegex(state['migrations'][0].pop('phase-since'), r'^20\d\d-.*Z$')
        self.assertEqual(state, {
            'version': state['version'], 'libvirt-uri': 'qemu:///system', 'connected': True,
            'connection-reason': '', 'migrations': [{
                'uuid': U1, 'name': 'g', 'role': 'source', 'stale': False, 'phase': 'postcopy',
                'flow': 'slow', 'cause': 'none', 'cause-detail': '', 'lost-connection': None,
                'unattended': True,
                'qemu-status': 'postcopy-active', 'pid': 4242, 'measured': True, 'vcpus': 4,
                'blocked-vcpus': 3, 'blocked-others': 0, 'note': 'three are blocked',
                'sockets': [{'local': '10.0.0.1:1', 'remote': '[::1]:2', 'armed': True,
                             'heard-usec': 900, 'unacked': 7, 'retransmits': 0}],
                'policy': '', 'policy-source': '', 'held': False, 'vetoes': [],
                'incident': 0, 'doing': '',
                'doing-text': '', 'doing-done': None, 'doing-total': None, 'progress': None,
                'last-action': '', 'last-outcome': '', 'last-reason': '', 'next-action': '',
                'next-time': None}]})

    def test_not_connected(self):
        daemon = self.daemon()
        daemon.tell('connected', f'migration {U1} source g postcopy flowing none no 1',
                    'disconnected Cannot write data: Broken pipe')
        says = (r'\Anot connected to libvirt since \d{4}-.*\+0000: '
                r'Cannot write data: Broken pipe\n\Z')
        result = ctl(self.bus, 'list')
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr, says)
        self.assertIn('postcopy (last known)', result.stdout)
        result = ctl(self.bus, 'list', '--json')
        self.assertRegex(result.stderr, says)
        state = json.loads(result.stdout)
        self.assertFalse(state['connected'])
        self.assertEqual(state['connection-reason'], 'Cannot write data: Broken pipe')
        self.assertTrue(state['migrations'][0]['stale'])
        result = ctl(self.bus, 'status')
        self.assertRegex(result.stderr, says)
        self.assertIn('pages flow (last known)\n', result.stdout)
        daemon.tell('connected')
        result = ctl(self.bus, 'list')
        self.assertEqual(result.stderr, '')
        self.assertNotIn('last known', result.stdout)

    def test_hostile_name(self):
        """A domain's name can neither forge a row nor talk to the terminal."""
        self.daemon().tell('connected',
                           f'migration {U1} source a\\nb\\033[2J\\377 paused none unknown no 0')
        for verb in ('list', 'status'):
            result = ctl(self.bus, verb, env={**os.environ, 'LC_ALL': 'C.UTF-8'})
            self.assertIn('a?b?[2J\ufffd', result.stdout)
            self.assertNotIn('\033', result.stdout)
        self.assertEqual(self.listed()['migrations'][0]['name'], 'a\nb\033[2J\ufffd')

    def test_both_roles_of_one_domain(self):
        daemon = self.daemon()
        daemon.tell(f'migration {U1} source g completed none none no 0',
                    f'migration {U1} destination g precopy none none no 0')
        self.assertEqual([(m['role'], m['phase']) for m in self.listed()['migrations']],
                         [('destination', 'precopy'), ('source', 'completed')])
        daemon.tell(f'remove {U1} source')
        self.assertEqual([m['role'] for m in self.listed()['migrations']], ['destination'])


class TestStatus(Case):
    def test_block(self):
        self.daemon().tell('connected', f'migration {U1} source g postcopy stalled none no 3',
                           f'socket {U1} source 10.0.0.1:1 10.0.0.2:2 yes 1500000',
                           f'migration {U2} source h precopy none none no 0')
        result = ctl(self.bus, 'status', 'g')
        self.assertEqual((result.returncode, result.stderr), (0, ''))
        self.assertRegex(result.stdout, re.compile(
            r'\A\* g \(source\): postcopy for .*: nothing arrives any more\n'
            rf'  UUID:      {U1}\n'
            r'  Since:     .*\n'
            r'  QEMU:      process 4242, says postcopy-active\n'
            r'  Network:   10\.0\.0\.1:1 to 10\.0\.0\.2:2, armed, heard 1\.5 s ago, '
            r'7 unacknowledged, 0 retransmissions\n'
            r'  Guest:     runs on the destination: never resume it here\n'
            r'  Missing:   unknown: the script has said nothing\n'
            r'  Note:      three are blocked\n'
            r'  You can:   postcopyctl force-pause g  .*\n\n\Z'))
        self.assertIn('* h (source): precopy for ', ctl(self.bus, 'status').stdout)
        self.assertEqual(ctl(self.bus, 'status', U1.upper()).stdout.split('\n')[1:],
                         result.stdout.split('\n')[1:])
        only = json.loads(ctl(self.bus, 'status', U2, '--json').stdout)
        self.assertEqual([m['name'] for m in only['migrations']], ['h'])

    def test_id(self):
        """As virsh: an id first; libvirt knows it, from --connect or the daemon's URI."""
        xml = os.path.join(self.bus.dir, 'node.xml')
        with open(xml, 'w') as node:
            node.write('<node><domain type="test"><name>g</name><memory>8192</memory>'
                       f'<uuid>{U1}</uuid><os><type>hvm</type></os></domain></node>')
        daemon = self.daemon('--connect', f'test://{xml}')
        daemon.tell('connected', f'migration {U1} source g paused none network no 0',
                    f'migration {U2} source 7 paused none network no 0')
        for word, name in (('1', 'g'), ('7', '7')):
            for args in ([], ['--connect', f'test://{xml}']):
                result = ctl(self.bus, *args, 'status', word)
                self.assertIn(f'* {name} (source): ', result.stdout, result.stderr)
                self.assertEqual(result.stdout.count('UUID:'), 1)
        self.assertEqual(ctl(self.bus, 'hold', '1').stdout,
                         'g: held: no automatic action until it is released\n')
        self.assertIn(U1, daemon.tell('orders'))
        self.assertEqual(ctl(self.bus, 'status', '2').returncode, 4)

    def test_progress(self):
        daemon = self.daemon()
        daemon.tell('connected', f'migration {U1} source g postcopy flowing none no 0',
                    f'migration {U2} destination h paused none network no 0',
                    f'progress {U1} source 10485761 20971520 1048576 10000001',
                    f'progress {U2} destination only\\040the\\040source\\040knows')
        text = ctl(self.bus, 'status').stdout
        self.assertIn('  Missing:   10.0 MiB (2561 pages) left of 20.0 MiB, 1.0 MiB/s, '
                      'about 11 s\n', text)
        self.assertIn('  Missing:   unknown: only the source knows\n', text)
        g, h = json.loads(ctl(self.bus, 'status', '--json').stdout)['migrations']
        self.assertEqual(g['progress'], {
            'remaining-bytes': 10485761, 'remaining-pages': 2561, 'page-size': 4096,
            'total-bytes': 20971520, 'bytes-per-second': 1048576, 'left-usec': 10000001,
            'reason': None})
        self.assertEqual(h['progress'], {
            'remaining-bytes': None, 'remaining-pages': None, 'page-size': None,
            'total-bytes': None, 'bytes-per-second': None, 'left-usec': None,
            'reason': 'only the source knows'})
        daemon.tell(f'progress {U1} source 4096 8192 -1 -1')
        self.assertIn('  Missing:   4.0 KiB (1 page) left of 8.0 KiB\n',
                      ctl(self.bus, 'status', 'g').stdout)
        self.assertEqual(json.loads(ctl(self.bus, 'status', 'g', '--json').stdout)
                         ['migrations'][0]['progress']['bytes-per-second'], None)
        # What has not begun or is over is not asked.
        for phase in ('precopy', 'completed', 'gone'):
            daemon.tell(f'migration {U1} source g {phase} none none no 0')
            self.assertNotIn('Missing:', ctl(self.bus, 'status', 'g').stdout)

    def test_progress_is_watched(self):
        """It is told to nobody by itself: --watch asks again."""
        daemon = self.daemon()
        daemon.tell('connected', f'migration {U1} source g postcopy flowing none no 0',
                    f'progress {U1} source 8192 8192 -1 -1')
        _, lines = self.follow('status', 'g', '--watch', '--json')
        for left in (8192, 4096, 0):
            daemon.tell(f'progress {U1} source {left} 8192 -1 -1')
            progress = json.loads(lines.next())['migrations'][0]['progress']
            self.assertEqual(progress['remaining-bytes'], left)

    def test_no_such_domain(self):
        self.daemon().tell('connected', f'migration {U1} source g precopy none none no 0')
        for args in (['x'], ['x', '--json'], ['x', '--watch']):
            result = ctl(self.bus, 'status', *args)
            self.assertEqual((result.returncode, result.stdout.count('UUID:')), (4, 0))
            self.assertIn("no migration of a domain 'x' is known here", result.stderr)

    def test_watch(self):
        daemon = self.daemon()
        daemon.tell('connected', f'migration {U1} source g postcopy flowing none no 0')
        process, lines = self.follow('status', 'g', '--watch', '--json')
        self.assertEqual(json.loads(lines.next())['migrations'][0]['phase'], 'postcopy')
        daemon.tell(f'migration {U1} source g paused none network no 0')
        migration = json.loads(lines.next())['migrations'][0]
        self.assertEqual((migration['phase'], migration['cause']), ('paused', 'network'))
        daemon.tell(f'remove {U1} source')
        self.assertEqual(process.wait(DEADLINE), 4)

    def test_watch_ends_with_the_daemon(self):
        daemon = self.daemon()
        daemon.tell('connected', f'migration {U1} source g postcopy flowing none no 0')
        process, lines = self.follow('status', '--watch')
        self.assertRegex(lines.next(), r'^20\d\d-')
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(process.wait(DEADLINE), 3)
        self.assertIn(b'it went away', process.stderr.read())


class TestEvents(Case):
    def test_ring(self):
        self.daemon().tell('record libvirt disconnected connected -',
                           f'record phase postcopy paused because {U1} source g')
        result = ctl(self.bus, 'events')
        self.assertEqual((result.returncode, result.stderr), (0, ''))
        self.assertRegex(result.stdout, re.compile(
            r"\A[-\d]{10} [:\d]{8}\.\d{3}\+0000: event 'libvirt': disconnected -> connected\n"
            r".*: event 'phase' for domain 'g' \(source\): postcopy -> paused: because\n\Z"))
        records = [json.loads(line)
                   for line in ctl(self.bus, 'events', '--json').stdout.splitlines()]
        self.assertEqual([(r['seq'], r['kind']) for r in records], [(1, 'libvirt'), (2, 'phase')])

    def seqs(self, *words):
        result = ctl(self.bus, 'events', '--json', *words)
        self.assertEqual((result.returncode, result.stderr), (0, ''), words)
        return [json.loads(line)['seq'] for line in result.stdout.splitlines()]

    def test_some_of_them(self):
        self.daemon().tell('record libvirt disconnected connected -',
                           f'record phase postcopy paused because {U1} source g',
                           f'record phase postcopy paused because {U2} source h',
                           f'record phase paused recovering - {U1} source g')
        for words, wanted in ((['g'], [2, 4]), ([U2.upper()], [3]), (['none-such'], []), (['-n', '1'], [4]),
                              (['-n', '9'], [1, 2, 3, 4]), (['--lines', '0'], []), (['g', '-n', '1'], [4]),
                              (['h', '--since', '1h'], [3])):
            self.assertEqual(self.seqs(*words), wanted, words)
        # As the two of them are shown, and as a person would say it.
        shown = [line[:28] for line in ctl(self.bus, 'events').stdout.splitlines()]
        in_json = [json.loads(line)['time'] for line in ctl(self.bus, 'events', '--json').stdout.splitlines()]
        for since in ('2020-01-01', '2020-01-01 00:00', shown[0], in_json[0], '-1h', '1 min'):
            self.assertEqual(self.seqs('--since', since), [1, 2, 3, 4], since)
        time.sleep(0.01)
        for since in ('0', '2100-01-01 00:00:00'):
            self.assertEqual(self.seqs('--since', since), [], since)
        for since in ('00:00', '00:00:00'):  # unless midnight has just passed
            if time.localtime().tm_hour or time.localtime().tm_min > 5:
                self.assertEqual(self.seqs('--since', since), [1, 2, 3, 4], since)
        for words in (['--since', 'soon'], ['--since', '2026-13-01'], ['-n', '-1'], ['-n', 'x'], ['g', 'h']):
            result = ctl(self.bus, 'events', *words)
            self.assertEqual((result.returncode, result.stdout), (2, ''), words)
            self.assertIn('expected', result.stderr)

    def test_follow_only_what_comes(self):
        daemon = self.daemon()
        daemon.tell(f'record phase - precopy - {U1} source g', f'record phase precopy postcopy - {U1} source g',
                    f'record phase - precopy - {U2} source h')
        process, lines = self.follow('events', 'g', '--follow', '-n', '1', '--json')
        self.assertEqual(json.loads(lines.next())['seq'], 2)  # and by now it listens
        quiet, rest = self.follow('events', '--follow', '-n', '0')
        daemon.tell(f'record phase precopy postcopy - {U2} source h', f'record flow - slow x {U1} source g')
        self.assertEqual(json.loads(lines.next())['seq'], 5)
        told = 5
        while not rest.arrive(0.05):  # when it listens is not to be seen
            daemon.tell(f'record flow slow slow x{told} {U2} source h')
            told += 1
        self.assertRegex(rest.next(), 'flow|precopy -> postcopy')
        self.assertFalse(lines.arrive(0.1))

    def test_follow(self):
        daemon = self.daemon()
        daemon.tell('record libvirt - connected -')
        process, lines = self.follow('events', '--follow', '--json')
        self.assertEqual(json.loads(lines.next())['seq'], 1)
        begun = time.monotonic()
        daemon.tell('record flow flowing slow x')
        self.assertEqual(json.loads(lines.next())['seq'], 2)
        self.assertLess(time.monotonic() - begun, 1)
        for _ in range(300):
            daemon.tell('record flow flowing slow x')
        self.assertEqual([json.loads(lines.next())['seq'] for _ in range(300)],
                         list(range(3, 303)))
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(process.wait(DEADLINE), 3)
        self.assertIn(b'it went away', process.stderr.read())

    def test_follow_from_the_middle(self):
        """Who starts while records pour in gets each of them once, in order."""
        daemon = self.daemon()
        told = 0
        for _ in range(3):
            process, lines = self.follow('events', '--follow', '--json')
            while not lines.arrive(0):
                daemon.tell('record flow flowing slow x')
                told += 1
            for _ in range(20):
                daemon.tell('record flow flowing slow x')
                told += 1
            self.assertEqual([json.loads(lines.next())['seq'] for _ in range(told)],
                             list(range(1, told + 1)))
            self.assertFalse(lines.arrive(0.1))

    def test_follow_ends_with_the_bus(self):
        self.daemon().tell('record libvirt - connected -')
        process, lines = self.follow('events', '--follow')
        lines.next()
        self.bus.kill()
        self.assertEqual(process.wait(DEADLINE), 3)
        self.assertIn(b'the bus went away', process.stderr.read())

    def test_follow_ends_without_a_reader(self):
        daemon = self.daemon()
        daemon.tell('record libvirt - connected -')
        process, lines = self.follow('events', '--follow')
        lines.next()
        process.stdout.close()
        daemon.tell('record libvirt - connected -')
        self.assertEqual(process.wait(DEADLINE), 1)


class TestExitCodes(Case):
    def test_no_daemon(self):
        for args in (['list'], ['status', 'g'], ['events', '--follow'], ['list', '--json']):
            result = ctl(self.bus, *args)
            self.assertEqual((result.returncode, result.stdout), (3, ''))
            self.assertIn('it is not running there', result.stderr)

    def test_no_bus(self):
        result = ctl(f'unix:path={self.bus.dir}/none', 'list')
        self.assertEqual(result.returncode, 3)
        self.assertIn('No such file', result.stderr)

    def test_silent_bus(self):
        """A bus that accepts and says nothing holds nobody for ever."""
        path = os.path.join(self.bus.dir, 'silent')
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(path)
            silent.listen()
            begun = time.monotonic()
            result = ctl(f'unix:path={path}', 'list')
        self.assertEqual(result.returncode, 3)
        self.assertIn('within 5 s', result.stderr)
        self.assertLess(time.monotonic() - begun, 8)

    def test_stopped_daemon(self):
        daemon = self.daemon()
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            result = ctl(self.bus, 'list')
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        self.assertEqual(result.returncode, 3)
        self.assertIn('within 5 s', result.stderr)

    def test_usage(self):
        for args in (['list', 'x'], ['list', '--frob'], ['status', 'a', 'b'], ['events', 'x', 'y'],
                     ['frob'], []):
            self.assertEqual(ctl(self.bus, *args).returncode, 2, args)
        result = ctl('nonsense', 'list')
        self.assertEqual(result.returncode, 2)
        self.assertIn('--bus: got "nonsense", expected system, session or', result.stderr)

    def test_daemon_usage(self):
        bad = os.path.join(self.bus.dir, 'bad.conf')
        with open(bad, 'w') as config:
            config.write('[arm]\nnetwork-timeout = soon\n')
        for args, says in (
                (['--frob'], "Unknown option --frob; see 'postcopyd --help'"),
                (['x'], "unexpected argument 'x'"),
                (['--connect', 'nonsense'], '--connect: got "nonsense", expected a libvirt URI'),
                (['--connect', 'xen:///system'], '--connect: got "xen:///system", expected'),
                (['--bus', 'nonsense'], '--bus: got "nonsense", expected system, session or'),
                (['--config', '/none/such'], '/none/such: No such file or directory'),
                (['--config', bad], f'{bad}:2: [arm] network-timeout: got "soon", expected a '
                                    'duration such as 2s (500ms to 60s)'),
                (['--check-config', '--config', bad], f'{bad}:2: ')):
            result = subprocess.run([DAEMON, *args], stdin=subprocess.DEVNULL, capture_output=True,
                                    text=True, timeout=DEADLINE)
            self.assertEqual((result.returncode, result.stdout), (2, ''), args)
            self.assertIn(says, result.stderr)
            self.assertEqual(result.stderr.count('\n'), 1, result.stderr)
        for args in (['--check-config', '--config', '/dev/null', '--policy-dir', POLICIES],
                     ['--version'], ['--help']):
            self.assertEqual(subprocess.run([DAEMON, *args], capture_output=True,
                                            timeout=DEADLINE).returncode, 0, args)


    def test_check_config_knows_the_policies(self):
        path = os.path.join(self.bus.dir, 'postcopyd.conf')
        there_are = 'expected one of: fence, forensic, observe, protect, recover\n'
        for text, says in (
                ('[policy]\ndefault = protect\nmatch = web-* observe\n', None),
                ('[policy]\ndefault = protct\n',
                 f'{path}: [policy] default: there is no policy "protct", {there_are}'),
                ('[policy]\nmatch = a observe\nmatch = web-* protct\ndefault = protect\n',
                 f'{path}: [policy] match "web-*": there is no policy "protct", {there_are}'),
                ('[policy]\nmatch = db fence\n',
                 f'{path}: [policy] match "db": policy "fence" can destroy a domain, expected '
                 '[host] allow-destroy = yes with it\n'),
                ('[policy]\nmatch = db fence\n[host]\nallow-destroy = yes\n', None)):
            with open(path, 'w') as config:
                config.write(text)
            result = subprocess.run(
                [REAL_DAEMON, '--check-config', '--config', path, '--policy-dir', POLICIES],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE)
            self.assertEqual((result.returncode, result.stdout, result.stderr),
                             (2, '', f'postcopyd: {says}') if says else (0, '', ''))


    def test_config_of_others_is_refused(self):
        """At the start, by --check-config, and at a reload, which leaves the old one."""
        path = os.path.join(self.bus.dir, 'postcopyd.conf')
        with open(path, 'w') as config:
            config.write('[arm]\nnetwork-timeout = 3s\n')
        daemon = self.daemon('--config', path)
        with open(path, 'w') as config:
            config.write('[arm]\nnetwork-timeout = 4s\n')
        os.chmod(path, 0o666)
        says = (f'{path}: is writable by everyone (mode 0666), expected a file that only root can write: '
                f'chmod go-w {path}\n')
        for extra in [], ['--check-config']:
            result = subprocess.run([REAL_DAEMON, '--config', path, '--policy-dir', POLICIES, *extra],
                                    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE)
            self.assertEqual((result.returncode, result.stderr), (2, f'postcopyd: {says}'))
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: f'configuration not reloaded, the old one stays: {says}' in daemon.log(), 'a refusal')
        self.assertEqual(daemon.tell('config'), '3000000 ok')
        subprocess.run(says.rsplit(': ', 1)[1], shell=True, check=True)
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: 'configuration reloaded' in daemon.log(), 'a reload')
        self.assertEqual(daemon.tell('config'), '4000000 ok')


class TestService(Case):
    def monitor(self, daemon):
        """The lines of a client that hears every signal of the daemon from now on."""
        monitor = subprocess.Popen(
            ['gdbus', 'monitor', '--address', self.bus.address, '--dest', 'org.postcopyd'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.addCleanup(monitor.stdout.close)
        self.addCleanup(end_process, monitor)
        lines = Lines(monitor.stdout)
        while 'is owned by' not in lines.next():
            pass

        def hears():
            daemon.tell('record libvirt - connected -')
            return lines.arrive(0.2)
        wait_for(hears, 'a monitor that hears')
        while lines.arrive(0.2):
            lines.next()
        return lines

    def test_second_daemon_is_refused(self):
        first = self.daemon()
        second = Daemon(self.bus, wait=False)
        self.assertEqual(second.process.wait(DEADLINE), 1)
        second.stop()
        self.assertIn(f'process {first.process.pid} already has the name org.postcopyd',
                      second.log())
        self.assertEqual(ctl(self.bus, 'list').returncode, 0)

    def test_policy_is_needed(self):
        """Without units/org.postcopyd.conf the bus refuses the name; that is said, not retried."""
        directory = os.path.join(self.bus.dir, 'bare')
        os.mkdir(directory)
        bare = Bus(directory, policy=False)
        self.addCleanup(bare.kill)
        daemon = Daemon(bare, wait=False)
        self.assertEqual(daemon.process.wait(DEADLINE), 1)
        daemon.stop()
        self.assertIn('not allowed to own the service "org.postcopyd"', daemon.log())

    def test_anyone_may_read(self):
        self.daemon().tell('connected', f'migration {U1} source g precopy none none no 0')
        nobody = pwd.getpwnam('nobody')
        # The build directory may be closed to others: the program is opened here, run there.
        with open(CTL, 'rb') as program:
            fd = program.fileno()
            result = subprocess.run(
                [f'/proc/self/fd/{fd}', '--bus', self.bus.address, 'list', '--json'],
                user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd='/', pass_fds=[fd],
                capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len(json.loads(result.stdout)['migrations']), 1)

    def test_introspection_and_objects(self):
        self.daemon().tell('connected', f'migration {U1} source g precopy none none no 0')
        for path in ('/org/postcopyd', PATH1):
            result = self.gdbus('introspect', '--dest', 'org.postcopyd', '--object-path', path)
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn('readonly s Phase = \'precopy\'', result.stdout)
        result = self.gdbus('call', '--dest', 'org.postcopyd', '--object-path', PATH1, '--method',
                            'org.freedesktop.DBus.Properties.Set', 'org.postcopyd.Migration1',
                            'Phase', '<"completed">')
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(self.listed()['migrations'][0]['phase'], 'precopy')

    def test_bus_restart(self):
        daemon = self.daemon()
        daemon.tell('connected', f'migration {U1} source g postcopy flowing none no 0',
                    'record libvirt - connected -')
        for round_number in range(2):
            self.bus.kill()
            daemon.tell(f'migration {U1} source g paused none network no {round_number + 1}',
                        f'record phase postcopy paused - {U1} source g')
            if round_number == 0:
                daemon.tell(f'migration {U2} destination h precopy none none no 0')
            else:
                daemon.tell(f'remove {U2} destination')
            time.sleep(0.5)
            self.bus.start()
            wait_for(lambda: ctl(self.bus, 'list').returncode == 0, 'the daemon, back on the bus')
            state = self.listed()
            self.assertEqual(state['migrations'][0]['blocked-vcpus'], round_number + 1)
            self.assertEqual(len(state['migrations']), 2 - round_number)
            self.assertEqual(len(ctl(self.bus, 'events').stdout.splitlines()), round_number + 2)
        self.assertIsNone(daemon.process.poll())
        self.assertEqual(daemon.log().count('not on D-Bus'), 2)
        self.assertEqual(daemon.log().count('on D-Bus again'), 2)
        process, lines = self.follow('events', '--follow', '--json')
        for _ in range(3):
            lines.next()
        daemon.tell('record libvirt - connected -')
        self.assertEqual(json.loads(lines.next())['seq'], 4)

    def test_bus_comes_late(self):
        self.bus.kill()
        daemon = Daemon(self.bus, wait=False)
        self.addCleanup(daemon.stop)
        daemon.tell('connected', f'migration {U1} source g precopy none none no 0')
        wait_for(lambda: 'not on D-Bus' in daemon.log(), 'a complaint')
        self.bus.start()
        wait_for(lambda: ctl(self.bus, 'list').returncode == 0, 'the daemon on the bus')
        self.assertEqual(len(self.listed()['migrations']), 1)

    def test_signals_are_few(self):
        """Samples come five times a second; the bus hears of them once, of news at once."""
        daemon = self.daemon()
        daemon.tell('connected', f'migration {U1} source g postcopy flowing none no 0')
        lines = self.monitor(daemon)
        begun = time.monotonic()
        for i in range(15):
            daemon.tell(f'migration {U1} source g postcopy flowing none no 0',
                        f'socket {U1} source 1.1.1.1:1 1.1.1.1:2 yes {i}')
            time.sleep(0.2)
        daemon.tell(f'migration {U1} source g paused none network no 0')
        seconds = time.monotonic() - begun
        signals = []
        while not signals or "'paused'" not in signals[-1]:
            signals.append(lines.next())
        changes = [line for line in signals if 'PropertiesChanged' in line]
        self.assertGreaterEqual(len(changes), 4)
        self.assertLessEqual(len(changes), seconds + 3)

    def test_unchanged_is_silent(self):
        daemon = self.daemon()
        daemon.tell('connected', f'migration {U1} source g paused none network no 0')
        lines = self.monitor(daemon)
        for _ in range(5):
            daemon.tell(f'migration {U1} source g paused none network no 0')
        daemon.tell('record libvirt - connected -')
        self.assertIn('Manager1.Record', lines.next())


class TestServiceManager(Case):
    """What sd_notify(3) carries."""

    def setUp(self):
        super().setUp()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(os.path.join(self.bus.dir, 'notify'))
        self.manager.settimeout(DEADLINE)
        self.env = {'NOTIFY_SOCKET': os.path.join(self.bus.dir, 'notify')}

    def heard(self):
        return self.manager.recv(4096).decode()

    def assert_quiet(self, seconds):
        self.manager.settimeout(seconds)
        with self.assertRaises(TimeoutError):
            self.assertIsNone(self.heard())
        self.manager.settimeout(DEADLINE)

    def test_ready_and_status(self):
        daemon = self.daemon('--connect', 'test:///default', env=self.env)
        self.assert_quiet(0.5)
        daemon.tell('disconnected no libvirtd')
        self.assertEqual(self.heard(), 'READY=1')
        self.assertEqual(self.heard(), 'STATUS=not connected to test:///default: no libvirtd')
        daemon.tell('connected')
        self.assertEqual(self.heard(), 'STATUS=0 migrations, connected to test:///default')
        daemon.tell(f'migration {U1} source g postcopy flowing none no 0',
                    f'migration {U1} source g postcopy slow none no 1')
        self.assertEqual(self.heard(), 'STATUS=1 migration, connected to test:///default')
        daemon.tell(f'migration {U1} source g completed none none no 0')
        self.assertEqual(self.heard(), 'STATUS=0 migrations, connected to test:///default')
        self.assert_quiet(0.5)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(self.heard(), 'STOPPING=1')

    def test_reload(self):
        path = os.path.join(self.bus.dir, 'postcopyd.conf')
        with open(path, 'w') as config:
            config.write('[arm]\nnetwork-timeout=3s\n')
        daemon = self.daemon('--config', path, env=self.env)
        self.assertEqual(daemon.tell('config'), '3000000 ok')
        daemon.tell('connected')
        self.assertEqual(self.heard(), 'READY=1')
        self.heard()
        for text, effect in (('[arm]\nnetwork-timeout=4s\n', '4000000 ok'),
                             ('[arm]\nnetwork-timeout=5s\nfrob=1\n', '4000000 ok'),
                             ('[arm]\nnetwork-timeout=6s\n', '6000000 ok')):
            with open(path, 'w') as config:
                config.write(text)
            daemon.process.send_signal(signal.SIGHUP)
            self.assertRegex(self.heard(), r'^RELOADING=1\nMONOTONIC_USEC=\d+$')
            self.assertEqual(self.heard(), 'READY=1')
            self.assertEqual(daemon.tell('config'), effect)
        self.assertIn(f'warning: configuration not reloaded, the old one stays: {path}:3: [arm]: '
                      'unknown key "frob"', daemon.log())

    def test_watchdog(self):
        daemon = self.daemon(env={**self.env, 'WATCHDOG_USEC': '400000'})
        begun = time.monotonic()
        for _ in range(5):
            self.assertEqual(self.heard(), 'WATCHDOG=1')
        self.assertLess(time.monotonic() - begun, 2)
        self.assertEqual(daemon.stop(), 0)

    def test_interrupt_ends_cleanly(self):
        daemon = self.daemon()
        self.assertEqual(end_process(daemon.process, signal.SIGINT), 0)


class TestLog(Case):
    def test_lines(self):
        daemon = self.daemon()
        daemon.tell(f'record phase postcopy paused why {U1} source g',
                    f'record blocked 0 1 - {U1} source g')
        self.assertEqual(daemon.stop(), 0)
        time_re = r'[-\d]{10} [:\d]{8}\.\d{3}\+0000: '
        self.assertRegex(daemon.log(), re.compile(
            rf'\A{time_re}notice: postcopyd [\d.]+ started\n'
            rf"{time_re}warning: event 'phase' for domain 'g' \(source\): postcopy -> paused: why\n"
            rf"{time_re}info: event 'blocked' for domain 'g' \(source\): 0 -> 1\n"
            rf'{time_re}notice: postcopyd stopped\n\Z'))


class TestRealEngine(Case):
    """What needs no libvirtd to be true of the daemon as it is installed."""

    def real_daemon(self, uri):
        return self.daemon('--connect', uri, '--policy-dir', POLICIES,
                           '--state-dir', f'{self.bus.dir}/state', program=REAL_DAEMON)

    def test_no_libvirtd(self):
        daemon = self.real_daemon(f'qemu+unix:///system?socket={self.bus.dir}/none')
        wait_for(lambda: 'No such file' in ctl(self.bus, 'list').stderr, 'a reason')
        result = ctl(self.bus, 'list')
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr, r'\Anot connected to libvirt since 20\d\d-.*\+0000: .*'
                                        r'No such file or directory\n\Z')
        since = self.listed()['connection-since']
        time.sleep(2.5)
        self.assertEqual(self.listed()['connection-since'], since)
        self.assertEqual(len(ctl(self.bus, 'events').stdout.splitlines()), 1)
        self.assertEqual(daemon.stop(), 0)

    def test_libvirt(self):
        """libvirt's test driver has no migrations, but it is a connection."""
        daemon = self.real_daemon('test:///default')
        wait_for(lambda: self.listed()['connected'], 'a connection')
        self.assertEqual(self.listed()['connection-reason'], '')
        self.assertEqual(ctl(self.bus, 'list').stderr, '')
        record = json.loads(ctl(self.bus, 'events', '--json').stdout)
        self.assertEqual((record['kind'], record['to']), ('libvirt', 'connected'))
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: 'configuration reloaded' in daemon.log(), 'a reload')
        self.assertEqual(daemon.stop(), 0)


class TestSinks(Case):
    def test_none(self):
        self.daemon()
        result = ctl(self.bus, 'sinks')
        self.assertEqual((result.returncode, result.stdout),
                         (0, "No sinks: nobody is told of events but the system's journal and D-Bus.\n"))

    def test_table(self):
        """A real daemon's: a hook that takes nothing yet, beside an empty folder, which is content."""
        for name in 'busy', 'none':
            os.mkdir(f'{self.bus.dir}/{name}')
        hook, config = f'{self.bus.dir}/busy/10-away', f'{self.bus.dir}/postcopyd.conf'
        with open(hook, 'w') as f:
            f.write('#!/bin/sh\nexit 75\n')
        os.chmod(hook, 0o755)
        with open(config, 'w') as f:
            f.write(''.join(f'[sink {name}]\ntype = exec\ndirectory = {self.bus.dir}/{name}\n'
                            for name in ('none', 'busy')))
        self.daemon('--connect', 'test:///default', '--policy-dir', POLICIES, '--state-dir',
                    f'{self.bus.dir}/state', '--config', config, program=REAL_DAEMON)

        def rows():
            return ctl(self.bus, 'sinks').stdout.splitlines()

        wait_for(lambda: any(' waiting ' in r for r in rows()) and any(' idle ' in r and ' 1 ' in r for r in rows()),
                 'one that waits, one that has it', 30)
        heading, busy, error, none = rows()
        self.assertEqual(heading.split(maxsplit=7), ['Sink', 'Type', 'State', 'Waiting', 'Delivered', 'Refused',
                                                     'Dropped', 'Next try'])
        self.assertEqual(busy.split()[:7], ['busy', 'exec', 'waiting', '1', '0', '0', '0'])
        self.assertRegex(busy, r' 20\d\d-\d\d-\d\d \S+')
        self.assertRegex(error, r'^   20\d\d-\S+ \S+: .*10-away.*$')
        self.assertEqual(none.split(), ['none', 'exec', 'idle', '0', '1', '0', '0', '-'])
        self.assertEqual(ctl(self.bus, 'sinks', 'more').returncode, 2)


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('skipped: needs root, as only root may own the name org.postcopyd')
        raise SystemExit(77)
    unittest.main(verbosity=2)
