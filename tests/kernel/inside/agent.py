#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs in a test machine: takes commands from the virtio port, answers with what they did and when.

A line of JSON each way. A command that is late is killed, and answered even if it cannot die."""

import base64
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time


def port():
    """/dev/vport0p1 or the like: what has the name `ctl`."""
    for path in glob.glob("/sys/class/virtio-ports/*"):
        with open(path + "/name") as f:
            if f.read().strip() == "ctl":
                return "/dev/" + os.path.basename(path)
    sys.exit("agent: no virtio port")


def carry_out(request):
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = subprocess.Popen(request["argv"], stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=err, start_new_session=True)
        except OSError as problem:
            return {"rc": 127, "out": "", "err": str(problem), "seconds": 0, "ended": began}
        try:
            rc = child.wait(request["timeout"])
        except subprocess.TimeoutExpired:
            rc = None
        ended = time.monotonic()
        if rc is None:
            os.killpg(child.pid, signal.SIGKILL)
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                pass  # in the kernel, waiting for a page: reaped when it ends
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return {"rc": rc, "out": texts[0], "err": texts[1], "seconds": ended - began, "ended": ended}


def main():
    fd = os.open(port(), os.O_RDWR)
    lock = threading.Lock()

    def answer(request):
        try:
            if "put" in request:
                os.makedirs(os.path.dirname(request["put"]), exist_ok=True)
                with open(request["put"], "wb") as f:
                    f.write(base64.b64decode(request["data"]))
                os.chmod(request["put"], request["mode"])
                result = {"rc": 0, "out": "", "err": "", "seconds": 0, "ended": time.monotonic()}
            else:
                result = carry_out(request)
        except Exception as problem:
            result = {"rc": 126, "out": "", "err": f"agent: {problem}", "seconds": 0,
                      "ended": time.monotonic()}
        data = json.dumps({"id": request["id"], **result}).encode() + b"\n"
        with lock:
            while data:
                data = data[os.write(fd, data):]

    buffer = b""
    while True:
        data = os.read(fd, 65536)
        if not data:  # nobody is connected
            time.sleep(0.1)
            continue
        buffer += data
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()


main()
