#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""qmp.py SOCKET COMMAND TIMEOUT [ARGUMENTS]: a command as a user would type it into a monitor. Prints JSON."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pcdlab.qmp import QMP  # noqa: E402

path, command, timeout = sys.argv[1], sys.argv[2], float(sys.argv[3])
arguments = json.loads(sys.argv[4]) if len(sys.argv) > 4 else None
with QMP(path, oob=False, timeout=60) as monitor:
    began = time.monotonic()
    try:
        answer = {"answered": True, "return": monitor.command(command, arguments, timeout=timeout)}
    except TimeoutError:
        answer = {"answered": False}
    print(json.dumps({**answer, "seconds": time.monotonic() - began}))
