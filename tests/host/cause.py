#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who ended the connection, judged on both ends from what is left of it: every way to end one, many
# rounds at a time, on a machine kept busy.
import os
import signal
import subprocess
import sys
import time

from hostlab import Lab, Watch, die_with_parent, need_root

ROUNDS = int(os.environ.get('ROUNDS', '6'))


def ask(lab, ends, port):
    os.kill(ends[0][0], signal.SIGUSR1)


def answer(lab, ends, port):
    os.kill(ends[1][0], signal.SIGUSR1)


def reset(lab, ends, port):
    lab.inside('a', 'ss', '-K', 'dport', '=', str(port))


def kill(lab, ends, port):
    os.kill(ends[0][0], signal.SIGKILL)


def cut(lab, ends, port):
    lab.inside('b', 'ip', 'link', 'set', 'e0', 'down')


# name, how it ends, expected on a, on b, rounds in six that cannot be told. A reset from this host's own
# `ss -K` looks like the peer's. b gets data while it shuts: the kernel resets that, and when the process
# has read the error before we look (1 in 200 on a loaded machine), the rest is like the peer's close.
CASES = [
    ('shut on a', ask, 'operator', 'peer-closed', 0),
    ('shut on b', answer, 'peer-closed', 'operator', 1),
    ('reset (ss -K on a)', reset, 'peer-closed', 'peer-closed', 0),
    ('a killed', kill, 'exited', 'peer-closed', 0),
    ('link down', cut, 'network', 'network', 0),
]


def run(name, end, on_a, on_b, unclear):
    wrong = []
    with Lab() as lab:
        all_ends = [lab.connect(back=100000, port=4000 + i) for i in range(ROUNDS)]
        watches = [[Watch(lab, '-p', str(pid), '-f', str(fd), '-s', '30') for pid, fd in ends] for ends in all_ends]
        for pair in watches:
            for w in pair:
                w.wait_for('watching')
        time.sleep(.6)
        for i, ends in enumerate(all_ends):
            end(lab, ends, 4000 + i)
            time.sleep(.02)
        for pair in watches:
            for w, expected in zip(pair, (on_a, on_b)):
                # A process that dies drops its files a moment before it is gone.
                e = w.wait_for('closed', 'exited', 'released', timeout=10)
                got = e['what'] if e['event'] == 'closed' else 'exited'
                if got != expected and not (expected == 'exited' and got == 'peer-closed'):
                    wrong.append(f'{got}, not {expected}: {e["detail"]}')
    bad = len(wrong) > unclear * ROUNDS // 6
    print('FAIL' if bad else 'ok  ', f'{name}: {ROUNDS} rounds, {len(wrong)} misjudged', *wrong,
          sep='\n     ' if wrong else ' ')
    return not bad


def main():
    need_root()
    load = [subprocess.Popen(['sh', '-c', 'while :; do :; done'], preexec_fn=die_with_parent) for _ in range(2)]
    try:
        good = [run(*case) for case in CASES if not sys.argv[1:] or case[0] in sys.argv[1:]]
    finally:
        for p in load:
            p.kill()
            p.wait()
    sys.exit(0 if all(good) else 1)


main()
