#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""postcopyctl policy simulate: every trace against its golden output; bad input against its message.

Arguments: postcopyctl, the policies folder, the traces folder. PCD_UPDATE=1 writes the golden
files anew.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

# golden file: policy, trace, further options
CASES = {
    "recover-source-link-down": ("recover", "source-link-down-30s", []),
    "protect-destination-link-down": ("protect", "destination-link-down-30s", []),
    "protect-stop-refused": ("protect", "destination-link-down-30s",
                             ["--fact", "kickable=yes", "--outcome", "stop=refused"]),
    "observe-destination-link-down": ("observe", "destination-link-down-30s", []),
    "fence-source-killed": ("fence", "destination-source-killed", ["--for", "15min"]),
    "fence-source-killed-allowed": ("fence", "destination-source-killed",
                                    ["--for", "15min", "--allow-destroy"]),
    "recover-all-failed": ("recover", "source-link-down-30s", ["--outcome", "failed"]),
    "recover-twenty-cuts": ("recover", "source-twenty-cuts", []),
    "recover-operator-pause": ("recover", "source-operator-pause", []),
    "protect-json": ("protect", "destination-link-down-30s", ["--json"]),
}
POLICIES = ["fence", "forensic", "observe", "protect", "recover"]
RECORD = {"seq": 1, "time": "2026-11-22T15:00:00.000000Z", "monotonic-usec": 5, "kind": "phase",
          "uuid": "u", "domain": "d", "role": "source", "to": "paused"}
BAD_TRACES = {
    "": "no record, expected lines of 'postcopyctl events --json'",
    "nonsense": ":1: ",
    json.dumps(RECORD) + "\n\n" + json.dumps({**RECORD, "monotonic-usec": 4}):
        ":3: monotonic-usec goes back, expected the records of one host in their order",
    json.dumps({**RECORD, "to": "pausd\033"}): ":1: unknown phase \"pausd\\033\", expected",
    json.dumps({**RECORD, "monotonic-usec": 2**63 - 1}): ":1: monotonic-usec out of range",
    json.dumps({**RECORD, "monotonic-usec": -1}): ":1: monotonic-usec out of range",
}
BAD_OPTIONS = [["--outcome", "maybe"], ["--outcome", "reboot=done"], ["--fact", "kickable"],
               ["--fact", "lucky=yes"], ["--fact", "kickable=perhaps"], ["--for", "ever"]]


class Test:
    def __init__(self, postcopyctl, policies, traces):
        self.postcopyctl, self.policies = postcopyctl, policies
        self.traces = pathlib.Path(traces)
        self.wrong = 0

    def run(self, policy, trace, options=()):
        return subprocess.run([self.postcopyctl, "policy", "simulate", "--policy-dir", self.policies,
                               *options, policy, str(trace)],
                              capture_output=True, text=True, timeout=20)

    def expect(self, condition, what):
        if not condition:
            self.wrong += 1
            print(f"WRONG: {what}")

    def trace(self, name):
        return self.traces / f"{name}.jsonl"

    def golden(self):
        for name, (policy, trace, options) in CASES.items():
            run = self.run(policy, self.trace(trace), options)
            golden = self.traces / f"{name}.out"
            if os.environ.get("PCD_UPDATE"):
                golden.write_text(run.stdout)
            self.expect(run.returncode == 0, f"{name}: exit status {run.returncode}: {run.stderr}")
            self.expect(run.stdout == golden.read_text(), f"{name}: other than {golden}:\n{run.stdout}")

    def nothing_where_there_was_no_trouble(self):
        phases = ["precopy", "postcopy", "completed"]
        trace = "\n".join(json.dumps({**RECORD, "seq": i + 1, "monotonic-usec": i * 10**6,
                                      "role": "destination", "to": phase})
                          for i, phase in enumerate(phases))
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write(trace)
            file.flush()
            for policy in POLICIES:
                run = self.run(policy, file.name, ["--json", "--allow-destroy"])
                told = [json.loads(line) for line in run.stdout.splitlines()]
                self.expect(run.returncode == 0 and not told, f"{policy} acts on nothing: {told}")

    def rule_10_slow_for_ten_minutes(self):
        for policy in POLICIES:
            run = self.run(policy, self.trace("source-slow-ten-minutes"),
                           ["--json", "--allow-destroy"])
            told = [json.loads(line) for line in run.stdout.splitlines()]
            self.expect(run.returncode == 0 and not told, f"{policy} acts on slow: {told}")

    def bad_input(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "trace"
            for text, message in BAD_TRACES.items():
                path.write_text(text)
                run = self.run("recover", path)
                self.expect(run.returncode == 2 and message in run.stderr,
                            f"{text!r}: {run.returncode}, {run.stderr}")
        good = self.trace("source-link-down-30s")
        for options in BAD_OPTIONS:
            run = self.run("recover", good, options)
            self.expect(run.returncode == 2 and "expected" in run.stderr and not run.stdout,
                        f"{options}: {run.returncode}, {run.stderr}")
        for policy, trace in (("no-such", good), ("/nonexistent.json", good),
                              ("recover", "/nonexistent")):
            run = self.run(policy, trace)
            self.expect(run.returncode == 2, f"{policy} {trace}: {run.returncode}, {run.stderr}")


def main():
    test = Test(*sys.argv[1:4])
    test.golden()
    test.nothing_where_there_was_no_trouble()
    test.rule_10_slow_for_ten_minutes()
    test.bad_input()
    print(f"{test.wrong} wrong")
    return 1 if test.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
