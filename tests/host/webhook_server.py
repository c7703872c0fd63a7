#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A receiver of webhooks that misbehaves as it is told: a real HTTP server behind real TLS.

It keeps what it took (`taken`, in the order of arrival) and checks each request as a receiver would:
media type, CloudEvents attributes, signature, token. What is wrong is in `faults`.

As a program: webhook_server.py CERTIFICATES PORT KEY-FILE LOG; each event and fault becomes a line of
LOG before it is answered."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import ssl
import sys
import threading
import time

import certificates

make_certificates = certificates.make
REQUIRED = {"specversion", "id", "source", "type"}


class Receiver:
    """`script`: for each request the name of a method of Handler with arguments, else it is taken."""

    def __init__(self, certificates=None, address="127.0.0.1", port=0, key=None, token=None):
        self.certificates, self.address, self.port = certificates, address, port
        self.key, self.token = key, token
        self.script, self.taken, self.faults, self.requests = [], [], [], []
        self.server = None
        self.stopping = threading.Event()

    @property
    def url(self):
        return f"{'https' if self.certificates else 'http'}://{self.address}:{self.port}/hook"

    def start(self):
        receiver = self
        self.stopping.clear()

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request, client_address):
                pass

            def finish_request(self, request, client_address):
                """In the connection's own thread: a client that hangs keeps nobody waiting."""
                request.settimeout(30)
                if receiver.certificates:
                    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                    context.load_cert_chain(os.path.join(receiver.certificates, "server.pem"),
                                            os.path.join(receiver.certificates, "server.key"))
                    request = context.wrap_socket(request, server_side=True)
                Handler(request, client_address, self, receiver)
        self.server = Server((self.address, self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        """Down: connections are refused, those that are open end."""
        if self.server:
            self.stopping.set()
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def keep(self, events):
        self.taken += events

    def once(self):
        """What a receiver has after it dropped what it has seen."""
        return list({event["id"]: event for event in self.taken}.values())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, request, client_address, server, receiver=None):
        self.receiver = receiver
        super().__init__(request, client_address, server)

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.receiver.requests.append((self.path, dict(self.headers), self.body))
        act, *arguments = self.receiver.script.pop(0) if self.receiver.script else ("take",)
        getattr(self, act)(*arguments)

    # What a script may say.
    def take(self, status=204):
        self.receiver.keep(self.check())
        self.answer(status)

    def take_up_to(self, most):
        events = json.loads(self.body)
        return self.take() if len(events) <= most else self.answer(413)

    def answer(self, status, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def echo_and_refuse(self, status):
        """As some do: everything that was sent is in the answer, the secrets too."""
        text = f"{self.headers}{self.body!r}".encode()
        self.send_response(status, "because of " + str(self.headers["Authorization"]))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def take_and_vanish(self):
        self.receiver.keep(self.check())
        self.vanish()

    def vanish(self):
        self.close_connection = True
        self.connection.close()

    def hang(self):
        self.receiver.stopping.wait(30)
        self.close_connection = True

    def take_and_hang_in_body(self):
        self.receiver.keep(self.check())
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.hang()

    def raw(self, data):
        self.connection.sendall(data)
        self.vanish()

    def drip(self, data, pause):
        for i in range(len(data)):
            if self.receiver.stopping.is_set():
                break
            self.connection.sendall(data[i:i + 1])
            time.sleep(pause)
        self.close_connection = True

    def endless(self, head, chunk):
        self.close_connection = True
        self.connection.sendall(head)
        while not self.receiver.stopping.is_set():
            self.connection.sendall(chunk)

    def take_endless(self):
        self.receiver.keep(self.check())
        self.endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                     b"10000\r\n" + b"x" * 65536 + b"\r\n")

    # What a receiver checks.
    def check(self):
        kind = self.headers["Content-Type"]
        events = json.loads(self.body)
        if kind == "application/cloudevents+json; charset=utf-8":
            events = [events]
        elif kind != "application/cloudevents-batch+json; charset=utf-8":
            self.fault(f"content type {kind}")
        for event in events:
            if not REQUIRED <= event.keys() or "" in event.values():
                self.fault(f"attributes {event}")
        self.check_signature()
        if self.receiver.token and self.headers["Authorization"] != f"Bearer {self.receiver.token}":
            self.fault("no token")
        return events

    def check_signature(self):
        if not self.receiver.key:
            return
        stamp = self.headers["webhook-timestamp"]
        text = f"{self.headers['webhook-id']}.{stamp}.".encode() + self.body
        want = base64.b64encode(hmac.new(self.receiver.key, text, hashlib.sha256).digest()).decode()
        if f"v1,{want}" not in self.headers["webhook-signature"].split(" "):
            self.fault("signature")
        if abs(time.time() - int(stamp)) > 300:
            self.fault("timestamp")

    def fault(self, what):
        self.receiver.faults.append(what)


class Logger(Receiver):
    """`taken` outlives it, in a file."""

    def keep(self, events):
        with open(self.path, "a", encoding="utf-8") as log:
            for event in events + [{"fault": fault} for fault in self.faults]:
                log.write(json.dumps(event) + "\n")
            log.flush()


if __name__ == "__main__":
    with open(sys.argv[3], "rb") as secret:
        receiver = Logger(sys.argv[1], port=int(sys.argv[2]), key=secret.read().strip())
    receiver.path = sys.argv[4]
    receiver.start()
    threading.Event().wait()
