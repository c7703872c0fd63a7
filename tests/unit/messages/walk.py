# SPDX-License-Identifier: LGPL-2.1-or-later
"""Provokes the messages that our programs themselves can be made to say: a table of what is typed
and the exit status that belongs to it. Which message came out is the recorder's business."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import time

import bundles
import tls

JOURNAL = 1346585674  # the application_id of pcd-journal-open.c
U1 = "11111111-2222-3333-4444-555555555555"
U3 = "33333333-2222-3333-4444-555555555555"
U2 = "22222222-2222-3333-4444-555555555555"
DONE, FAILED, USAGE, NO_DAEMON, NOT_FOUND = range(5)
# What nobody's terminal may get from us: colour, title, bell, back and C1 controls.
HOSTILE = "x\033[31m\033]0;y\007\b\x7f\u009b1mz"
LONG = 60  # a deadline for what takes no time at all, on a machine that is busy

# postcopyctl's own refusals: no daemon is asked.
TYPED = [
    (USAGE, "frob"), (USAGE, ""), (USAGE, HOSTILE), (USAGE, "--frob list"), (USAGE, "statsu"),
    (USAGE, "list x"), (USAGE, "list --bus session"), (USAGE, "list --frob"), (USAGE, ["list", HOSTILE]), (USAGE, "top x"),
    (USAGE, "status a b"), (USAGE, "events x y"), (USAGE, "events --since soon"), (USAGE, "events -n some"),
    (USAGE, "sinks x"), (USAGE, "plugins x"),
    (USAGE, "probe x"), (USAGE, "doctor x"), (USAGE, "--bus nonsense list"),
    (USAGE, ["--bus", HOSTILE, "list"]), (USAGE, "--bus nonsense top"),
    (FAILED, "top"), (USAGE, "--host -v list"), (USAGE, ["--host", HOSTILE, "list"]),
    (USAGE, "--host far probe"), (USAGE, "--host far top"), (USAGE, "--host far snapshot verify /x"),
    (USAGE, "--host far snapshot info /x"), (USAGE, "--host far policy list"),
    (USAGE, "--host far incident list"), (USAGE, "--host far debug g"),
    (USAGE, "recover"), (USAGE, "hold"), (USAGE, "hold a b"), (USAGE, "release"),
    (USAGE, "recover g --role both"), (USAGE, "recover g --network 10.0.0.0/8 --uri qemu:///system"),
    (USAGE, "destroy g"), (USAGE, "recover g --timeout ever"),
    (USAGE, "snapshot g --directory x"), (USAGE, "snapshot g --speed -5"), (USAGE, "snapshot g --json"),
    (USAGE, "snapshot"), (USAGE, "snapshot verify"), (USAGE, "snapshot merge a b"),
    (USAGE, "snapshot info /nonexistent"), (USAGE, "snapshot verify /nonexistent"),
    (USAGE, "snapshot verify {dir}"),
    (USAGE, "inspect"), (USAGE, "inspect a b"), (USAGE, "inspect g --pid 1"), (USAGE, "inspect --pid -1"),
    (USAGE, ["inspect", ""]), (NOT_FOUND, "inspect --pid 999999999"), (FAILED, "inspect --pid {self}"),
    (NOT_FOUND, "--connect test:///default inspect no-such"),
    (FAILED, "--connect qemu+unix:///system?socket=/nonexistent inspect g"),
    (USAGE, "policy"), (USAGE, "policy frob"), (USAGE, "policy check"), (USAGE, "policy check /nonexistent"),
    (USAGE, "policy check {dir}"), (USAGE, "policy check /dev/null"), (USAGE, "policy check {dir}/big"),
    (USAGE, "policy check {dir}/bad.json"), (USAGE, "policy --policy-dir {dir}/empty list"),
    (USAGE, "policy --policy-dir {dir}/twice list"), (USAGE, "policy --policy-dir {dir}/destroys list"),
    (USAGE, "policy --policy-dir {policies} show nope"),
    (USAGE, ["policy", "--policy-dir", "{policies}", "show", HOSTILE]),
    (USAGE, "policy --policy-dir {policies} show recovr"),
    (USAGE, "policy --policy-dir {policies} simulate nope {dir}/trace"),
    (USAGE, "policy --policy-dir {policies} simulate /nonexistent {dir}/trace"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/nonexistent"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/trace --outcome maybe"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/trace --fact lucky=yes"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/trace --for ever"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/empty-trace"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/nonsense"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/no-kind"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/no-object"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/unknown-phase"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/goes-back"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/out-of-range"),
    (USAGE, "policy --policy-dir {policies} simulate recover {dir}/huge"),
    (USAGE, "policy --config {dir}/bad.conf list"), (USAGE, "plugins --config {dir}/bad.conf"),
    (USAGE, "incident"), (USAGE, "incident frob"), (USAGE, "incident list --text"),
    (USAGE, "incident report 1 --text --json"), (USAGE, "incident show x"), (USAGE, "incident show 0"),
    (NOT_FOUND, "incident --state-dir {dir}/empty show 1"), (NOT_FOUND, "incident --state-dir {dir}/empty report 1"),
    (NOT_FOUND, "incident --state-dir {dir}/state show 7"), (NOT_FOUND, "incident --state-dir {dir}/state report 7"),
    (FAILED, "incident --state-dir {dir}/damaged list"), (FAILED, "incident --state-dir {dir}/newer list"),
    (FAILED, "incident --state-dir {dir}/other list"), (FAILED, "incident --state-dir {dir}/folder list"),
    (FAILED, "incident report {dir}/nonsense"), (FAILED, "incident report {dir}/no-incident"),
    (FAILED, "incident report {dir}/nonexistent"), (FAILED, "incident report {dir}/huge"),
    (FAILED, "incident report {dir}/incident --with {dir}/incident"),
    (FAILED, "incident report {dir}/incident --html {dir}/nonexistent/page"),
    (NOT_FOUND, "incident --state-dir {dir}/begun show 1"),
    (NOT_FOUND, "--connect test://{dir}/node.xml inspect shut"),
    (USAGE, "policy check {dir}/too-large.json"), (USAGE, "policy check {dir}/too-deep.json"),
    (USAGE, "policy check {dir}/unknown-key.json"), (USAGE, "policy check {dir}/unknown-action.json"),
    (USAGE, "policy check {dir}/odd-action.json"),
] + bundles.SNAPSHOTS
# A bus, and no postcopyd on it; and no bus.
ALONE = [
    (NO_DAEMON, "list"), (NO_DAEMON, "status g"), (NO_DAEMON, "events --follow"), (NO_DAEMON, "recover g"),
    (NO_DAEMON, "hold g"), (NO_DAEMON, "sinks"),
    (FAILED, "--connect qemu+unix:///system?socket=/nonexistent policy --policy-dir {policies} set g recover"),
    (USAGE, "--connect qemu+unix:///system?socket=/nonexistent policy --policy-dir {policies} set g nope"),
]
# With a postcopyd whose engine is played: g twice, h once, as the script below says.
ASKED = [
    (NOT_FOUND, "status nope"), (NOT_FOUND, "recover nope"), (NOT_FOUND, ["recover", HOSTILE]),
    (NOT_FOUND, "status mailsrever"), (NOT_FOUND, "recover mailserve"),
    (NOT_FOUND, "recover h --role destination"), (USAGE, "hold g"), (NOT_FOUND, "hold nope"),
    (USAGE, "policy --policy-dir {policies} set g recover"), (FAILED, "recover h"),
    (FAILED, "stop h"), (FAILED, "recover h --wait --timeout 100ms"),
    (USAGE, "recover h --network 10.0.0.0/99"), (USAGE, "recover h --uri http://x"),
    (USAGE, ["recover", "h", "--network", HOSTILE]), (USAGE, "destroy h --order any"),
    (USAGE, "debug h --mode frob"), (USAGE, "snapshot h --directory /a/../b"),
    (NO_DAEMON, "--host far list"),
]
SCRIPT = ["connected", f"migration {U1} source g paused none network no 0",
          f"migration {U1} destination g paused none network no 0",
          f"migration {U2} source h paused none network no 0",
          f"migration {U3} source mailserver paused none network no 0", "answer refused no\\040peer"]
SSH = [  # what ssh's end status means
    ("sh -c 'exit 255' ssh", "255"), ("sh -c 'exit 127' ssh", "127"), ("sh -c 'exit 3' ssh", "3"),
    ("sh -c 'echo hello; exec sleep 5' ssh", "no D-Bus"), ("'unclosed", "quote"), ("/nonexistent/ssh", "none"),
]
CONFIGS = [
    "[frob]\n", "[arm]\nfrob = 1\n", "[arm]\nbackstop = 1\n", "[policy]\ndefault = nope\n",
    "[policy]\nmatch = vm* nope\n", "[policy]\ndefault = fence\n", "[policy]\nmatch = vm* fence\n",
    "[sink x]\n", "[sink x]\ntype = frob\n", "[sink x]\ntype = exec\nfrob = 1\n",
    "[sink x]\ntype = exec\ndirectory = here\n", "[sink x]\ntype = webhook\n",
    "[sink x]\ntype = webhook\nurl = https://h/\nfrob = 1\n", "[sink x]\ntype = webhook\nurl = gopher://x\n",
    "[sink x]\ntype = webhook\nurl = http://h/\nbearer-token = t\n", "[sink x]\ntype = webhook\nmax-batch = 0\n",
    "[plugin p]\n", "[plugin a.p]\n", "[plugin a.p]\npath = here.so\n", "[plugin a.p]\npath = /nonexistent.so\n",
    "[plugin a.p]\npath = {dir}/not-elf.so\n", "[plugin a.p]\npath = {dir}\n", "[plugin a.p]\npath = {dir}/link.so\n",
    "[veto]\ncommand = here\n", "[veto]\ncommand = /nonexistent\n", "[veto]\ncommand = {dir}\n",
    "[veto]\ncommand = {dir}/not-elf.so\n", "[arm]\nbackstop = 3s\n[arm]\nbackstop = 3s\n",
    "[peer b]\n", "\xff", "[arm]\nnetwork-timeout = 100ms\n", "[arm]\nnetwork-timeout = \033[31m\n",
    "[watch]\nsample-interval = 60s\n", "[watch]\nsample-interval = 5s\n[arm]\nnetwork-timeout = 6s\n",
    "[arm]\nnetwork-timeout = 100s\n", "[arm]\nbackstop = 1s\n", "[\033]0;y\007]\n",
    "[plugin a.p]\npath = /usr/bin/true\n", "[plugin a.p]\npath = {library}\n",
]


class Said:
    """What a program said, and whether it was as it should be."""

    def __init__(self, words, expected, status, stderr):
        self.words, self.expected, self.status, self.stderr = words, expected, status, stderr


class Walk:
    def __init__(self, folder, env):
        self.dir, self.env = pathlib.Path(folder), env
        self.ctl, self.daemon, self.scripted, self.hook = (
            env[k] for k in ("PCD_CTL", "PCD_REAL_DAEMON", "PCD_DAEMON", "PCD_HOOK"))
        self.said = []
        self.bus = f"unix:path={self.dir}/bus"
        self.prepare()

    def prepare(self):
        def write(name, text):
            path = self.dir / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
            path.chmod(0o600)
        (self.dir / "empty").mkdir()
        record = {"seq": 1, "time": "2026-11-22T15:00:00.000000Z", "monotonic-usec": 5, "kind": "phase",
                  "uuid": "u", "domain": "d", "role": "source", "to": "paused"}
        line = json.dumps(record)
        write("trace", line)
        write("empty-trace", "")
        write("no-kind", "{}")
        write("no-object", "[]")
        write("unknown-phase", line.replace("paused", "pausd\\u001b"))
        write("goes-back", line + "\n" + line.replace(": 5", ": 4"))
        write("out-of-range", line.replace(": 5", ": -1"))
        write("huge", b"")
        os.truncate(self.dir / "huge", (64 << 20) + 1)
        write("big", b" " * (4 << 20))
        write("nonsense", "nonsense")
        write("no-incident", "{}")
        write("bad.json", '{"name": "x\033"}')
        write("too-large.json", "1e999")
        write("too-deep.json", "[" * 99)
        write("unknown-key.json", '{"name": "x", "frob": 1, "steps": []}')
        write("unknown-action.json", '{"name": "x", "steps": [{"when": "paused", "do": "frob"}]}')
        write("odd-action.json", '{"name": "x", "steps": [{"when": "paused", "do": "a.b"}]}')
        write("node.xml", "<node><domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
              "<name>shut</name><memory>4096</memory><os><type>hvm</type></os><test:runstate>5</test:runstate>"
              "</domain></node>")
        write("doctype.xml", "<!DOCTYPE domain [<!ENTITY x 'y'>]><domain type='kvm'/>")
        bundles.make(self.dir)
        write("bad.conf", "[frob]\n")
        write("not-elf.so", "nonsense")
        os.symlink("not-elf.so", self.dir / "link.so")
        policies = pathlib.Path(self.env["PCD_POLICIES"])
        for name in ("a.json", "b.json"):
            write("twice/" + name, (policies / "recover.json").read_bytes())
        fence = json.loads((policies / "fence.json").read_text())
        write("destroys/recover.json", json.dumps({**fence, "name": "recover"}))
        write("incident", json.dumps({
            "incident": 1, "uuid": U1, "domain": "g", "role": "source", "began": "2026-11-22T15:00:00.000000Z",
            "ended": None, "timeline": []}))
        write("damaged/journal.sqlite", b"SQLite format 3\0" + b"\xff" * 5000)
        for name, version in (("other", 0), ("newer", 99)):
            write(f"{name}/journal.sqlite", b"")
            with contextlib.closing(sqlite3.connect(self.dir / name / "journal.sqlite")) as db:
                db.execute("create table t (x)")
                if version:
                    db.execute(f"pragma application_id = {JOURNAL}")
                    db.execute(f"pragma user_version = {version}")
                db.commit()
        (self.dir / "folder/journal.sqlite").mkdir(parents=True)
        write("begun/journal.sqlite", b"")
        with contextlib.closing(sqlite3.connect(self.dir / "begun/journal.sqlite")) as db:
            db.executescript("create table t (x); drop table t; vacuum")

    def run(self, expected, argv, env=None, stdin=subprocess.DEVNULL):
        try:
            done = subprocess.run(argv, env={**self.env, **(env or {})}, stdin=stdin, capture_output=True,
                                  timeout=LONG, start_new_session=True)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{argv} did not end within {LONG} s") from error
        said = Said(argv, expected, done.returncode, done.stderr)
        self.said.append(said)
        return said

    def words(self, typed):
        words = typed if isinstance(typed, list) else typed.split(" ") if typed else []
        return [w.replace("{dir}", str(self.dir)).replace("{self}", str(os.getpid())).replace("{bus}", self.bus)
                .replace("{policies}", self.env["PCD_POLICIES"]) for w in words]

    def table(self, rows, before=(), env=None):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(self.run, expected, [self.ctl, *before, *self.words(typed)], env)
                           for expected, typed in rows]:
                future.result()

    # ---- the parts of the walk ----

    def typed(self):
        self.table(TYPED)
        # On a terminal stderr is the terminal: script shows it on stdout.
        for terminal in ("TERM=nonesuch", "TERM=dumb", "env -u TERM"):
            self.run(FAILED, ["sh", "-c", f"script -qec '{terminal} {self.ctl} top' /dev/null | tr -d '\\r' >&2; "
                              "exit 1"])

    def config(self):
        library = subprocess.run(["sh", "-c", "ls /lib/*/libc.so.6 /usr/lib/libc.so.6 2>/dev/null | head -1"],
                                 capture_output=True, text=True, timeout=LONG).stdout.strip()

        def check(number, text):
            path = self.dir / f"{number}.conf"
            path.write_bytes(text.replace("{dir}", str(self.dir)).replace("{library}", library).encode("latin-1"))
            path.chmod(0o600)
            self.run(USAGE, [self.daemon, "--check-config", "--config", str(path),
                             "--policy-dir", self.env["PCD_POLICIES"]])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda item: check(*item), enumerate(CONFIGS)))
        for args in (["x"], ["--frob"], ["--connect", "xen:///"], ["--connect", HOSTILE], ["--bus", "nonsense"],
                     ["--config", "/nonexistent"], ["--config", str(self.dir)]):
            self.run(USAGE, [self.daemon, *args])

    def hosts(self):
        for ssh, _ in SSH:
            self.run(NO_DAEMON, [self.ctl, "--host", "far", "list"], {"POSTCOPYCTL_SSH": ssh})

    def certificates(self):
        """A libvirt whose certificate is expired, not valid yet, or another host's."""
        for kind in tls.KINDS:
            with tls.uri(self.dir, kind) as uri:
                for words in (["inspect", "g"], ["policy", "--policy-dir", self.env["PCD_POLICIES"], "set", "g", "recover"]):
                    said = self.run(FAILED, [self.ctl, "--connect", uri, *words])
                    assert b"does its certificate suit" in said.stderr, said.stderr

    def silent(self):
        """A bus that accepts and says nothing."""
        path = self.dir / "silent"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            server.listen()
            self.table([(NO_DAEMON, "list")], ["--bus", f"unix:path={path}"])

    def buses(self):
        self.table([(NO_DAEMON, "list")], ["--bus", f"unix:path={self.dir}/none"])
        bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={self.bus}"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: (self.dir / "bus").exists(), "a bus")
            self.table(ALONE, ["--bus", self.bus])
            self.asked()
        finally:
            end(bus)

    @contextlib.contextmanager
    def played(self):
        daemon = subprocess.Popen([self.scripted, "--bus", self.bus], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.env, text=True)

        def tell(*lines):
            answer = ""
            for line in lines:
                daemon.stdin.write(line + "\n")
                daemon.stdin.flush()
                answer = ""
                while not answer.endswith("ok\n"):
                    more = daemon.stdout.readline()
                    assert more, f"the daemon did not take: {line}"
                    answer += more
            return answer
        try:
            wait_for(lambda: subprocess.run([self.ctl, "--bus", self.bus, "list"], capture_output=True,
                                            timeout=LONG).returncode == 0, "a daemon that answers")
            yield daemon, tell
        finally:
            end(daemon)
            daemon.stdin.close()
            daemon.stdout.close()

    def asked(self):
        with self.played() as (daemon, tell):
            tell(f"disconnected no\033socket")
            self.table([(DONE, "status"), (DONE, "list")], ["--bus", self.bus])
            tell(*SCRIPT)
            self.table(ASKED, ["--bus", self.bus], {"POSTCOPYCTL_SSH": "sh -c 'exit 255' ssh"})
            self.act_directly()
            self.run(FAILED, [self.scripted, "--bus", self.bus])
            tell("orders")
            self.waited(tell)
            tell("answer later -")
            self.end_of_daemon(daemon, tell)

    def waited(self, tell):
        """What the wait for a migration ends with."""
        recover = ("recover", "h", "--wait", "--quiet")
        tell("answer done -")
        self.run(FAILED, [self.ctl, "--bus", self.bus, *recover, "--timeout", "300ms"])
        with self.follow(FAILED, "recover", "h", "--wait") as process:
            process.stdout.readline()
            tell(f"migration {U2} source h failed none none no 0")
        tell(f"migration {U2} source h paused none network no 0")
        with self.follow(NOT_FOUND, "recover", "h", "--wait") as process:
            process.stdout.readline()
            tell(f"remove {U2} source")
        tell(f"migration {U2} source h paused none network no 0", "answer failed no\\040route")
        self.run(FAILED, [self.ctl, "--bus", self.bus, "recover", "h", "--wait", "--timeout", "300ms"])
        tell("refuse 14")
        self.run(FAILED, [self.ctl, "--bus", self.bus, "hold", "h"])

    def end_of_daemon(self, daemon, tell):
        """It is killed while it is asked, and while it is followed."""
        with self.follow(NO_DAEMON, "stop", "h"), self.follow(NO_DAEMON, "status", "--watch", "--json") as watch:
            watch.stdout.readline()
            wait_for(lambda: "stop" in tell("orders"), "the order")
            daemon.send_signal(signal.SIGKILL)

    @contextlib.contextmanager
    def follow(self, status, *args):
        """A postcopyctl that ends, with @status, by what happens meanwhile."""
        process = subprocess.Popen([self.ctl, "--bus", self.bus, *args], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env)
        try:
            yield process
            stderr = process.communicate(timeout=LONG)[1]
            self.said.append(Said(process.args, status, process.returncode, stderr))
        finally:
            end(process)

    def act_directly(self):
        """What postcopyctl itself never asks for."""
        def gdbus(method, *args):
            subprocess.run(["gdbus", "call", "--address", self.bus, "--dest", "org.postcopyd", "--object-path",
                            f"/org/postcopyd/migration/{U2.replace('-', '_')}_source", "--method",
                            f"org.postcopyd.Migration1.{method}", *args], capture_output=True, timeout=LONG)
        for method, args in (
                ("Act", ["frob", "{}"]), ("Act", ["stop", "{'frob': <1>}"]), ("Act", ["stop", "{'force': <1>}"]),
                ("Act", ["stop", "{'dry-run': <1>}"]), ("Act", ["destroy", "{}"]),
                ("Act", ["recover", "{'address': <1>}"]), ("Act", ["recover", "{'timeout': <'x'>}"]),
                ("Act", ["recover", "{'ceiling': <'x'>}"]), ("Act", ["recover", "{'address': <'http://x'>}"]),
                ("Act", ["snapshot", "{'directory': <'x'>}"]), ("Start", ["stop", "{'timeout': <uint64 5>}"])):
            gdbus(method, *args)

    def hooked(self):
        """libvirt's hook says what it has to say to syslog, and ends with 0 whatever it meets."""
        with open(self.dir / "doctype.xml", "rb") as xml:
            self.run(DONE, [self.hook, "vm", "migrate", "begin", "-"], stdin=xml)
        self.run(DONE, [self.hook, "vm", "migrate", "begin", "-"], stdin=subprocess.DEVNULL)
        with open(self.dir / "huge", "rb") as huge:
            self.run(DONE, [self.hook, "vm", "migrate", "begin", "-"], stdin=huge)
        reader, writer = os.pipe()
        try:
            self.run(DONE, [self.hook, "vm", "migrate", "begin", "-"], stdin=reader)
        finally:
            os.close(reader)
            os.close(writer)


def wait_for(condition, what):
    deadline = time.monotonic() + LONG
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {LONG} s: {what}")
        time.sleep(0.02)


def end(process):
    if process.poll() is None:
        process.terminate()
    try:
        process.communicate(timeout=LONG)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
