# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every rendered message is held to. Each rule gives a complaint, or nothing."""
import re

LONGEST = 300
# A message goes on from "postcopyctl VERB: " or "FILE:LINE: ", so it begins as within a sentence:
# capitals are names.
NAMES = re.compile(r"(QEMU|QMP|SEEK_|POSIX|PID|TLS|TCP|D-Bus|GLib|KVM|HTTP|JSON|XML|UTF|Linux|Unknown option|"
                   r"Missing argument|Cannot parse|Integer value|[A-Z_]+\b)")
FUNCTION = re.compile(r"\b(?:pcd|g|json|gdbus|sqlite3)_[a-z_]+ ?\(|\b(?:open|read|write|ioctl|mmap)\(\)")
ERRNO = re.compile(r"(No such file or directory|Permission denied|Input/output error|Is a directory|"
                   r"Operation not permitted|Invalid argument|No such process|Bad file descriptor)")


# What to do: a value that would be right, a command, a place to look, a choice.
ADVICE = re.compile(r"expected|see '|postcopyctl |--[a-z]+|\bgive |\bsay which|chmod |chown |install |set TERM|"
                    r"run it (?:there|on)|\btry |works all the same|does without|'virsh |only one in postcopy can|see postcopyd|[Dd]o not send|did you mean|; make |; be |by hand|restart|is its daemon running|does its certificate suit|"
                    r"; start it|see that |is another postcopyd running|; is |log says")
# Kinds of messages after which there is nothing that we could tell anyone to do.
HOPELESS = {
    "what the daemon answered, in whose words the advice has to be": re.compile(r": (refused|failed): "),
    "what is no longer there, or never was": re.compile(r"it went away|not known here any more|no process \d+|"
                                                        r"is not a QEMU|libvirt knows no domain|no migrations"),
    "a file that its maker has to mend: it is named, and what is wrong": re.compile(
        r"plugin \S+: .*: (is|does|has|says|calls|exports) |file is not a database|but not a journal|disk I/O error|Failed to create file|No such file"),
    "what came of an action is so already, or is over": re.compile(
        r"QEMU says|is not paused|has failed: the guest is|is over: QEMU ended|cancelled before|called off|"
        r"QEMU goes on migrating"),
    "postcopyctl adds what to do: pcd-act-wait.c": re.compile(r"QMP stop could hang"),
    "the daemon may be slow, and may answer later": re.compile(r"did not answer within"),
}


def without_advice(stderr):
    """@stderr of a program that failed: nothing in it says what to do, nor is of a kind above."""
    return tells_not_what_to_do(stderr.decode("utf-8", "replace"))


def tells_not_what_to_do(text):
    return not ADVICE.search(text) and not any(kind.search(text) for kind in HOPELESS.values())


def controls(text):
    return [c for c in text if (ord(c) < 32 and c != "\n") or 0x7f <= ord(c) < 0xa0]


def of_message(text, prefix=False):
    """@text as it left the function that made it; @prefix: another text follows it."""
    body = text if prefix else text.rstrip("\n")
    if not prefix and not body.strip():
        return
    if controls(body):
        yield "control characters reach a terminal"
    if "\n" in body:
        yield "more than one line"
    if "(null)" in text:
        yield "says (null)"
    if len(body) > LONGEST:
        yield f"{len(body)} characters, of {LONGEST} that a screen at 3 a.m. has room for"
    if body.endswith(".") and not body.endswith("..."):
        yield "ends with a full stop, which no other does"
    if not prefix and body != body.rstrip():
        yield "ends with a blank"
    if body[:1].isupper() and not NAMES.match(body):
        yield "begins with a capital that is no name's"
    if FUNCTION.search(body):
        yield "names a function, which is nobody's business at 3 a.m."
    if ERRNO.fullmatch(body):
        yield "a system's error without what it happened to"


def of_output(stderr):
    """What a program wrote to stderr, whole."""
    try:
        text = stderr.decode("utf-8")
    except UnicodeDecodeError:
        yield "not UTF-8"
        return
    if controls(text):
        yield "control characters reach a terminal"
    for line in text.splitlines():
        if "(null)" in line:
            yield "says (null)"
        if ERRNO.fullmatch(line):
            yield "a system's error without what it happened to"
