# SPDX-License-Identifier: LGPL-2.1-or-later
"""A page in a headless Chromium, asked by the DevTools protocol over a pair of pipes.
Must not know what is on the page."""
import json
import os
import select
import shutil
import subprocess
import time

BROWSER = shutil.which("chromium")
DEADLINE = 60


class Gone(Exception):
    """The browser ended, or did not answer in time."""


class Page:
    """`events` grows with all that the browser tells; `requests` are the addresses it asked for."""

    def __init__(self, home):
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # The protocol is spoken on descriptors 3 and 4.
        self._process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "sh", BROWSER, "--headless", "--no-sandbox",
             "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
             f"--user-data-dir={home}", "about:blank"],
            pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest, self._id, self._session = b"", 0, None
        self.events = []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime", "Accessibility", "DOM"):
            self.call(domain + ".enable")

    def close(self):
        os.close(self._out)
        os.close(self._in)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self, until):
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0, until - time.monotonic()))[0]:
                raise Gone("the browser did not answer")
            data = os.read(self._in, 1 << 16)
            if not data:
                raise Gone("the browser ended")
            self._rest += data
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        """Its result; what else is told meanwhile goes to `events`."""
        self._id += 1
        message = {"id": self._id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + DEADLINE
        while True:
            answer = self._read(until)
            if "method" in answer:
                self.events.append(answer)
            elif answer.get("id") == self._id:
                if "error" in answer:
                    raise Gone(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, path):
        """Shows a file, and waits for it."""
        self.events.clear()
        self.call("Page.navigate", url="file://" + path)
        until = time.monotonic() + DEADLINE
        while not any(e["method"] == "Page.loadEventFired" for e in self.events):
            self.events.append(self._read(until))

    def run(self, script):
        """The value of a JavaScript expression."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise Gone(f"{done['exceptionDetails']} in {script}")
        return done["result"].get("value")

    def press(self, key, code=0):
        """A key, as a person would."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                      **(text if kind == "keyDown" else {}))

    def prefer(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def width(self, pixels):
        self.call("Emulation.setDeviceMetricsOverride", width=pixels, height=800, deviceScaleFactor=1, mobile=False)

    def accessible(self):
        """The accessibility tree as a screen reader gets it: [(role, name, properties)] in its order."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        by_id, told = {node["nodeId"]: node for node in nodes}, []

        def walk(node):
            if not node.get("ignored"):
                properties = {p["name"]: p["value"].get("value") for p in node.get("properties", [])}
                properties["description"] = node.get("description", {}).get("value", "")
                told.append((node["role"]["value"], node.get("name", {}).get("value", ""), properties))
            for child in node.get("childIds", []):
                if child in by_id:
                    walk(by_id[child])
        walk(next(node for node in nodes if "parentId" not in node))
        return told

    @property
    def requests(self):
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    @property
    def complaints(self):
        return ([e["params"]["entry"]["text"] for e in self.events if e["method"] == "Log.entryAdded"]
                + [str(e["params"]) for e in self.events
                   if e["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown")])
