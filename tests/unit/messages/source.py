#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every error message that the C sources can make, read from the sources themselves.

`source.py FOLDER...` prints them, one a line: place, maker, text with {} for what is filled in.

A message is made by one of GLib's functions in MAKERS. Where a function of ours hands a parameter
on to one of those, it makes messages too, and what its callers give is the message: that is
followed from caller to caller, so helpers need no list here. What looks as if it told of an error
in a way that is not known here is told as unknown(), and the test fails.
"""
import dataclasses
import pathlib
import re
import sys

import outcomes
from ctokens import (calls_in, closing, lex, locals_of, opening_of, params_of, returns_in, split_args,
                     split_ternary, strip)

# function -> which argument is the format (or, LITERAL, the whole text)
MAKERS = {
    "g_set_error": 3, "g_set_error_literal": 3, "g_error_new": 2, "g_error_new_literal": 2,
    "g_error_new_valist": 2, "g_prefix_error": 1, "g_prefix_error_literal": 1,
    "g_propagate_prefixed_error": 2, "g_dbus_method_invocation_return_error": 3,
    "g_dbus_method_invocation_return_error_literal": 3, "g_printerr": 0,
    "g_task_return_new_error": 3,
    # What came of an action
    "pcd_action_refuse": 1, "pcd_action_fail": 1,
}
LITERAL = {name for name in MAKERS if name.endswith("_literal")}
# They make no text of their own.
RELAYS = {
    "g_set_error_matches", "g_error_matches", "g_error_free", "g_error_copy", "g_clear_error",
    "g_propagate_error", "g_dbus_error_strip_remote_error", "g_dbus_error_get_remote_error",
    "g_dbus_error_is_remote_error", "g_dbus_error_register_error_domain", "g_dbus_error_quark",
    "g_dbus_method_invocation_return_gerror", "g_dbus_method_invocation_take_error",
    "g_file_error_from_errno", "g_file_error_quark", "g_io_error_from_errno", "g_io_error_quark",
    "g_set_printerr_handler", "g_strerror", "g_task_return_error",
    "g_task_return_error_if_cancelled",
    "g_error",  # ends the program: for bugs, not for people
}
# What else could bring a text to a person as an error.
SUSPECT = re.compile(r"^(g_\w*(error|printerr)\w*|perror|errx?|warnx?|verrx?|vwarnx?|error|psignal|"
                     r"vfprintf|g_assertion_message\w*)$")
# stderr is written with g_printerr, but for progress bars, where the text is no error.
STDERR_WORDS = {"fprintf", "fputs", "fflush", "fileno", "isatty", "ioctl",
                "g_log_writer_is_journald"}
# These draw, and print what was made safe.
STDERR_FILES = ("/pcd-stderr.c", "/pcd-busy.c")
MARKS = {"_", "N_", "Q_", "gettext", "g_strdup", "g_intern_string", "g_intern_static_string"}
PLURALS = {"ngettext", "dngettext", "g_dngettext"}
MAX_ALTERNATIVES = 60

SPEC = re.compile(r"%(?:%|[-+ #0']*(?P<width>\*|\d+)?(?:\.(?P<prec>\*|\d+))?(?P<len>hh|h|ll|l|z|j|t)?"
                  r"(?P<conv>[diouxXcsfgGeEpm]))")


@dataclasses.dataclass(frozen=True)
class Hole:
    """Something that is filled in when the message is made: a conversion such as %u."""
    spec: str


@dataclasses.dataclass(frozen=True)
class Param:
    """What the caller gives as this argument; @formats: it is a format, its arguments follow."""
    index: int
    formats: bool = False


@dataclasses.dataclass
class Function:
    name: str
    path: str
    static: bool
    params: list
    body: list
    types: list = None
    templates: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Message:
    place: str        # FILE:LINE, of the words
    maker: str        # GLib's function at the end of it
    format: str       # what that function is given, if it can be known
    pieces: tuple     # texts and Holes

    @property
    def text(self):
        return "".join(p if isinstance(p, str) else "{}" for p in self.pieces)

    @property
    def words(self):
        return "".join(p for p in self.pieces if isinstance(p, str))

    def pattern(self):
        out = []
        for p in self.pieces:
            if isinstance(p, str):
                out.append(re.escape(p))
            elif p.spec[-1] in "diu":
                out.append(r"\s*-?\d+")
            elif p.spec[-1] in "xX":
                out.append(r"(?:0x)?[0-9a-fA-F]+")
            elif p.spec[-1] in "fgGeE":
                out.append(r"\s*[-\d.e+naif]+")
            else:
                out.append(r".*")
        return re.compile("".join(out), re.S)


def unescape(text):
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape") \
        if text.isascii() else re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text)


class Source:
    def __init__(self, folders):
        self.functions = []
        self.strings = {}      # macro or constant -> tokens
        self.unknown_ways = []
        for folder in folders:
            for path in sorted(pathlib.Path(folder).rglob("*.[ch]")):
                self.read(path, pathlib.Path(folder).name + "/" + str(path.relative_to(folder)))
        self.by_name = {}
        for function in self.functions:
            self.by_name.setdefault(function.name, []).append(function)
        self.messages = []
        self.walk()

    # ---- reading ----

    def read(self, path, shown):
        text = path.read_text()
        tokens, line, at = [], 1, 0
        # Directives: only those that name a string matter.
        def directive(m):
            whole = m[0].replace("\\\n", " ")
            named = re.match(r'\s*#\s*define\s+(\w+)\s+(.*)', whole, re.S)
            if named and ('"' in named[2] or re.match(r"\w+$", named[2].strip())):
                self.strings.setdefault(named[1], list(lex(named[2], 0)))
            return "\n" * m[0].count("\n")
        text = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", directive, text, flags=re.M)
        tokens = list(lex(text, 1))
        self.suspects(tokens, shown)
        self.split(tokens, shown)

    def suspects(self, tokens, shown):
        for i, token in enumerate(tokens):
            after = tokens[i + 1].text if i + 1 < len(tokens) else ""
            before = tokens[i - 1].text if i else ""
            if token.kind != "word":
                continue
            if SUSPECT.match(token.text) and after == "(" and before not in ("->", ".") \
                    and token.text not in MAKERS and token.text not in RELAYS:
                self.unknown_ways.append(f"{shown}:{token.line}: {token.text} ()")
            # A macro of capitals may define it: SAY (pcd_action_fail, ...)
            if token.text in MAKERS and after != "(" and not (before == "(" and tokens[i - 2].text.isupper()):
                self.unknown_ways.append(f"{shown}:{token.line}: {token.text} is not called but taken")
            if token.text == "message" and before in ("->", ".") and after == "=":
                holder = tokens[i - 2].text
                if "error" in holder or holder in ("problem", "reason", "refusal"):
                    self.unknown_ways.append(f"{shown}:{token.line}: {holder}->message is written")
            if token.text in ("stderr", "STDERR_FILENO"):
                words = {t.text for t in tokens[max(0, i - 3):i]}
                if not words & STDERR_WORDS and not shown.endswith(STDERR_FILES):
                    self.unknown_ways.append(f"{shown}:{token.line}: {token.text} is used")

    def split(self, tokens, shown):
        """The functions of a file, and its named strings."""
        i, start = 0, 0
        while i < len(tokens):
            token = tokens[i]
            if token.text == ";" :
                self.constant(tokens[start:i])
                start = i = i + 1
            elif token.text == "{":
                end = closing(tokens, i)
                head = tokens[start:i]
                close = [k for k, t in enumerate(head) if t.text == ")"]
                if close and head[-1].text == ")":
                    opening = opening_of(head, len(head) - 1)
                    name = head[opening - 1].text
                    params, types = params_of(head[opening + 1:-1])
                    self.functions.append(Function(name, shown,
                                                   any(t.text == "static" for t in head[:opening]),
                                                   params, tokens[i + 1:end], types))
                    start = end + 1
                i = end + 1
            else:
                i += 1

    def constant(self, tokens):
        """static const char name[] = "text";"""
        texts = [t.text for t in tokens]
        if "=" in texts and "char" in texts and "{" not in texts:
            at = texts.index("=")
            names = [t for t in tokens[:at] if t.kind == "word"]
            if names and any(t.kind == "string" for t in tokens[at:]):
                self.strings.setdefault(names[-1].text, tokens[at + 1:])

    # ---- following ----

    def walk(self):
        self.calls = {}
        for function in self.functions:
            function.calls = list(calls_in(function.body))
            function.locals = locals_of(function)
            for call in function.calls:
                self.calls.setdefault(call[0], []).append((function, call))
        pending = [(f, c, name) for f in self.functions for c in f.calls
                   for name in [c[0]] if name in MAKERS]
        seen = set()
        for f, call, name in pending:
            self.take(f, call, [(name, None, (Param(MAKERS[name], name not in LITERAL),))], seen)
        for f, maker, tokens, line in outcomes.in_functions(self.functions):
            for pieces in self.value(f, tokens, 0):
                closed = tuple(Hole("%s") if isinstance(p, Param) else p for p in pieces)
                if any(" " in p for p in closed if isinstance(p, str)):
                    self.messages.append(Message(f"{f.path}:{line}", maker, plain(closed), merge(closed)))

    def callers(self, function):
        for other, call in self.calls.get(function.name, []):
            if self.resolve(other, call[0]) is function:
                yield other, call

    def resolve(self, caller, name):
        known = self.by_name.get(name, [])
        return next((f for f in known if f.path == caller.path), None) or \
            next((f for f in known if not f.static), None)

    def take(self, function, call, templates, seen):
        """@call in @function makes messages from @templates: (maker, format, pieces)."""
        name, args, line = call
        place = f"{function.path}:{line}"
        mine = []
        for maker, format_, pieces in templates:
            for text, filled in self.fill(function, pieces, args, depth=0):
                mine.append((maker, format_ or text, filled))
        final, open_ = [], []
        for item in mine:
            (open_ if any(isinstance(p, Param) for p in item[2]) else final).append(item)
        for maker, format_, pieces in final:
            self.messages.append(Message(place, maker, format_, merge(pieces)))
        if not open_:
            return
        key = (function.path, function.name, tuple((m, f, p) for m, f, p in open_), line)
        if key in seen:
            return
        seen.add(key)
        callers = list(self.callers(function))
        for other, call in callers:
            self.take(other, call, open_, seen)
        if not callers:
            for maker, format_, pieces in open_:
                closed = tuple(Hole("%s") if isinstance(p, Param) else p for p in pieces)
                self.messages.append(Message(place, maker, format_, merge(closed)))

    def fill(self, function, pieces, args, depth):
        """@pieces with the arguments of one call: (format text, pieces) for each alternative."""
        results = [("", ())]
        for piece in pieces:
            if not isinstance(piece, Param):
                results = [(t, r + (piece,)) for t, r in results]
                continue
            arg = args[piece.index] if piece.index < len(args) else None
            if arg is None:
                options = [("%s", (Hole("%s"),))]
            elif piece.formats:
                options = []
                for alternative in self.value(function, arg, depth):
                    options += self.formatted(function, alternative, args[piece.index + 1:], depth)
            else:
                options = [(plain(a), word_is_hole(a)) for a in self.value(function, arg, depth)]
            results = [(t + ot, r + o) for t, r in results for ot, o in options][:MAX_ALTERNATIVES]
        return results

    def formatted(self, function, alternative, args, depth):
        """A format (pieces) with its arguments."""
        if len(alternative) == 1 and isinstance(alternative[0], Param):
            return [("", (Param(alternative[0].index, True),))]
        if any(not isinstance(p, str) for p in alternative):
            return [(plain(alternative), alternative)]
        text = "".join(alternative)
        results, at, args = [()], 0, list(args)
        for m in SPEC.finditer(text):
            results = [r + (text[at:m.start()],) for r in results]
            at = m.end()
            if m[0] == "%%":
                results = [r + ("%",) for r in results]
                continue
            for star in (m["width"], m["prec"]):
                if star == "*" and args:
                    args.pop(0)
            arg = args.pop(0) if args else None
            options = [(Hole(m[0]),)]
            if m["conv"] == "s" and arg is not None:
                options = [o if any(not isinstance(p, Hole) for p in o) else (Hole(m[0]),)
                           for o in self.value(function, arg, depth)]
                options = list(dict.fromkeys(word_is_hole(o) for o in options))
            results = [r + o for r in results for o in options][:MAX_ALTERNATIVES]
        return [(text, r + (text[at:],)) for r in results]

    def value(self, function, tokens, depth):
        """What an expression can be: a list of pieces for each alternative."""
        values = list(dict.fromkeys(self.values(function, tokens, depth)))
        if len(values) == 1:
            return values
        # One of some words is as good as any word; sentences are messages of their own.
        return list(dict.fromkeys(
            (Hole("%s"),) if all(isinstance(p, (str, Hole)) for p in v) and " " not in plain(v) else v
            for v in values))[:MAX_ALTERNATIVES]

    def values(self, function, tokens, depth):
        hole = [(Hole("%s"),)]
        tokens = strip(tokens)
        if depth > 6 or not tokens:
            return hole
        ternary = split_ternary(tokens)
        if ternary:
            condition, yes, no = ternary
            return self.value(function, yes or condition, depth + 1) + \
                self.value(function, no, depth + 1)
        texts = self.joined(tokens)
        if texts is not None:
            return [(texts,)]
        if len(tokens) == 1 and tokens[0].kind == "word":
            return self.variable(function, tokens[0].text, depth)
        if tokens[0].kind == "word" and len(tokens) > 2 and tokens[1].text == "(" and \
                closing(tokens, 1) == len(tokens) - 1:
            return self.called(function, tokens[0].text, split_args(tokens[2:-1]), depth)
        return hole

    def called(self, function, name, args, depth):
        hole = [(Hole("%s"),)]
        if name in MARKS and args:
            return self.value(function, args[0], depth + 1)
        if name in PLURALS:
            args = args[-3:]
            return self.value(function, args[0], depth + 1) + self.value(function, args[1], depth + 1)
        if name == "g_strdup_printf" and args:
            out = []
            for a in self.value(function, args[0], depth + 1):
                out += [p for _, p in self.formatted(function, a, args[1:], depth + 1)]
            return [merge(o) for o in out] or hole
        if name == "g_strdup_vprintf" and args:
            return self.value(function, args[0], depth + 1) and \
                [(Param(a[0].index, True),) if isinstance(a[0], Param) else a
                 for a in self.value(function, args[0], depth + 1)]
        if name == "g_strconcat":
            out = [()]
            for arg in args[:-1]:
                out = [o + v for o in out for v in self.value(function, arg, depth + 1)]
            return [merge(o) for o in out[:MAX_ALTERNATIVES]]
        # A function of ours that gives one of some texts
        ours = self.resolve(function, name)
        if ours and depth < 3 and ours.types is not None:
            out = []
            for returned in returns_in(ours.body):
                for value in self.value(ours, returned, depth + 2):
                    out.append(tuple(Hole("%s") if isinstance(p, Param) else p for p in value))
            if any(" " in plain(o) for o in out):
                return out
        return hole

    def variable(self, function, name, depth):
        hole = [(Hole("%s"),)]
        if name in function.locals:
            out = []
            for tokens in function.locals[name]:
                if [t.text for t in tokens] != ["NULL"]:
                    out += self.value(function, tokens, depth + 1)
            if name in function.params:
                out.append((Param(function.params.index(name)),))
            return out or hole
        if name in function.params:
            index = function.params.index(name)
            if function.types[index]:
                return [(Param(index),)]
        return hole

    def joined(self, tokens):
        """"a" MACRO "b": one text."""
        out = ""
        for token in tokens:
            if token.kind == "string":
                out += unescape(token.text[1:-1])
            elif token.kind == "word" and token.text in NUMBERS:
                out += NUMBERS[token.text]
            elif token.kind == "word" and token.text in self.strings:
                inner = self.joined(self.strings[token.text])
                if inner is None:
                    return None
                out += inner
            elif token.kind == "word" and token.text.startswith("PCD_") and len(tokens) > 1:
                return None
            else:
                return None
        return out if tokens else None


NUMBERS = {"G_GINT64_FORMAT": "li", "G_GUINT64_FORMAT": "lu", "G_GSIZE_FORMAT": "lu",
           "G_GSSIZE_FORMAT": "li", "G_GINT32_FORMAT": "i", "G_GUINT32_FORMAT": "u",
           "G_GINT64_MODIFIER": "l", "PRIu64": "lu", "PRIx64": "lx", "PRId64": "ld",
           "PCD_VERSION": "\1"}


def plain(pieces):
    return "".join(p if isinstance(p, str) else "%s" for p in pieces)


def word_is_hole(pieces):
    """A name that a helper is given, such as that of a call that failed, is no message of its own."""
    closed = all(isinstance(p, (str, Hole)) for p in pieces)
    return (Hole("%s"),) if closed and " " not in plain(pieces) else pieces


def merge(pieces):
    out = []
    for piece in pieces:
        if isinstance(piece, str) and out and isinstance(out[-1], str):
            out[-1] += piece
        elif piece == Hole("%s") and out and out[-1] == piece:
            continue
        elif piece != "":
            out.append(piece)
    return tuple(out)


if __name__ == "__main__":
    source = Source(sys.argv[1:])
    for message in source.messages:
        print(f"{message.place}: {message.maker}: {message.text!r}")
    for way in source.unknown_ways:
        print(f"UNKNOWN {way}")
