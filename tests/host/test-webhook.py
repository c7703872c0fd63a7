#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real sink `webhook` and a real HTTPS server that goes down, hangs, lies and comes back: every
event is there once after dedupe, in order, and no secret is anywhere else.

test-webhook.py WEBHOOK-PUSH"""
import json
import os
import resource
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import certificates
from webhook_server import Receiver

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
try:
    import strict_schema
except ImportError:
    strict_schema = None  # Debian: python3-jsonschema

PUSH = os.path.abspath(sys.argv[1])
KEY = b"a signing key of the test"
TOKEN = "Bearer-Token.of-the-test"
SCALE = float(os.environ.get("MESON_TEST_TIMEOUT_MULTIPLIER", "1"))
work = tempfile.TemporaryDirectory(prefix="pcd-webhook-")
said = []  # everything that the sink ever wrote


def path(name):
    return os.path.join(work.name, name)


def credential(name, text, mode=0o600):
    with open(path(name), "wb") as f:
        f.write(text)
    os.chmod(path(name), mode)
    return path(name)


def data(i):
    return {"seq": i + 1, "time": "2026-01-02T03:04:05.678901Z", "monotonic-usec": i, "kind": "phase",
            "uuid": "11111111-2222-3333-4444-555555555555", "domain": "gräte", "role": "source",
            "from": "postcopy", "to": "paused"}


def notes(n):
    return "".join(f"n-{i}\tu/source\tphase\t{json.dumps(data(i))}\n" for i in range(n))


class Call:
    def __init__(self, line):
        _, self.outcome, delivered, retry, took, self.reason = line.rstrip("\n").split("\t")
        self.delivered, self.retry_usec, self.took_ms = int(delivered), int(retry), int(took)

    def __repr__(self):
        return f"{self.outcome} {self.delivered} retry={self.retry_usec} {self.took_ms} ms: {self.reason}"


def start(receiver, n=5, deadline=60, **keys):
    keys = {"url": receiver.url, "ca-file": path("good/ca.pem"), "signing-key": path("key"),
            "bearer-token": path("token"), **{k.replace("_", "-"): v for k, v in keys.items()}}
    if receiver.url.startswith("http:"):
        del keys["bearer-token"]
    # Where a proxy would be tried, if the environment had a say.
    env = {**os.environ, "G_MESSAGES_DEBUG": "all", "CREDENTIALS_DIRECTORY": work.name,
           **{f"{p}_proxy": "http://127.0.0.1:1" for p in ("http", "https", "all")}}
    push = subprocess.Popen([PUSH, str(deadline), *(f"{k}={v}" for k, v in keys.items() if v)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=env)
    push.stdin.write(n if isinstance(n, str) else notes(n))
    push.stdin.close()
    push.stdin = None
    return push


def finish(push):
    try:
        out, err = push.communicate(timeout=120)
    finally:
        push.kill()
    said.append(out + err)
    if push.returncode:
        raise AssertionError(f"webhook-push ended with {push.returncode}: {err[-2000:]}")
    return [Call(line) for line in out.splitlines() if line.startswith("call\t")]


def first_call(pushing):
    """GLib's debug messages go the same way."""
    return next(Call(line) for line in pushing.stdout if line.startswith("call\t"))


def first_only(pushing):
    call = first_call(pushing)
    pushing.terminate()
    finish(pushing)
    return call


def push(receiver, n=5, **keys):
    return finish(start(receiver, n, **keys))


class Webhook(unittest.TestCase):
    def setUp(self):
        began = time.monotonic()
        self.addCleanup(lambda: print(f"{time.monotonic() - began:.1f} s", file=sys.stderr))
        self.receiver = Receiver(path("good"), key=KEY, token=TOKEN)
        self.addCleanup(self.receiver.stop)

    def assert_story(self, n=5, receiver=None, without=()):
        receiver = receiver or self.receiver
        self.assertEqual(receiver.faults, [])
        events = receiver.once()
        self.assertEqual([e["id"] for e in events], [f"n-{i}" for i in range(n) if i not in without])
        for event in events:
            self.assertEqual(event["data"], data(int(event["id"][2:])))

    def after(self, *script, n=5, **keys):
        """What became of the calls if the first requests are answered like this."""
        self.receiver.script = list(script)
        self.receiver.start()
        calls = push(self.receiver, n, **keys)
        print(*calls, sep="\n", file=sys.stderr)
        return calls

    def test_structured(self):
        calls = self.after()
        self.assertEqual([(c.outcome, c.delivered) for c in calls], [("done", 5)])
        self.assert_story()
        ids = [headers["webhook-id"] for _, headers, _ in self.receiver.requests]
        self.assertEqual(ids, [f"n-{i}" for i in range(5)])

    def test_batched(self):
        self.after(n=120, mode="batched")
        self.assert_story(120)
        self.assertEqual(len(self.receiver.requests), 3)

    def test_dropped(self):
        """Of what was missed, in its own words."""
        self.receiver.start()
        told = {"time": "2026-01-02T03:04:05.678901Z", "kind": "dropped", "count": 2, "first-id": "a",
                "last-id": "b", "detail": "2 events"}
        finish(start(self.receiver, f"d\t\tdropped\t{json.dumps(told)}\n"))
        event, = self.receiver.taken
        self.assertEqual((event["type"], event["data"]), ("org.postcopyd.dropped.v1", told))
        self.assertTrue(event["dataschema"].endswith("/dropped"))
        self.assertNotIn("subject", event)
        if strict_schema:
            self.assertEqual(strict_schema.faults("cloudevent", event), [])

    @unittest.skipUnless(strict_schema, "no jsonschema (Debian: python3-jsonschema)")
    def test_schema(self):
        for mode, name in ("structured", "cloudevent"), ("batched", "cloudevent-batch"):
            self.receiver = Receiver(path("good"), key=KEY, token=TOKEN)
            self.after(mode=mode)
            for _, _, body in self.receiver.requests:
                self.assertEqual(strict_schema.faults(name, json.loads(body)), [])
                self.assertNotEqual(strict_schema.faults(name, json.loads(body.replace(b'"1.0"', b'"2.0"'))), [])
            self.receiver.stop()

    def test_plain_http(self):
        with Receiver(None, key=KEY) as receiver:
            push(receiver)
            self.assert_story(receiver=receiver)
            self.assertNotIn("Authorization", receiver.requests[0][1])

    def test_server_errors(self):
        for status in 408, 425, 500, 502, 503:
            with self.subTest(status):
                self.receiver = Receiver(path("good"), key=KEY, token=TOKEN)
                calls = self.after(("take",), ("answer", status), ("answer", status))
                self.assertEqual([(c.outcome, c.delivered) for c in calls],
                                 [("failed", 1), ("failed", 0), ("done", 4)])
                self.assertIn(str(status), calls[0].reason)
                self.assert_story()
                self.receiver.stop()

    def test_needs_mending(self):
        """Nothing is dropped for what an operator can mend."""
        calls = self.after(*(("echo_and_refuse", s) for s in (401, 403, 404, 410)))
        self.assertEqual([c.outcome for c in calls], ["failed"] * 4 + ["done"])
        for call in calls[:4]:
            self.assertIn("needs mending", call.reason)
        self.assert_story()

    def test_refused(self):
        for status in 400, 413, 422:
            with self.subTest(status):
                self.receiver = Receiver(path("good"), key=KEY, token=TOKEN)
                calls = self.after(("take",), ("echo_and_refuse", status))
                self.assertEqual([(c.outcome, c.delivered) for c in calls], [("refused", 1), ("done", 3)])
                self.assert_story(without=[1])
                self.receiver.stop()

    def test_too_large_batches_are_split(self):
        calls = self.after(*[("take_up_to", 6)] * 30, n=40, mode="batched")
        self.assertEqual([c.outcome for c in calls], ["done"])
        self.assert_story(40)

    def test_poisonous_note_is_found(self):
        """One of fifty is never taken: it alone is dropped."""
        real = self.receiver
        receiver = Receiver(path("good"), key=KEY, token=TOKEN)

        class Picky(list):
            def pop(self, _):
                return ("answer", 422) if b'"n-23"' in receiver.requests[-1][2] else ("take",)

            def __bool__(self):
                return True
        receiver.script = Picky()
        self.receiver = receiver
        with receiver:
            calls = push(receiver, 50, mode="batched")
            self.assertEqual([c.outcome for c in calls], ["refused", "done"])
            self.assert_story(50, without=[23])
        self.receiver = real

    def test_retry_after(self):
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
        calls = self.after(("answer", 429, {"Retry-After": "7"}), ("answer", 503, {"Retry-After": date}),
                           ("answer", 500, {"Retry-After": "soon"}), ("take",), ("answer", 500))
        self.assertEqual(calls[0].retry_usec, 7_000_000)
        self.assertTrue(3500e6 < calls[1].retry_usec <= 3600e6, calls[1])
        self.assertEqual([(c.outcome, c.retry_usec) for c in calls[2:]],
                         [("failed", 0), ("failed", 0), ("done", 0)])
        self.assert_story()

    def test_hangs(self):
        calls = self.after(("hang",), ("drip", b"HTTP/1.1 200 OK\r\n" + b"x" * 99, 0.1),
                           request_timeout="1s")
        self.assertEqual([c.outcome for c in calls], ["failed", "failed", "done"])
        for call in calls[:2]:
            self.assertIn("no answer in time", call.reason)
            self.assertLess(call.took_ms, 10000 * SCALE)
        self.assert_story()

    def test_hangs_to_the_deadline(self):
        """Before the queue gives up waiting, whatever request-timeout says."""
        calls = self.after(("hang",), deadline=2)
        self.assertEqual(calls[0].outcome, "failed")
        self.assertLess(calls[0].took_ms, 2000)
        self.assert_story()

    def test_called_off(self):
        self.receiver.script = [("hang",)] * 9
        self.receiver.start()
        pushing = start(self.receiver)
        until = time.monotonic() + 60
        while not self.receiver.requests and time.monotonic() < until:
            time.sleep(0.02)
        pushing.send_signal(signal.SIGTERM)
        calls = finish(pushing)
        self.assertEqual([c.outcome for c in calls], ["failed"])
        self.assertIn("called off", calls[0].reason)

    def test_status_counts_though_the_body_hangs(self):
        calls = self.after(("take_and_hang_in_body",), ("take_endless",))
        self.assertEqual([(c.outcome, c.delivered) for c in calls], [("done", 5)])
        self.assertLess(calls[0].took_ms, 20000 * SCALE)
        self.assert_story()

    def test_garbage(self):
        calls = self.after(("raw", b"\xff\xfe\0garbage\r\n\r\n"), ("raw", b""),
                           ("raw", b"HTTP/1.1 999999 What\r\n\r\n"),
                           ("endless", b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 8000 + b"\r\n"),
                           request_timeout="3s")
        self.assertEqual(calls[-1].outcome, "done", calls)
        self.assertEqual(calls[0].outcome, "failed")
        self.assert_story()

    def test_taken_but_not_told(self):
        """At least once: the receiver has it twice, by the same id, and once after dedupe."""
        self.after(("take",), ("take_and_vanish",), ("take",), ("take_and_vanish",))
        self.assert_story()
        self.assertGreater(len(self.receiver.taken), 5)

    def test_down_and_back(self):
        self.receiver.start()
        self.receiver.stop()
        pushing = start(self.receiver, 3)
        self.assertEqual(first_call(pushing).outcome, "failed")
        pushing.send_signal(signal.SIGSTOP)
        self.receiver.start()
        pushing.send_signal(signal.SIGCONT)
        calls = finish(pushing)
        self.assertEqual(calls[-1].outcome, "done")
        self.assert_story(3)

    def test_certificates(self):
        for folder, ca_file, why in (("other", "good/ca.pem", "signed by nobody that is trusted"),
                                     ("good", None, "signed by nobody that is trusted"),
                                     ("elsewhere", "elsewhere/ca.pem", "for another name"),
                                     ("expired", "expired/ca.pem", "expired"),
                                     ("early", "early/ca.pem", "not valid yet")):
            with self.subTest(folder), Receiver(path(folder)) as receiver:
                call = first_only(start(receiver, 1, ca_file=ca_file and path(ca_file)))
                self.assertEqual(call.outcome, "failed")
                self.assertIn(why, call.reason)
                self.assertEqual(receiver.requests, [])
        with self.receiver:
            call = first_only(start(self.receiver, 1, ca_file=path("no-such.pem")))
            self.assertIn(path("no-such.pem"), call.reason)

    def test_redirect_is_not_followed(self):
        with Receiver(None) as other:
            for status in 301, 302, 307, 308:
                with self.subTest(status):
                    self.receiver = Receiver(path("good"), key=KEY, token=TOKEN)
                    calls = self.after(("answer", status, {"Location": other.url}))
                    self.assertEqual(calls[0].outcome, "failed")
                    self.assertIn("redirects are not followed", calls[0].reason)
                    self.assert_story()
                    self.receiver.stop()
            self.assertEqual(other.requests, [])

    def test_nobody_speaks_tls(self):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            self.receiver.port = mute.getsockname()[1]
            call = first_only(start(self.receiver, 1, connect_timeout="500ms"))
        self.assertIn("no connection within connect-timeout", call.reason)

    def test_proxy(self):
        tunnels = []

        class Tunnel(socketserver.StreamRequestHandler):
            def handle(self):
                tunnels.append(self.rfile.readline().decode())
                while self.rfile.readline().strip():
                    pass
                host, port = tunnels[-1].split()[1].rsplit(":", 1)
                with socket.create_connection((host, int(port))) as far:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                    back = threading.Thread(target=self.pump, args=(far, self.connection), daemon=True)
                    back.start()
                    self.pump(self.connection, far)
                    back.join(5)

            @staticmethod
            def pump(a, b):
                try:
                    while data := a.recv(65536):
                        b.sendall(data)
                    b.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy:
            proxy.daemon_threads = True
            threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
            self.after(proxy=f"http://127.0.0.1:{proxy.server_address[1]}")
            proxy.shutdown()
        self.assertEqual({t.split(" HTTP")[0] for t in tunnels}, {f"CONNECT 127.0.0.1:{self.receiver.port}"})
        self.assert_story()

    def test_credentials(self):
        """Read anew each time, by name or path; refused by name if others may read it."""
        self.receiver.start()
        token = credential("open-token", TOKEN.encode(), 0o644)
        pushing = start(self.receiver, 2, bearer_token="open-token")
        call = first_call(pushing)
        self.assertEqual(call.outcome, "failed")
        self.assertIn(f"{token}: mode 0644 lets others read", call.reason)
        self.assertEqual(self.receiver.requests, [])
        pushing.send_signal(signal.SIGSTOP)
        os.chmod(token, 0o400)
        pushing.send_signal(signal.SIGCONT)
        finish(pushing)
        self.assert_story(2)


class Secrets(unittest.TestCase):
    """Last, by its name: about all that was written before."""

    def test_nowhere(self):
        self.assertGreater(len(said), 20)
        for text in said:
            self.assertNotIn(KEY.decode(), text)
            self.assertNotIn(TOKEN, text)

    def test_memory(self):
        """Endless answers and headers were among what the sink got."""
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(f"most memory {most // 1024} MiB", file=sys.stderr)
        self.assertLess(most, 256 * 1024)


if __name__ == "__main__":
    for name, how in {"good": {}, "other": {}, "elsewhere": {"names": ("DNS:elsewhere.example",)},
                      "expired": {"when": certificates.PAST}, "early": {"when": certificates.FUTURE}}.items():
        certificates.make(path(name), **how)
    credential("key", KEY)
    credential("token", TOKEN.encode() + b"\n")
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(c) for c in (Webhook, Secrets))
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
