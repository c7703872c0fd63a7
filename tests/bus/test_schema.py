#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/postcopyd.schema.json against what is really written, by an independent validator, and
against docs/json.md, both ways.

Stricter here than for others: a member that the schema does not have is an error, so nothing is
written that is not documented; and each member of the schema must have been seen."""
import copy
import glob
import json
import os
import re
import signal
import subprocess
import sys
import unittest

import test_bus
from test_bus import CTL, U1, U2, ctl, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
try:
    import strict_schema
    from strict_schema import DEFS, SCHEMA, STRICT, validator
except ImportError:
    print('SKIPPED: no jsonschema (Debian: python3-jsonschema); what is written is UNCHECKED')
    sys.exit(77)

FIXTURES = os.path.join(strict_schema.TOP, 'tests', 'unit', 'fixtures')
# Tried on real requests in tests/host/test-webhook.py.
ELSEWHERE = ('cloudevent', 'cloudevent-batch', 'dropped')


def load(*path):
    with open(os.path.join(strict_schema.TOP, *path), encoding='utf-8') as f:
        return f.read()


def resolve(schema):
    """Through references of this file and `or null`."""
    for inner in schema.get('anyOf', []) if '$defs' not in schema else []:
        if inner != {'type': 'null'}:
            return resolve(inner)
    if schema.get('$ref', '').startswith('#/$defs/'):
        return resolve(DEFS[schema['$ref'].rsplit('/', 1)[1]])
    return resolve(schema['items']) if 'items' in schema else schema


def members(schema):
    return resolve(schema).get('properties', {})


def paths(schema, at):
    """Every member below, such as list.migrations.uuid; an element of an array has no name."""
    for name, inner in members(schema).items():
        yield f'{at}.{name}'
        yield from paths(inner, f'{at}.{name}')


def places(document, at=()):
    """(where, value) of every member of every object in @document."""
    if isinstance(document, list):
        for i, inner in enumerate(document):
            yield from places(inner, (*at, i))
    if isinstance(document, dict):
        for name, inner in document.items():
            yield (*at, name), inner
            yield from places(inner, (*at, name))


def named(where):
    return '.'.join(w for w in where if isinstance(w, str))


def parent(document, where):
    for step in where[:-1]:
        document = document[step]
    return document


class Documents(unittest.TestCase):
    """The schema and the text for people."""

    def test_schemas_are_schemas(self):
        strict_schema.check(SCHEMA)
        strict_schema.check(STRICT)
        self.assertRegex(SCHEMA['$id'], r'/schema/\d+/')
        for name in re.findall(r'"#/\$defs/([^"]*)"', json.dumps(SCHEMA)):
            self.assertIn(name, DEFS)

    def sections(self):
        for part in re.split(r'^## ', load('docs', 'json.md'), flags=re.M)[1:]:
            heading, text = part.split('\n', 1)
            names = re.search(r' \(([a-z, -]+)\)$', heading)
            if names:
                yield names[1].split(', '), text

    def tables(self, text):
        """(member whose elements it is about, or None; {name: type})"""
        for before, rows in re.findall(r'((?:^[^|\n].*\n+)*)\| member \| type .*\n\|[-|]*\n((?:\|.*\n)+)',
                                       text, re.M):
            about = re.search(r'`([a-z-]+)`[^`]*:\s*$', before)
            types = {}
            for row in rows.splitlines():
                names, kind, _ = (c.strip() for c in row.strip('|').split('|', 2))
                types.update({name: kind for name in re.findall(r'`([^`]+)`', names)})
            yield about and about[1], types

    def kind(self, schema):
        null = {'type': 'null'} in schema.get('anyOf', []) or 'null' in schema.get('type', [])
        inner = next((s for s in schema.get('anyOf', []) if s != {'type': 'null'}), schema)
        if inner.get('$ref') == '#/$defs/time':
            return 'time or null' if null else 'time'
        word = 'array' if 'items' in inner else None
        inner = resolve(inner) if not word else inner
        word = word or ('object' if inner.get('$ref') else 'string' if 'enum' in inner or 'const' in inner else None)
        kinds = [inner.get('type')] if isinstance(inner.get('type'), str) else inner.get('type', [])
        word = word or next(k for k in kinds if k != 'null')
        return {'integer': 'number'}.get(word, word) + (' or null' if null else '')

    def test_same_members(self):
        seen = set()
        for names, text in self.sections():
            seen.update(names)
            if names[0] in ('snapshot', 'cloudevent'):
                continue
            told = set()
            for about, types in self.tables(text):
                target = DEFS[names[0]] if about is None else members(DEFS[names[0]]).get(about)
                if target is None:  # two levels down: of `migrations`
                    target = next(m[about] for m in map(members, members(DEFS[names[0]]).values()) if about in m)
                with self.subTest(section=names[0], about=about):
                    self.assertEqual({k: self.kind(v) for k, v in members(target).items()}, types)
                told.add(about)
            want = {None} | {n.split('.')[-1] for n in (p for p in paths(DEFS[names[0]], ''))
                             if self.has_own_table(names[0], n)}
            self.assertEqual(told, want, names[0])
        outputs = {ref['$ref'].rsplit('/', 1)[1] for ref in SCHEMA['anyOf']}
        self.assertEqual(seen, outputs)

    def has_own_table(self, name, path):
        """Of what is an object or several, unless it has a section of its own."""
        schema = DEFS[name]
        for step in path.strip('.').split('.'):
            schema = members(schema)[step]
        return bool(members(schema)) and resolve(schema) != resolve(DEFS['event']) and 'event' not in path

    def test_kinds(self):
        words = re.search(r'kind_words.*?\{(.*?)\n\};', load('daemon', 'core', 'pcd-record.c'), re.S)[1]
        self.assertEqual(sorted(re.findall(r'= "([a-z]+)"', words)),
                         sorted(DEFS['event']['properties']['kind']['examples']))

    def test_manifest_is_told(self):
        text = load('docs', 'snapshots.md')
        for path in paths(DEFS['snapshot'], ''):
            self.assertIn(f"`{path.rsplit('.', 1)[1]}`", text)

    def test_cloudevent_is_told(self):
        text = re.search(r'^EVENTS\n=+\n(.*?)\n\n[A-Z]+\n=+\n', load('docs', 'postcopyd-webhook.rst'), re.M | re.S)[1]
        told = set(re.findall(r'^([a-z]+)\n    ', text, re.M))
        self.assertEqual(told, set(members(DEFS['cloudevent'])))


class Written(test_bus.Case):
    """What is really written. One test, so that at its end all must have been seen."""

    def take(self, name, text, lines=False):
        documents = [json.loads(line) for line in text.splitlines()] if lines else [json.loads(text)]
        self.assertTrue(documents, name)
        for document in documents:
            self.assertEqual(strict_schema.faults(name, document), [], json.dumps(document)[:2000])
            self.documents.append((name, document))

    def by_ctl(self, name, *args, lines=False, status=(0,)):
        result = ctl(self.bus, *args, '--json')
        self.assertIn(result.returncode, status, (args, result.stderr))
        self.take(name, result.stdout, lines)

    def from_the_daemon(self):
        daemon = self.daemon()
        self.by_ctl('list', 'list')
        daemon.tell('connected')
        for i, phase in enumerate(DEFS['phase']['enum']):
            flow = ('none', 'flowing', 'slow', 'stalled')[i % 4] if phase == 'postcopy' else 'none'
            for j, cause in enumerate(('none', 'network', 'peer-closed', 'operator', 'unknown')):
                daemon.tell(f'migration {U1} source g {phase} {flow} {cause} {"yes" if i % 2 else "no"} {j}')
                self.by_ctl('list', 'list')
        for flow in 'none', 'flowing', 'slow', 'stalled':
            daemon.tell(f'migration {U1} source g postcopy {flow} none no 3')
            self.by_ctl('list', 'status')
        daemon.tell(f'migration {U2} destination gr\\303\\244\\002te paused none network no 0',
                    f'socket {U1} source 10.0.0.1:1 [fe80::1]:2 yes 900',
                    f'ladder {U1} source protect metadata yes 7 recover stop refused no\\040way freeze 1000000',
                    f'doing {U1} source by\\04010.0.0.2 3 8',
                    f'veto {U1} source recover /etc/x bei\\303ng\\040fenced 1000000 3000000',
                    f'progress {U1} source 6291456 8388608 1048576 6000000',
                    f'lost {U1} source 10.0.0.1:1 [fe80::1]:2 eth7 1000000 0 the\\040peer\\040was\\040silent')
        self.by_ctl('list', 'status')
        self.by_ctl('list', 'status', 'g')
        daemon.tell(f'lost {U1} source 10.0.0.1:1 [fe80::1]:2 - 0 1000000 the\\040peer\\040was\\040silent')
        self.by_ctl('list', 'status')
        daemon.tell(f'progress {U1} source it\\040does\\040not\\040say')
        for source in 'configuration', 'default', 'operator':
            daemon.tell(f'ladder {U1} source recover {source} no 0 - recover {"failed" if source == "default" else "done"} - - 0')
            self.by_ctl('list', 'status')
        for kind in DEFS['event']['properties']['kind']['examples']:
            daemon.tell(f'record {kind} a b evidence {U1} source g', f'record {kind} - - -')
        self.by_ctl('event', 'events', lines=True)
        process, lines = self.follow('status', '--watch', '--json')
        self.take('list', lines.next())
        daemon.tell('disconnected libvirtd is gone')
        self.take('list', lines.next())
        process.send_signal(signal.SIGTERM)

    def from_a_sink_that_fails(self):
        """A real daemon, which tells its receiver that libvirt's test driver answers: nobody listens."""
        config = os.path.join(self.bus.dir, 'conf')
        with open(config, 'w', encoding='utf-8') as f:
            f.write('[sink nobody]\ntype = webhook\nurl = http://127.0.0.1:1/\n')
        daemon = self.daemon('--connect', 'test:///default', '--policy-dir', test_bus.POLICIES, '--state-dir',
                             f'{self.bus.dir}/state', '--config', config, program=test_bus.REAL_DAEMON)
        wait_for(lambda: 'next-try' in ctl(self.bus, 'sinks', '--json').stdout, 'a failure', 30)
        self.by_ctl('sink', 'sinks', lines=True)
        daemon.stop()

    def from_files(self):
        self.by_ctl('policy-list', 'policy', 'list', '--policy-dir', test_bus.POLICIES)
        config = os.path.join(self.bus.dir, 'plugins.conf')
        with open(config, 'w') as f:
            f.write('[plugin test.none]\npath = /nonexistent\n'
                    f'[plugin example.beacon]\npath = {self.bus.dir}/beacon.so\n')
        plugin = os.path.join(os.path.dirname(__file__), '..', '..', 'plugin')
        subprocess.run(['cc', '-std=gnu11', '-shared', '-fPIC', f'-I{plugin}', '-o', f'{self.bus.dir}/beacon.so',
                        f'{plugin}/example/example-beacon.c'], check=True, timeout=60)
        self.by_ctl('plugin-list', 'plugins', '--config', config, status=(1,))
        for path in glob.glob(os.path.join(test_bus.POLICIES, '[a-z]*.json')):
            name = os.path.basename(path)[:-len('.json')]
            if name != 'policy.schema':
                self.by_ctl('policy', 'policy', 'show', name, '--policy-dir', test_bus.POLICIES)
        for policy, trace in (('protect', 'destination-link-down-30s'), ('recover', 'source-twenty-cuts'),
                              ('fence', 'source-link-down-30s')):
            self.by_ctl('simulated', 'policy', 'simulate', policy, f'{FIXTURES}/traces/{trace}.jsonl',
                        '--policy-dir', test_bus.POLICIES, lines=True)
        done = subprocess.run([os.environ['PCD_SAMPLES'], self.bus.dir], capture_output=True, text=True,
                              timeout=60, check=True)
        self.by_ctl('incident-list', 'incident', 'list', '--state-dir', self.bus.dir)
        for number in '1', '2':
            self.by_ctl('incident', 'incident', 'show', number, '--state-dir', self.bus.dir)
        self.by_ctl('snapshot', 'snapshot', 'info', done.stdout.strip())

    def from_the_host(self):
        self.by_ctl('probe', 'probe', status=(0, 1))
        self.by_ctl('doctor', 'doctor', status=(0, 1))
        qemu = subprocess.Popen(['qemu-system-x86_64', '-machine', 'none', '-nodefaults', '-display', 'none', '-S'],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(test_bus.end_process, qemu)
        wait_for(lambda: ctl(self.bus, 'inspect', '--pid', str(qemu.pid)).returncode == 0, 'a QEMU', 30)
        self.by_ctl('inspect', 'inspect', '--pid', str(qemu.pid))

    def test_all(self):
        self.documents = []
        self.from_files()
        if 'webhook' in os.environ['PCD_WITH']:
            self.from_a_sink_that_fails()
        self.from_the_daemon()
        self.from_the_host()
        self.whole_schema_takes_them()
        self.every_member_was_seen()
        self.every_mutation_is_found()

    def every_member_was_seen(self):
        seen = {f'{name}.{named(where)}' for name, document in self.documents for where, _ in places(document)}
        want = {path for ref in SCHEMA['anyOf'] for name in [ref['$ref'].rsplit('/', 1)[1]]
                if name not in ELSEWHERE for path in paths(DEFS[name], name)}
        if 'webhook' not in os.environ['PCD_WITH']:
            want = {path for path in want if not path.startswith('sink.')}
        # What a bundle of a real QEMU has.
        want = {path for path in want if not path.startswith(('snapshot.absent.', 'snapshot.disks.'))}
        self.assertEqual(sorted(want - seen), [])

    def whole_schema_takes_them(self):
        for document in dict(self.documents).values():
            validator(None, SCHEMA).validate(document)

    def every_mutation_is_found(self):
        """A validator that takes everything would have passed so far."""
        tried = set()
        for name, document in self.documents:
            check = validator(name)
            for where, _ in places(document):
                path = f'{name}.{named(where)}'
                if path in tried or re.search(r'\.(arm|steps)\.', path):
                    continue
                tried.add(path)
                mutant = copy.deepcopy(document)
                parent(mutant, where)[where[-1]] = [[0.5]]
                self.assertFalse(check.is_valid(mutant), f'{path} may have any type')
                mutant = copy.deepcopy(document)
                parent(mutant, where)[where[-1] + '-x'] = 1
                self.assertFalse(check.is_valid(mutant), f'{path}-x is documented')
        print(f'{len(self.documents)} documents, {len(tried)} members, each with a wrong type too', file=sys.stderr)
        self.assertGreater(len(tried), 150)


if __name__ == '__main__':
    assert os.path.exists(CTL)
    unittest.main(verbosity=2)
