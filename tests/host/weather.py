#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# The judge in real weather: every condition is a real connection over a veth of its own, all at the
# same time. A dead network is dead on both sides in time; a slow, lossy or starved one never.
import os
import sys
import threading
import time

from hostlab import Lab, Watch, need_root

TIMEOUT = 2.0
traces = os.environ.get('TRACES')  # keep the samples there, for tests/unit/fixtures/net


def down(lab):
    lab.inside('b', 'ip', 'link', 'set', 'e0', 'down')


def both(lab):
    lab.drop('a')
    lab.drop('b')


def tbf(lab):
    for side in 'ab':
        lab.inside(side, *'tc qdisc add dev e0 root tbf rate 512kbit burst 16kb limit 400kb'.split())


def lossy(lab):
    for side in 'ab':
        lab.drop(side, '-m', 'statistic', '--mode', 'random', '--probability', '0.25')


def lossy_idle(lab):
    lab.drop('b', '-m', 'statistic', '--mode', 'random', '--probability', '0.25')


def nothing(lab):
    pass


# name, break it, how to connect, dead within (None: never) on a and on b, further arguments
CASES = [
    ('link-down', down, {}, 2.4, 2.4, ()),
    ('link-down-no-probes', down, {}, 2.8, 2.8, ('--no-probe',)),
    ('drop-both', both, {}, 2.4, 2.4, ()),
    ('drop-to-b', lambda lab: lab.drop('b'), {}, 6.8, 6.8, ()),
    ('drop-to-a', lambda lab: lab.drop('a'), {}, 6.8, 6.8, ()),
    ('idle-cut', both, {'rate': 0, 'back': 0}, 2.4, 2.4, ()),
    ('starved-cut', both, {'deaf': True, 'rate': 4000000, 'back': 0}, 2.6, 2.6, ()),
    ('mtu-black-hole', lambda lab: lab.drop('b', '-m', 'length', '--length', '600:65535'), {}, 7.5, None, ()),
    ('narrow', tbf, {'rate': 4000000}, None, None, ()),
    ('lossy', lossy, {}, None, None, ()),
    ('lossy-idle', lossy_idle, {'rate': 0, 'back': 0}, None, None, ()),
    ('starved', nothing, {'deaf': True, 'rate': 4000000, 'back': 0}, None, None, ()),
    ('healthy', nothing, {}, None, None, ()),
    ('healthy-idle', nothing, {'rate': 0, 'back': 0}, None, None, ()),
]


def run(name, cut, how, dead_a, dead_b, args, out, seconds):
    with Lab() as lab:
        ends = lab.connect(**how)
        watches = []
        for side, (pid, fd) in zip('ab', ends):
            extra = ('--trace', f'{traces}/{name}-{side}.trace') if traces else ()
            watches.append(Watch(lab, '-p', str(pid), '-f', str(fd), '-s', str(int(seconds) + 10), '--no-shut', *args, *extra))
        for w in watches:
            w.wait_for('watching')
        time.sleep(3 if 'starved' in name else 1.5)
        t = time.monotonic()
        cut(lab)
        time.sleep(seconds if dead_a is None else max(dead_a, dead_b or 0) + 1)
        for side, w, within in zip('ab', watches, (dead_a, dead_b)):
            dead = w.first('dead')
            took = dead['t'] - t if dead else None
            good = took is None if within is None else took is not None and TIMEOUT - .75 <= took <= within
            worst = [e['what'] for e in w.events if e['event'] == 'flow']
            if name.startswith('healthy') and any(x != 'flowing' for x in worst):
                good = False
            out.append((good, f'{name} {side}: dead ' + (f'after {took:.2f} s' if dead else 'never') +
                        f', flow {"-".join(worst)}: {w.events[-1]["detail"]}'))


def main():
    need_root()
    seconds = float(os.environ.get('SECONDS_OF_WEATHER', '20'))
    wanted = sys.argv[1:]
    out, threads = [], []
    cases = [c for c in CASES if not wanted or c[0] in wanted]
    for case in cases:
        threads.append(threading.Thread(target=run, args=(*case, out, seconds)))
        threads[-1].start()
    for t in threads:
        t.join()
    for good, line in sorted(out, key=lambda x: x[1]):
        print('ok  ' if good else 'FAIL', line)
    sys.exit(0 if all(g for g, _ in out) and len(out) == 2 * len(cases) else 1)


main()
