# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real TCP connections between the two hosts, held by the test itself. Knows nothing of libvirt."""

import ctypes
import os
import socket
import threading
import time

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def socket_in(host, make):
    """What `make()` returns when called inside a host's network namespace. A socket belongs to the
    namespace it was created in, so that only a short-lived thread has to go there."""
    box = {}

    def enter():
        try:
            fd = os.open(f"/proc/{host.anchor}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(fd, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(fd)
            box["value"] = make()
        except BaseException as problem:
            box["problem"] = problem

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if "problem" in box:
        raise box["problem"]
    return box["value"]


class Connection:
    """One TCP connection from src to `port` on dst: .src and .dst are its two ends."""

    def __init__(self, lab, port, network="migration", timeout=5):
        address = (lab.dst.addresses[network], port)
        listener = socket_in(lab.dst, lambda: socket.create_server(address))
        try:
            listener.settimeout(timeout)
            self.src = socket_in(lab.src, lambda: socket.create_connection(address, timeout))
            self.dst, _ = listener.accept()
        finally:
            listener.close()
        for end in (self.src, self.dst):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def carries(self, sender, size=1, timeout=1.0):
        """Whether `size` bytes sent at that end arrive at the other within `timeout`.
        What did not arrive stays in the kernel's queue. Raises OSError if an end was reset."""
        one, other = (self.src, self.dst) if sender == "src" else (self.dst, self.src)
        return self.seconds_for(one, other, size, timeout) is not None

    def seconds_for(self, one, other, size, timeout):
        began = time.monotonic()
        deadline = began + timeout
        left_to_send, left = size, size
        one.setblocking(False)
        while left > 0:
            if left_to_send:
                try:
                    left_to_send -= one.send(b"x" * min(left_to_send, 65536))
                except BlockingIOError:
                    pass
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                problem = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if problem:  # the sender was told in the meantime
                    raise ConnectionResetError(problem, os.strerror(problem))
                return None
            other.settimeout(min(remaining, 0.05))
            try:
                data = other.recv(65536)
            except TimeoutError:
                continue
            if not data:
                raise ConnectionError("closed by the other end")
            left -= len(data)
        return time.monotonic() - began

    def drain(self, timeout):
        """Reads what is left over from a carries() that failed, until both ends are quiet."""
        for end in (self.src, self.dst):
            end.settimeout(timeout)
            try:
                while end.recv(65536):
                    pass
            except TimeoutError:
                pass

    def close(self):
        self.src.close()
        self.dst.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
