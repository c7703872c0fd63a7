# SPDX-License-Identifier: LGPL-2.1-or-later
"""How a test of the lab declares itself. Knows nothing of how it is run."""

import os
from dataclasses import dataclass

_cases = []


class Skip(Exception):
    """The case cannot be tried here; the message says why. Never for a failure."""


@dataclass
class Case:
    name: str
    function: object
    file: str
    timeout: float
    lab: dict  # Lab's arguments; None: the case makes its own labs and takes no argument


def case(name=None, timeout=120, lab=()):
    """Declares `function(lab)` as a case. `timeout` in seconds, bringing a lab up included."""
    def declare(function):
        _cases.append(Case(name or function.__name__.replace("_", "-"), function,
                           os.path.splitext(os.path.basename(function.__code__.co_filename))[0],
                           timeout, None if lab is None else dict(lab)))
        return function
    return declare


def registered():
    names = [entry.name for entry in _cases]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two cases are called {', '.join(sorted(twice))}")
    return list(_cases)
