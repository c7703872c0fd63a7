# SPDX-License-Identifier: LGPL-2.1-or-later
"""A QMP client for a socket of our own (the control monitor), with deadlines and out-of-band
commands. Must not be pointed at libvirt's monitor."""

import json
import socket
import time

from .proc import LabError


class QMP:
    """`path` as seen from here: host.inside("/run/postcopyd/g.qmp")."""

    def __init__(self, path, oob=True, timeout=5):
        self.timeout = timeout
        self.events = []  # (CLOCK_MONOTONIC, event)
        self._buffer = b""
        self._number = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
        except OSError as problem:
            raise LabError(f"QMP socket {path}: {problem}") from None
        greeting = self._read(time.monotonic() + timeout)["QMP"]
        enable = ["oob"] if oob and "oob" in greeting["capabilities"] else []
        self.oob = bool(enable)
        self.command("qmp_capabilities", arguments={"enable": enable})

    def command(self, name, arguments=None, oob=False, timeout=None):
        """The command's "return"; LabError with QEMU's words, TimeoutError without an answer."""
        self._number += 1
        request = {"exec-oob" if oob else "execute": name, "id": self._number}
        if arguments:
            request["arguments"] = arguments
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            answer = self._read(deadline)
            if answer.get("id") != self._number:
                continue  # the late answer of a command that was given up
            if "error" in answer:
                raise LabError(f"QMP {name}: {answer['error']['desc']}")
            return answer["return"]

    def _read(self, deadline):
        """The next message that is not an event."""
        while True:
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError("QEMU does not answer")
                self._socket.settimeout(left)
                data = self._socket.recv(65536)
                if not data:
                    raise LabError("QEMU closed the QMP connection")
                self._buffer += data
            line, self._buffer = self._buffer.split(b"\n", 1)
            message = json.loads(line)
            if "event" not in message:
                return message
            self.events.append((time.monotonic(), message))

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
