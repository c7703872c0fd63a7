# SPDX-License-Identifier: LGPL-2.1-or-later
# Two network namespaces joined by a veth, processes in them, and ways to break what joins them.
# Everything is named by this process and taken down by id.
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

PEER = r'''
import socket, sys, time, signal
mode, addr, port, rate = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if mode == "listen":
    l = socket.create_server((addr, port)); print("ready", flush=True); s, _ = l.accept(); l.close()
else:
    s = socket.create_connection((addr, port))
s.setsockopt(6, 13, b"cubic")   # TCP_CONGESTION: the common one, and it fills queues
print("fd", s.fileno(), flush=True)
import threading
def read():
    try:
        while s.recv(1 << 16): pass
        s.shutdown(socket.SHUT_RDWR)   # as QEMU does in postcopy_pause
    except OSError:
        pass
if mode == "listen" and len(sys.argv) > 5 and sys.argv[5] == "deaf":
    read = lambda: time.sleep(1000)
t = threading.Thread(target=read, daemon=True); t.start()
def stop(*_):
    try: s.shutdown(socket.SHUT_RDWR)
    except OSError: pass
signal.signal(signal.SIGUSR1, stop)
block = bytes(range(256)) * 16
try:
    while rate:
        s.sendall(block[:min(rate, 4096)]); time.sleep(min(rate, 4096) / rate)
except OSError:
    pass
while True:
    time.sleep(100)
'''


def sh(*cmd, check=True):
    return subprocess.run(cmd, check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=30).stdout


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Lab:
    """Use as a context manager: leaves nothing behind."""
    count = 0
    lock = threading.Lock()

    def __init__(self):
        with Lab.lock:
            Lab.count += 1
            self.id = f'pcd-h{os.getpid()}-{Lab.count}'
        self.ns = {'a': self.id + '-a', 'b': self.id + '-b'}
        self.processes = []

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix=self.id + '-')
        try:
            for n in self.ns.values():
                sh('ip', 'netns', 'add', n)
            sh('ip', '-n', self.ns['a'], 'link', 'add', 'e0', 'type', 'veth', 'peer', 'name', 'e0', 'netns',
               self.ns['b'])
            for k, address in (('a', '10.9.0.1/24'), ('b', '10.9.0.2/24')):
                sh('ip', '-n', self.ns[k], 'addr', 'add', address, 'dev', 'e0')
                sh('ip', '-n', self.ns[k], 'link', 'set', 'e0', 'up')
                sh('ip', '-n', self.ns[k], 'link', 'set', 'lo', 'up')
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for p in self.processes:
            p.kill()
        for p in self.processes:
            p.wait()
        for n in self.ns.values():
            sh('ip', 'netns', 'del', n, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, side, *cmd, **kw):
        p = subprocess.Popen(('nsenter', f'--net=/run/netns/{self.ns[side]}') + cmd, preexec_fn=die_with_parent,
                             text=True, **kw)
        self.processes.append(p)
        return p

    def inside(self, side, *cmd):
        return sh('ip', 'netns', 'exec', self.ns[side], *cmd)

    def connect(self, rate=400000, back=2000, deaf=False, port=4444):
        """A sender on a, a receiver on b that sends a little back; returns ((pid, fd), (pid, fd))."""
        extra = ('deaf',) if deaf else ()
        b = self.run('b', '/usr/bin/python3', '-c', PEER, 'listen', '10.9.0.2', str(port), str(back), *extra,
                     stdout=subprocess.PIPE)
        assert b.stdout.readline() == 'ready\n'
        a = self.run('a', '/usr/bin/python3', '-c', PEER, 'connect', '10.9.0.2', str(port), str(rate),
                     stdout=subprocess.PIPE)
        return ((a.pid, int(a.stdout.readline().split()[1])), (b.pid, int(b.stdout.readline().split()[1])))

    def drop(self, side, *match):
        """Drop what arrives on side."""
        self.inside(side, 'iptables', '-w', '-A', 'INPUT', '-i', 'e0', *match, '-j', 'DROP')


class Watch(threading.Thread):
    """Runs socket-watch and keeps its events."""

    def __init__(self, lab, *args):
        super().__init__(daemon=True)
        self.events = []
        self.p = subprocess.Popen((os.environ['SOCKET_WATCH'],) + args, stdout=subprocess.PIPE, text=True,
                                  preexec_fn=die_with_parent)
        lab.processes.append(self.p)
        self.start()

    def run(self):
        for line in self.p.stdout:
            self.events.append(json.loads(line))

    def first(self, *kinds):
        return next((e for e in list(self.events) if e['event'] in kinds), None)

    def wait_for(self, *kinds, timeout=10):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            e = self.first(*kinds)
            if e:
                return e
            time.sleep(.01)
        raise AssertionError(f'no {kinds} within {timeout} s: {self.events}')


def need_root():
    if os.geteuid() != 0:
        print('needs root')
        sys.exit(77)
