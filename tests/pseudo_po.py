# SPDX-License-Identifier: LGPL-2.1-or-later
"""A language that nobody speaks, made of postcopyctl's own words: what is not in its brackets, a
translator could not have translated.

Every piece of text between two directives of printf has brackets of its own, accents, and is a
third longer and wider; so what comes by %s stands outside of them.
"""
import os
import re
import shutil
import subprocess
import unicodedata

LANGUAGE = "qps"
DIRECTIVE = re.compile(r"%(?:\d+\$)?[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|z|j)?"
                       r"(?:[diouxXeEfgGcsp%]|<\w+>)")
ACCENTS = str.maketrans("aceginosuyzACEGINOSUYZ", "áćéǵíńóśúýźÁĆÉǴÍŃÓŚÚÝŹ")
WIDE, COMBINING = "語", "x\u0301"
BRACKETED = re.compile("⟦[^⟦⟧]*⟧")
WORD = re.compile(r"[^\W\d_]{2,}")


def have_tools():
    return all(map(shutil.which, ("xgettext", "msgfmt")))


def run(*argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, **more)


def po_dir(root):
    return os.path.join(root, "daemon", "po")


def potfiles(root):
    with open(os.path.join(po_dir(root), "POTFILES"), encoding="utf-8") as f:
        return [line.strip() for line in f if line.strip() and not line.startswith("#")]


def make_pot(root, pot):
    """As `ninja postcopyd-pot` does. Returns what xgettext complains of."""
    with open(os.path.join(po_dir(root), "meson.build"), encoding="utf-8") as f:
        args = re.findall(r"'(--[^']*)'", f.read().split("pcd_xgettext_args = [")[1].split("]")[0])
    done = run("xgettext", *args, "--package-name=postcopyd", f"--directory={root}",
               f"--files-from={po_dir(root)}/POTFILES", f"--output={pot}")
    assert done.returncode == 0, done.stderr
    return done.stderr


def messages(pot):
    """(msgid, msgid_plural or None) of every entry but the first."""
    found, field, entry = [], None, {}
    with open(pot, encoding="utf-8") as f:
        for line in [*f, "msgid \"\"\n"]:
            start = re.match(r"(msgid|msgid_plural|msgstr)(?:\[\d\])? \"", line)
            if start:
                field = start[1]
                if field == "msgid" and entry:
                    found.append((entry["msgid"], entry.get("msgid_plural")))
                    entry = {}
                entry.setdefault(field, "")
                line = line[line.index('"'):]
            if line.startswith('"') and field != "msgstr":
                entry[field] += unescape(line.rstrip()[1:-1])
    return [pair for pair in found if pair[0]]


def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text)


def escape(text):
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")


def bracket(piece):
    if not WORD.search(piece) and not re.search(r"[A-Za-z]", piece):
        return piece
    head, body, tail = re.fullmatch(r"(\s*)(.*?)(\s*)", piece, re.S).groups()
    return f"{head}⟦{body.translate(ACCENTS)}{COMBINING}{WIDE * (1 + len(body) // 6)}⟧{tail}"


def pseudo(text):
    """What a translator might have made of a msgid."""
    at, out = 0, []
    for directive in [*DIRECTIVE.finditer(text), None]:
        end = directive.start() if directive else len(text)
        out += ["\n".join(map(bracket, text[at:end].split("\n")))]
        if directive:
            out.append(directive[0])
            at = directive.end()
    return "".join(out)


def install(root, directory):
    """Makes the language under @directory. Returns the environment that speaks it."""
    pot = os.path.join(directory, "postcopyd.pot")
    po = os.path.join(directory, f"{LANGUAGE}.po")
    make_pot(root, pot)
    with open(po, "w", encoding="utf-8") as f:
        f.write('msgid ""\nmsgstr ""\n"MIME-Version: 1.0\\n"\n'
                f'"Language: {LANGUAGE}\\n"\n'
                '"Content-Type: text/plain; charset=UTF-8\\n"\n'
                '"Content-Transfer-Encoding: 8bit\\n"\n'
                '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n')
        for one, many in messages(pot):
            f.write(f'\n#, c-format\nmsgid "{escape(one)}"\n')
            if many is None:
                f.write(f'msgstr "{escape(pseudo(one))}"\n')
            else:
                f.write(f'msgid_plural "{escape(many)}"\nmsgstr[0] "{escape(pseudo(one))}"\n'
                        f'msgstr[1] "{escape(pseudo(many))}"\n')
    target = os.path.join(directory, "locale", LANGUAGE, "LC_MESSAGES")
    os.makedirs(target)
    done = run("msgfmt", "--check-format", "-o", os.path.join(target, "postcopyd.mo"), po)
    assert done.returncode == 0, done.stderr
    return speaking(directory)


def speaking(directory):
    """glibc asks LANGUAGE only in a locale that is not plain C."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": LANGUAGE,
            "POSTCOPYCTL_LOCALEDIR": os.path.join(directory, "locale"), "COLUMNS": "80"}


def english():
    return {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "", "COLUMNS": "80"}


def leftovers(text, allowed):
    """Lines that have words outside of all brackets which no regular expression of @allowed takes
    away."""
    bad = []
    for line in text.splitlines():
        rest = BRACKETED.sub(" ", line)
        for pattern in allowed:
            rest = re.sub(pattern, " ", rest)
        if WORD.search(rest):
            bad.append(f"{rest.strip()!r} of {line!r}")
    return bad


def width(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
               for c in text)


def columns(line):
    """Where, in columns of a terminal, its bracketed words begin."""
    return [width(line[:m.start()]) for m in BRACKETED.finditer(line)]


def column_char(line, column):
    """The character there; '' behind the end."""
    used = 0
    for c in line:
        if used >= column and not unicodedata.combining(c):
            return c if used == column else "?"
        used += width(c)
    return ""


def crooked(head, rows):
    """Rows that have no cell where each title of @head begins."""
    return [row for row in rows for column in columns(head)
            if column_char(row, column).isspace() or column_char(row, column) == ""
            or (column > 0 and not column_char(row, column - 1).isspace())]
