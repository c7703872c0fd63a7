# SPDX-License-Identifier: LGPL-2.1-or-later
"""C sources as tokens: as much of the language as finding calls and what they are given takes."""
import dataclasses
import re

TOKEN = re.compile(r"""
    (?P<comment>/\*.*?\*/|//[^\n]*)
  | (?P<string>"(?:\\.|[^"\\])*")
  | (?P<char>'(?:\\.|[^'\\])*')
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\d[\w.]*)
  | (?P<space>\s+)
  | (?P<mark>->|\.\.\.|<<|>>|[<>=!]=|&&|\|\||\+\+|--|.)
""", re.X | re.S)


@dataclasses.dataclass
class Token:
    kind: str
    text: str
    line: int


def lex(text, line):
    for m in TOKEN.finditer(text):
        kind = m.lastgroup
        if kind not in ("comment", "space"):
            yield Token(kind, m[0], line)
        line += m[0].count("\n")


def closing(tokens, at):
    depth, pairs = 0, {"(": ")", "{": "}", "[": "]"}
    for i in range(at, len(tokens)):
        if tokens[i].text in pairs and tokens[i].kind == "mark":
            depth += 1
        elif tokens[i].text in pairs.values() and tokens[i].kind == "mark":
            depth -= 1
            if depth == 0:
                return i
    return len(tokens) - 1


def opening_of(tokens, at):
    depth = 0
    for i in range(at, -1, -1):
        if tokens[i].text == ")":
            depth += 1
        elif tokens[i].text == "(":
            depth -= 1
            if depth == 0:
                return i
    return 0


def split_args(tokens):
    args, now, depth = [], [], 0
    for token in tokens:
        if token.kind == "mark" and token.text in "([{":
            depth += 1
        elif token.kind == "mark" and token.text in ")]}":
            depth -= 1
        if token.text == "," and depth == 0:
            args.append(now)
            now = []
        else:
            now.append(token)
    return args + [now] if now or args else []


def params_of(tokens):
    names, types = [], []
    for arg in split_args(tokens):
        words = [t.text for t in arg if t.kind == "word"]
        names.append(words[-1] if words else "...")
        types.append("char" in words)
    return names, types


def strip(tokens):
    """Without casts and brackets around it."""
    while len(tokens) > 2 and tokens[0].text == "(":
        end = closing(tokens, 0)
        if end == len(tokens) - 1:
            tokens = tokens[1:-1]
        elif any(t.text in ("char", "gpointer", "const") for t in tokens[1:end]):
            tokens = tokens[end + 1:]
        else:
            break
    return tokens


def split_ternary(tokens):
    depth, question, nested = 0, None, 0
    for i, token in enumerate(tokens):
        if token.kind != "mark":
            continue
        if token.text in "([{":
            depth += 1
        elif token.text in ")]}":
            depth -= 1
        elif depth == 0 and token.text == "?":
            if question is None:
                question = i
            else:
                nested += 1
        elif depth == 0 and token.text == ":" and question is not None:
            if nested == 0:
                return tokens[:question], tokens[question + 1:i], tokens[i + 1:]
            nested -= 1
    return None


def calls_in(tokens):
    for i, token in enumerate(tokens):
        if token.kind == "word" and i + 1 < len(tokens) and tokens[i + 1].text == "(":
            end = closing(tokens, i + 1)
            yield token.text, split_args(tokens[i + 2:end]), token.line


def statement_end(tokens, at):
    depth = 0
    for i in range(at, len(tokens)):
        text = tokens[i].text if tokens[i].kind == "mark" else ""
        if text and text in "([{":
            depth += 1
        elif text and text in ")]}":
            depth -= 1
            if depth < 0:
                return i
        elif depth == 0 and text and text in ";,":
            return i
    return len(tokens)


def locals_of(function):
    """name -> every expression that is assigned to it."""
    known = {}
    tokens = function.body
    for i in range(1, len(tokens) - 1):
        if tokens[i].text == "=" and tokens[i - 1].kind == "word" and \
                (i < 2 or tokens[i - 2].text not in ("->", ".")):
            end = statement_end(tokens, i + 1)
            value = tokens[i + 1:end]
            # a = b = c: what a is, b is
            known.setdefault(tokens[i - 1].text, []).append(
                value[2:] if len(value) > 2 and value[1].text == "=" else value)
    # Written through a pointer: anything.
    for i in range(len(tokens) - 1):
        if tokens[i].text == "&" and tokens[i + 1].text in known and \
                tokens[i - 1].text in ("(", ","):
            known[tokens[i + 1].text].append([])
    return known


def returns_in(tokens):
    for i, token in enumerate(tokens):
        if token.text == "return":
            yield tokens[i + 1:statement_end(tokens, i + 1)]
