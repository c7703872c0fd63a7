# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/build tells how far it is, on a terminal and elsewhere, and what failed: with a meson and a ninja made up."""

import os
import pty
import subprocess
import sys
import tempfile

BUILD = sys.argv[1]
MESON = """#!/bin/sh
echo "configured with $3"; : >"$2/build.ninja"
"""
NINJA = """#!/bin/sh
for n in $(seq 100); do echo "[$n/100] Compiling C object daemon/a-folder/of/a/long/name/that-goes-on-and-on_$n.c.o"; done
echo "a warning"; exit ${BROKEN:-0}
"""


def run(folder, **more):
    env = {**os.environ, **more, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    done = subprocess.run([BUILD, "out", "--werror"], cwd=folder, env=env, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return done.returncode, done.stdout.splitlines()


def on_terminal(folder):
    """What a terminal gets."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ["PATH"] = f"{folder}/bin:{os.environ['PATH']}"
        os.execv(BUILD, [BUILD, "out", "--werror"])
    shown = b""
    try:
        while some := os.read(terminal, 65536):
            shown += some
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0, shown
    return shown.decode()


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/bin")
        for name, text in (("meson", MESON), ("ninja", NINJA)):
            with open(f"{folder}/bin/{name}", "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(file.name, 0o755)
        code, lines = run(folder)
        assert code == 0 and lines == ["building postcopyd in out/, which takes minutes the first time",
                                       *(f"  built {n} of 100" for n in (25, 50, 75, 100))], lines
        with open(f"{folder}/out/build.log", encoding="utf-8") as file:
            log = file.read().splitlines()
        assert len(log) == 102 and log[0] == "configured with --werror" and log[-1] == "a warning", log

        shown = on_terminal(folder)
        assert shown.startswith("building postcopyd in out/\r\n"), shown
        steps = shown.split("\r\n")[-1].split("\r")
        assert len(steps) == 102 and steps[37].startswith("[37/100] Compiling"), steps
        assert max(map(len, steps)) <= 79 + len("\x1b[K") and steps[-1] == "\x1b[K", steps

        code, lines = run(folder, BROKEN="1")
        assert code == 1 and lines[-2] == "a warning", lines
        assert lines[-1] == "the build failed; all of its output is in out/build.log", lines


if __name__ == "__main__":
    main()
