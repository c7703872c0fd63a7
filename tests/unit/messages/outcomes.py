# SPDX-License-Identifier: LGPL-2.1-or-later
"""What comes of an action, where the daemon itself says it: the words beside a PCD_OUTCOME_, and those
that a function which gives a PcdOutcome leaves in *ret_reason."""
from ctokens import calls_in, statement_end

MAKER = "outcome"
REASONS = ("ret_reason", "ret_message")


def beside(function):
    """f (..., PCD_OUTCOME_FAILED, "words", ...): the words."""
    for _, args, line in calls_in(function.body):
        for at, arg in enumerate(args[:-1]):
            if any(t.text.startswith("PCD_OUTCOME_") for t in arg) and not any(t.text == "(" for t in arg):
                yield args[at + 1], line


def left(function):
    """*ret_reason = words;"""
    body = function.body
    for at, token in enumerate(body):
        if token.text in REASONS and body[at - 1].text == "*" and body[at + 1].text == "=":
            yield body[at + 2:statement_end(body, at + 2)], token.line


def in_functions(functions):
    for function in functions:
        if not function.path.startswith(("daemon/libvirt/", "daemon/engine/")):
            continue
        recovers = function.path.startswith("daemon/libvirt/")
        for tokens, line in (*beside(function), *(left(function) if recovers else ())):
            yield function, MAKER, tokens, line
