#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plugins, good and bad, as real files, in a real daemon whose libvirt alone is played.

Needs root: whose a file is counts.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

DAEMON, CTL, SOURCE, BUILD = (os.environ[k] for k in ('PCD_DAEMON', 'PCD_CTL', 'PCD_SOURCE', 'PCD_BUILD'))
HERE = pathlib.Path(__file__).resolve().parent
TODAY = pathlib.Path(SOURCE, 'plugin', 'postcopyd-plugin.h')
FROZEN = HERE / 'frozen' / 'postcopyd-plugin-1.0.h'
CC = os.environ.get('CC', 'cc').split()
# Everything here takes milliseconds; a slow machine gets as long as it wants.
PATIENCE = 60


def compile_c(source, output, *flags, header=TODAY):
    subprocess.run([*CC, '-Wall', '-Wno-unused-parameter', f'-DHEADER="{header}"', *flags, '-o', str(output),
                    str(source)], check=True, timeout=PATIENCE)


class Daemon:
    def __init__(self, case, *extra):
        self.lines = []
        self.process = subprocess.Popen(
            [DAEMON, '--config', case.config, '--state-dir', case.state, '--policy-dir', case.policies,
             '--bus', f'unix:path={case.dir}/no-bus', *extra],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors='replace')
        case.addCleanup(self.kill)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
        self.process.stderr.close()

    def find(self, *parts):
        return next((x for x in list(self.lines) if all(p in x for p in parts)), None)

    def wait_for(self, *parts):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            ended = self.process.poll() is not None
            line = self.find(*parts)
            if line:
                return line
            if ended and not self.reader.is_alive():
                break
            time.sleep(.01)
        raise AssertionError(f'no line with {parts}, exit {self.process.poll()}:\n' + '\n'.join(self.lines))

    def wait_end(self):
        code = self.process.wait(timeout=PATIENCE)
        self.reader.join(PATIENCE)
        return code

    def stop(self):
        self.wait_for("'libvirt': connected")  # the main loop runs, and with it what SIGTERM means
        self.process.send_signal(signal.SIGTERM)
        return self.wait_end()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(PATIENCE)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.mkdtemp(prefix='pcd-plugins-')
        cls.addClassCleanup(shutil.rmtree, cls.shared)

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix='case-', dir=self.shared)
        self.config, self.state = f'{self.dir}/postcopyd.conf', f'{self.dir}/state'
        self.policies = f'{self.dir}/policies'
        os.mkdir(self.policies)
        self.write_policy('recover', {'when': 'paused', 'do': 'notify'})
        self.write_config('')

    def write_config(self, text):
        pathlib.Path(self.config).write_text(text)

    def write_policy(self, name, *steps):
        pathlib.Path(self.policies, f'{name}.json').write_text(json.dumps({'name': name, 'steps': steps}))

    def build(self, name, *flags, header=TODAY):
        """A plugin of that name; flags say what is wrong with it."""
        path = f'{self.dir}/{name}.so'
        if not any(f.startswith('-DNAME=') for f in flags):
            flags = (*flags, f'-DNAME="{name}"')
        compile_c(HERE / 'subject.c', path, '-shared', '-fPIC', *flags, header=header)
        return path

    def ctl(self, *argv):
        return subprocess.run([CTL, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=PATIENCE)

    def daemon(self, *extra):
        return Daemon(self, *extra)


class Frozen(Case):
    def test_members_stay(self):
        tables = []
        for header in (FROZEN, TODAY):
            compile_c(HERE / 'offsets.c', f'{self.dir}/offsets', header=header)
            tables.append(subprocess.run([f'{self.dir}/offsets'], check=True, capture_output=True,
                                         text=True).stdout)
        self.assertGreater(len(tables[0].splitlines()), 70)
        self.assertEqual(tables[0], tables[1], 'a member of 1.0 has moved, or a value has changed')

    def test_all_members_are_in_the_table(self):
        """Of the frozen header: who adds one there by mistake is told."""
        listed = (HERE / 'offsets.c').read_text()
        for struct in FROZEN.read_text().split('typedef struct {')[1:]:
            body, name = struct.split('}', 1)
            name = name.split(';')[0].strip()
            for member in body.split(';')[:-1]:
                if '(*' in member:
                    word = member.split('(*')[1].split(')')[0]
                else:
                    word = member.replace('*', ' ').split()[-1]
                self.assertIn(f'TELL ({name}, {word})', listed)

    def test_header_is_cxx(self):
        source = f'{self.dir}/x.cc'
        pathlib.Path(source).write_text('#include HEADER\nconst PostcopydPlugin postcopyd_plugin = {};\n')
        if not shutil.which('c++'):
            self.skipTest('no C++ compiler')
        subprocess.run(['c++', '-Wall', '-Wextra', '-Wno-missing-field-initializers', '-Werror',
                        f'-DHEADER="{TODAY}"', '-shared', '-fPIC', '-o', f'{self.dir}/x.so', source],
                       check=True, timeout=PATIENCE)
        symbols = subprocess.run(['nm', '-D', f'{self.dir}/x.so'], check=True, capture_output=True,
                                 text=True).stdout
        self.assertIn(' postcopyd_plugin\n', symbols)

    def test_plugin_of_1_0_works(self):
        self.build('test.old', header=FROZEN)
        self.write_config(f'[plugin test.old]\npath = {self.dir}/test.old.so\n[policy]\ndefault = plug\n')
        self.write_policy('plug', {'when': 'paused', 'do': 'test.old', 'with': {'text': 'hello'}})
        daemon = self.daemon()
        daemon.wait_for('test.old', 'is loaded', 'interface 1.0')
        line = daemon.wait_for('test.old', 'given hello and no internal')
        self.assertRegex(line, r'plugin test\.old took \d+\.\d{3} s')
        daemon.wait_for(f'plugin test.old: {self.state}/plugins/test.old')
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(os.listdir(f'{self.state}/plugin-marks'), [])


class Bad(Case):
    def spoil(self):
        """name -> (what is wrong with its file, as it is told)."""
        d, b = self.dir, self.build
        bad = {}

        def has(name, *says):
            bad[name] = says

        pathlib.Path(f'{d}/bad.text.so').write_text('#!/bin/sh\necho pwned\n')
        has('bad.text', 'is not an ELF file')
        pathlib.Path(f'{d}/bad.empty.so').write_text('')
        has('bad.empty', 'is not an ELF file')
        has('bad.absent', 'No such file')
        whole = pathlib.Path(b('bad.cut')).read_bytes()
        pathlib.Path(f'{d}/bad.cut.so').write_bytes(whole[:len(whole) // 3])
        has('bad.cut', 'is cut off')
        for at in (5, 40, 100, 1000):
            pathlib.Path(f'{d}/bad.cut{at}.so').write_bytes(whole[:at])
            has(f'bad.cut{at}', 'is ')
        foreign = bytearray(pathlib.Path(b('bad.arch')).read_bytes())
        foreign[18] = 0xf3 if os.uname().machine != 'riscv64' else 0x3e
        foreign[19] = 0
        pathlib.Path(f'{d}/bad.arch.so').write_bytes(foreign)
        has('bad.arch', 'is for another architecture')
        os.chown(b('bad.owner'), 65534, -1)
        has('bad.owner', 'is owned by user 65534, expected root')
        os.chmod(b('bad.mode'), 0o666)
        has('bad.mode', 'is writable by everyone (mode 0666)')
        os.symlink(b('bad.target'), f'{d}/bad.link.so')
        has('bad.link', 'is a symbolic link')
        os.mkfifo(f'{d}/bad.fifo.so')
        has('bad.fifo', 'is not a regular file')
        os.mkdir(f'{d}/open')
        shutil.copy(b('bad.folder'), f'{d}/open/bad.folder.so')
        os.chmod(f'{d}/open', 0o777)
        has('bad.folder', f'{d}/open is writable by everyone')
        b('bad.symbol', '-DNO_SYMBOL')
        has('bad.symbol', 'does not export postcopyd_plugin')
        b('bad.function', '-DFUNCTION')
        has('bad.function', 'exports a function called postcopyd_plugin')
        b('bad.zero', '-DZERO')
        has('bad.zero', 'is not in the file')
        b('bad.major', '-DMAJOR=2', '-DKILLS_EARLY')
        has('bad.major', 'is made for version 2.0 of the interface, expected 1')
        b('bad.small', '-DSIZE=24')
        has('bad.small', 'has 24 bytes, expected at least')
        b('bad.large', '-DSIZE=200')
        has('bad.large', 'says that its PostcopydPlugin has 200 bytes, and it has ')
        b('bad.flags', '-DFLAGS=0x80')
        has('bad.flags', 'does not know 0x80')
        b('bad.kind', '-DKIND="oracle"')
        has('bad.kind', 'is of kind "oracle", expected action or sink')
        b('bad.name', '-DNAME="other.name"')
        has('bad.name', 'calls itself "other.name", expected "bad.name"')
        return bad

    def spoil_inside(self):
        """What only shows once it is loaded."""
        self.build('bad.none', '-DNO_ACTION')
        self.build('bad.run', '-DRUN=0')
        self.build('bad.inner', '-DACTION_SIZE=8')
        self.build('bad.limit', '-DLIMIT=1000000000000')
        self.build('bad.needs', '-DNEEDS')
        return {
            'bad.none': ('is of kind action and has none',),
            'bad.run': ('has an action without run',),
            'bad.inner': ('says that its PostcopydAction has 8 bytes',),
            'bad.limit': ('wants 1000000000000',),
            'bad.needs': ('undefined symbol: no_such_function', f'{self.dir}/bad.needs.so'),
        }

    def config_of(self, names):
        def path(name):
            return f'{self.dir}/{"open/" if name == "bad.folder" else ""}{name}.so'
        return ''.join(f'[plugin {name}]\npath = {path(name)}\n' for name in names)

    def check(self, bad, static):
        """With a good one behind them, in files of as many as may be loaded."""
        names = list(bad)
        self.build('test.good')
        for at in range(0, len(names), 15):
            some = names[at:at + 15]
            self.write_config(self.config_of(some + ['test.good']) + '[policy]\ndefault = plug\n')
            self.write_policy('plug', {'when': 'paused', 'do': some[0], 'with': {'attempts': 1}},
                              {'when': 'paused', 'do': 'test.good', 'with': {'text': 'after all'}})
            daemon = self.daemon()
            for name in some:
                daemon.wait_for(f'plugin {name} is not used: ', *bad[name])
            daemon.wait_for(f'no action {some[0]}: ', *bad[some[0]])
            daemon.wait_for('test.good', 'given after all')
            self.assertEqual(daemon.stop(), 0)
            shutil.rmtree(self.state)
            if static:
                self.check_from_outside(some, bad)

    def check_from_outside(self, names, bad):
        listed = self.ctl('plugins', '--json', '--config', self.config)
        self.assertEqual(listed.returncode, 1, listed.stderr)
        views = {v['name']: v for v in json.loads(listed.stdout)}
        self.assertNotIn('problem', views['test.good'])
        self.assertEqual((views['test.good']['kind'], views['test.good']['abi']), ('action', '1.0'))
        for name in names:
            for part in bad[name]:
                self.assertIn(part, views[name]['problem'])
        checked = subprocess.run([DAEMON, '--check-config', '--config', self.config, '--policy-dir',
                                  self.policies], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(checked.returncode, 2)
        for name in names:
            self.assertIn(f'postcopyd: plugin {name}: ', checked.stderr)
        self.assertNotIn('test.good', checked.stderr)

    def test_refused_before_any_code_runs(self):
        self.check(self.spoil(), static=True)

    def test_refused_once_loaded(self):
        self.check(self.spoil_inside(), static=False)

    def test_later_minor_version_is_taken(self):
        self.build('test.later', '-DLATER', '-DMINOR=9', '-DSIZE=sizeof(Later)')
        self.write_config(f'[plugin test.later]\npath = {self.dir}/test.later.so\n')
        daemon = self.daemon()
        daemon.wait_for('test.later', 'is loaded', 'interface 1.9')
        self.assertEqual(daemon.stop(), 0)

    def test_policy_names_what_is_not_configured(self):
        self.write_policy('plug', {'when': 'paused', 'do': 'test.none'})
        daemon = self.daemon()
        line = daemon.wait_for('plug.json:', '$.steps[0].do', 'unknown action "test.none"')
        self.assertIn('notify, force-pause, recover', line)
        self.assertEqual(daemon.wait_end(), 2)

    def test_unknown_setting_and_parameter(self):
        example = f'{self.dir}/example.beacon.so'
        compile_c(pathlib.Path(SOURCE, 'plugin/example/example-beacon.c'), example, '-shared', '-fPIC',
                  f'-I{TODAY.parent}')
        self.write_config(f'[plugin example.beacon]\npath = {example}\nstaton = 127.0.0.1 1\n')
        daemon = self.daemon()
        daemon.wait_for('unknown key "staton", expected one of: path, station')
        self.assertEqual(daemon.stop(), 0)
        self.write_config(f'[plugin example.beacon]\npath = {example}\n')
        self.write_policy('plug', {'when': 'paused', 'do': 'example.beacon', 'with': {'txt': 'x'}})
        daemon = self.daemon()
        daemon.wait_for('$.steps[0].with.txt', 'expected one of: first, factor, ceiling, attempts, text')
        self.assertEqual(daemon.wait_end(), 2)


class Runner(Case):
    def plug(self, *flags, with_=None, then='100ms'):
        self.build('test.subject', *flags)
        self.write_config(f'[plugin test.subject]\npath = {self.dir}/test.subject.so\n'
                          '[policy]\ndefault = plug\n')
        self.write_policy('plug', {'when': 'paused', 'do': 'test.subject', 'with': with_ or {'attempts': 1}},
                          {'when': 'paused', 'after': then, 'do': 'notify'})

    def test_hangs(self):
        self.plug('-DRUN=hangs', '-DLIMIT=200000', with_={'first': '50ms', 'ceiling': '1s', 'attempts': 5})
        daemon = self.daemon()
        daemon.wait_for('test.subject', 'no answer within 0.2 s; it was left behind')
        daemon.wait_for('test.subject', '3 earlier calls have not come back')
        daemon.wait_for('notify', 'done')
        self.assertEqual(daemon.stop(), 0)
        again = self.daemon()  # told to end: nobody is to blame
        again.wait_for('test.subject is loaded')
        self.assertIsNone(again.find('died'))

    def test_nonsense(self):
        self.plug('-DRUN=raves')
        daemon = self.daemon()
        daemon.wait_for('test.subject', 'the action answered 4711, expected 0 (done)')
        daemon.wait_for('notify', 'done')
        self.assertEqual(daemon.stop(), 0)

    def test_no_reason(self):
        self.plug('-DRUN=says_nothing')
        daemon = self.daemon()
        daemon.wait_for('test.subject', 'the action gave no reason')
        self.assertEqual(daemon.stop(), 0)

    def dies(self, daemon):
        self.assertEqual(daemon.wait_end(), -signal.SIGABRT, '\n'.join(daemon.lines))

    def test_kills_and_is_set_aside(self):
        self.plug('-DRUN=kills', '-DFLAGS=POSTCOPYD_REPEATABLE', with_={'first': '50ms', 'ceiling': '1s'}, then='30s')
        self.dies(self.daemon())
        self.assertEqual(os.listdir(f'{self.state}/plugin-marks'), ['test.subject.running'])
        second = self.daemon()
        self.dies(second)
        self.assertTrue(second.find('postcopyd died while plugin test.subject ran'))
        third = self.daemon()
        third.wait_for('plugin test.subject is not used: set aside: postcopyd died 2 times')
        third.wait_for('no action test.subject: set aside')
        # Another chance, and another death.
        third.process.send_signal(signal.SIGHUP)
        third.wait_for('test.subject is loaded')

    def test_kills_and_is_not_repeated(self):
        """Rule 5: without its word that it may be, it is reported and not done twice."""
        self.plug('-DRUN=kills', then='3s')  # later than it dies
        self.dies(self.daemon())
        second = self.daemon()
        second.wait_for('test.subject', 'unknown', 'restarted while it ran')
        second.wait_for('notify', 'done')
        self.assertIsNone(second.process.poll())
        self.assertEqual(second.stop(), 0)

    def test_kills_while_it_is_loaded(self):
        self.plug('-DKILLS_EARLY')
        self.dies(self.daemon())
        self.dies(self.daemon())
        third = self.daemon()
        third.wait_for('set aside')
        third.wait_for('notify', 'done')
        self.assertEqual(third.stop(), 0)
        listed = json.loads(self.ctl('plugins', '--json', '--config', self.config).stdout)
        self.assertNotIn('problem', listed[0])  # of another state folder
        self.plug()  # another file
        fourth = self.daemon()
        fourth.wait_for('test.subject is loaded')
        self.assertEqual(fourth.stop(), 0)

    def test_destroys_only_where_allowed(self):
        self.plug('-DFLAGS=POSTCOPYD_DESTROYS')
        daemon = self.daemon()
        daemon.wait_for('destroys, and this host', 'allow-destroy')
        self.assertIsNone(daemon.find('given'))
        self.assertEqual(daemon.stop(), 0)
        shutil.rmtree(self.state)
        with open(self.config, 'a') as config:
            config.write('[host]\nallow-destroy = yes\n')
        daemon = self.daemon()
        daemon.wait_for('test.subject', 'given')
        self.assertEqual(daemon.stop(), 0)


class Sink(Case):
    """Of somebody else, and bad: it is named, and the incident goes on."""

    def plug(self, deliver):
        self.build('test.subject', '-DKIND="sink"', f'-DDELIVER={deliver}')
        self.write_config(f'[plugin test.subject]\npath = {self.dir}/test.subject.so\n'
                          '[sink bad]\ntype = test.subject\ntimeout = 1s\n[policy]\ndefault = plug\n')
        self.write_policy('plug', {'when': 'paused', 'do': 'notify'})

    def test_nonsense(self):
        for deliver, says in (('answers_nonsense', 'an outcome that there is not'),
                              ('counts_nonsense', 'more delivered than it was given')):
            self.plug(deliver)
            daemon = self.daemon()
            daemon.wait_for('sink bad: the sink is broken: ', says)
            daemon.wait_for('notify', 'done')
            self.assertEqual(daemon.stop(), 0)
            shutil.rmtree(self.state)
            os.unlink(f'{self.dir}/test.subject.so')

    def test_hangs(self):
        self.plug('keeps')
        daemon = self.daemon()
        daemon.wait_for('sink bad: it did not come back in time')
        daemon.wait_for('notify', 'done')
        self.assertEqual(daemon.stop(), 0)
        again = self.daemon()  # told to end: nobody is to blame
        again.wait_for('test.subject is loaded')
        self.assertIsNone(again.find('died'))

    def test_kills_and_is_set_aside(self):
        self.plug('ends')
        for _ in range(2):
            daemon = self.daemon()
            self.assertEqual(daemon.wait_end(), -signal.SIGABRT, '\n'.join(daemon.lines))
        third = self.daemon()
        third.wait_for('plugin test.subject is not used: set aside: postcopyd died 2 times')
        third.wait_for('[sink bad] plugin test.subject is not used: set aside', 'nothing is delivered')
        third.wait_for('sink bad: plugin test.subject is not used: set aside', 'what comes is kept')
        third.wait_for('notify', 'done')
        self.assertEqual(third.stop(), 0)


class Example(Case):
    """Built out of tree with nothing but what is installed."""

    def setUp(self):
        super().setUp()
        root = f'{self.dir}/root'
        subprocess.run(['meson', 'install', '-C', BUILD, '--no-rebuild', '--destdir', root, '--quiet'], check=True,
                       stdout=subprocess.DEVNULL, timeout=PATIENCE)
        found = list(pathlib.Path(root).rglob('postcopyd.pc'))
        self.assertEqual(len(found), 1)
        source = f'{self.dir}/example'
        shutil.copytree(pathlib.Path(SOURCE, 'plugin', 'example'), source)
        env = {**os.environ, 'PKG_CONFIG_PATH': str(found[0].parent), 'PKG_CONFIG_SYSROOT_DIR': root}
        for command in (['setup', 'build', '--werror'], ['compile', '-C', 'build']):
            subprocess.run(['meson', *command], cwd=source, env=env, check=True, stdout=subprocess.DEVNULL,
                           timeout=PATIENCE)
        self.built = f'{source}/build'
        # It can have come from nowhere else.
        depends = subprocess.run(['ninja', '-C', self.built, '-t', 'deps'], check=True, capture_output=True,
                                 text=True).stdout
        headers = {x.strip() for x in depends.splitlines() if x.strip().endswith('postcopyd-plugin.h')}
        self.assertEqual(len(headers), 1)
        self.assertTrue(os.path.realpath(os.path.join(self.built, headers.pop())).startswith(root))

    def test_the_action_acts(self):
        station = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(station.close)
        station.settimeout(PATIENCE)
        station.bind(('127.0.0.1', 0))
        port = station.getsockname()[1]
        self.write_config(f'[plugin example.beacon]\npath = {self.built}/example.beacon.so\n'
                          f'station = 127.0.0.1 {port}\n[policy]\ndefault = plug\n')
        self.write_policy('plug', {'when': 'paused', 'do': 'example.beacon', 'with': {'text': 'rack 7'}})
        daemon = self.daemon()
        word, address = station.recvfrom(512)
        self.assertRegex(word.decode(), r'^11111111-.* source paused \S+ rack 7$')
        station.sendto(b'heard', address)
        daemon.wait_for('example.beacon', f'station 127.0.0.1 {port} says heard')
        daemon.wait_for('plugin example.beacon: heard')
        kept = pathlib.Path(self.state, 'plugins', 'example.beacon', 'last').read_text()
        self.assertRegex(kept, r'source incident \d+: heard\n$')
        self.assertEqual(daemon.stop(), 0)

    def ledger(self, extra=''):
        """Its lines, and what the daemon says it has delivered."""
        self.write_config(f'[plugin example.ledger]\npath = {self.built}/example.ledger.so\n'
                          f'[sink ledger]\ntype = example.ledger\n{extra}[policy]\ndefault = recover\n')

    def read_ledger(self, path):
        try:
            lines = pathlib.Path(path).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(i, stream, json.loads(event)) for i, stream, event in (x.split(' ', 2) for x in lines)]

    def wait_for_ledger(self, path, kind, number=1):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            lines = self.read_ledger(path)
            if sum(event['kind'] == kind for _, _, event in lines) >= number:
                return lines
            time.sleep(.02)
        raise AssertionError(f'{number} of {kind} did not come: {lines}')

    def test_the_sink_has_everything_once(self):
        """In its own folder, over a restart."""
        kept = f'{self.state}/plugins/example.ledger/ledger'
        self.ledger()
        daemon = self.daemon()
        daemon.wait_for('example.ledger is loaded', 'sink')
        self.wait_for_ledger(kept, 'action')
        self.assertEqual(daemon.stop(), 0)
        again = self.daemon()
        self.wait_for_ledger(kept, 'libvirt', 2)
        self.assertEqual(again.stop(), 0)
        lines = self.read_ledger(kept)
        numbers = [int(i.rsplit('-', 1)[1]) for i, _, _ in lines]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        for _, stream, event in lines:
            self.assertTrue(stream.startswith('11111111-') if 'uuid' in event else stream == '', (stream, event))
        seqs = [event['seq'] for _, _, event in lines]  # of each daemon from 1
        second = seqs.index(1, 1)
        self.assertEqual(seqs, [*range(1, second + 1), *range(1, len(seqs) - second + 1)])
        phases = [event['to'] for _, _, event in lines if event['kind'] == 'phase']
        self.assertIn('paused', phases)
        self.assertEqual(os.listdir(f'{self.state}/plugin-marks'), [])

    def test_the_sink_has_settings(self):
        other = f'{self.dir}/other'
        self.ledger('fil = /tmp/x\n')
        daemon = self.daemon()
        daemon.wait_for('[sink ledger] unknown key "fil", expected one of: file; nothing is delivered')
        self.ledger(f'file = {other}\n')
        daemon.process.send_signal(signal.SIGHUP)
        self.wait_for_ledger(other, 'phase')
        self.assertEqual(daemon.stop(), 0)

    def test_no_such_sink(self):
        self.write_config(f'[plugin example.ledger]\npath = {self.built}/example.ledger.so\n'
                          f'[plugin example.beacon]\npath = {self.built}/example.beacon.so\n'
                          '[sink ledger]\ntype = example.beacon\n')
        daemon = self.daemon()
        daemon.wait_for(f'{self.config}:5: [sink ledger] type: got "example.beacon", expected one of: exec, ',
                        ', example.ledger')
        self.assertEqual(daemon.wait_end(), 2)

    def test_the_sink_is_listed(self):
        self.ledger()
        listed = json.loads(self.ctl('plugins', '--json', '--config', self.config).stdout)
        self.assertEqual([(v['name'], v['kind']) for v in listed], [('example.ledger', 'sink')])


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('needs root')
        sys.exit(77)
    unittest.main(verbosity=2)
