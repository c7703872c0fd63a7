# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a terminal shows, as SVG: a still, or a recording that plays. Must not know what runs in it.

The SVG is for an <img>: no script, nothing fetched. Only CSS moves it, and where people want no motion it
is the last screen.
"""

import html
import json

import pyte
import pyte.graphics

# pyte knows no faint; it is kept in the place of italics, which nothing here uses.
pyte.graphics.TEXT[2] = "+italics"

FONT = 14
WIDTH, HEIGHT = 8.4, 18  # of a cell; most fonts are 0.6 em wide, textLength bends those that are not
MARGIN = 12
PAPER, INK, FAINT = "#0d1117", "#d7dce2", "#8b949e"
# By pyte's names, which are those of the 1970s: brown is yellow.
COLOURS = {"default": INK, "black": "#484f58", "red": "#ff7b72", "green": "#7ee787", "brown": "#e3b341",
           "blue": "#79c0ff", "magenta": "#d2a8ff", "cyan": "#76e3ea", "white": "#f0f6fc"}
TOGETHER = 0.05  # seconds; what comes within is one picture
LONGEST_WAIT = 2.0
READING, LONGEST_READING = 0.22, 4.0  # seconds a line, and for what comes at once
LAST_SCREEN = 8.0

STYLE = f"""\
text{{font:{FONT}px ui-monospace,"DejaVu Sans Mono","Cascadia Mono",Menlo,Consolas,monospace;white-space:pre;fill:{INK}}}
.b{{font-weight:bold}}.u{{text-decoration:underline}}
"""


class Style:
    """Colours and weight of a cell."""

    def __init__(self, char):
        self.ink = FAINT if char.italics and char.fg == "default" else colour(char.fg, INK)
        self.paper = colour(char.bg, None)
        if char.reverse:
            self.ink, self.paper = self.paper or PAPER, self.ink
        self.classes = " ".join(name for name, on in (("b", char.bold), ("u", char.underscore)) if on)
        self.key = (self.ink, self.paper, self.classes)

    def shows_blanks(self):
        return self.paper is not None or "u" in self.classes


def colour(name, default):
    if name == "default":
        return default
    name = name.removeprefix("bright")
    return COLOURS[name] if name in COLOURS else f"#{name}"


def number(value):
    return f"{value:.2f}".rstrip("0").rstrip(".")


def runs(line, columns):
    """[(column, text, style)] of a line, without what is blank."""
    found = []
    for column in range(columns):
        char = line[column]
        style = Style(char)
        if found and found[-1][2].key == style.key:
            found[-1][1] += char.data
        else:
            found.append([column, char.data, style])
    shown = []
    for column, text, style in found:
        if not style.shows_blanks():
            column += len(text) - len(text.lstrip(" "))
            text = text.strip(" ")
        if text:
            shown.append((column, text, style))
    return tuple(shown)


def line_to_svg(line, row):
    parts = []
    for column, text, style in line:
        x, y = MARGIN + column * WIDTH, row * HEIGHT
        width = number(len(text) * WIDTH)
        if style.paper:
            parts.append(f'<rect x="{number(x)}" y="{y}" width="{width}" height="{HEIGHT}" fill="{style.paper}"/>')
        of_class = f' class="{style.classes}"' if style.classes else ""
        # As a style: an attribute would yield to the style sheet's fill.
        fill = f' style="fill:{style.ink}"' if style.ink != INK else ""
        parts.append(f'<text x="{number(x)}" y="{y + FONT - 1}" textLength="{width}" '
                     f'lengthAdjust="spacingAndGlyphs"{of_class}{fill}>{html.escape(text, quote=False)}</text>')
    return "".join(parts)


def document(columns, rows, title, description, style, body):
    width, height = number(columns * WIDTH + 2 * MARGIN), rows * HEIGHT + 2 * MARGIN
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" \
role="img" aria-labelledby="title desc">
<title id="title">{html.escape(title)}</title>
<desc id="desc">{html.escape(description)}</desc>
<style>
{STYLE}{style}</style>
<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>
<svg y="{MARGIN}" width="{width}" height="{rows * HEIGHT}">
{body}</svg>
</svg>
"""


def still(text, columns, title, description):
    """`text` as `tmux capture-pane -e` prints it; empty lines at its end are left out."""
    lines = text.rstrip("\n").split("\n")
    screen = pyte.Screen(columns, len(lines))
    pyte.Stream(screen).feed("\r\n".join(lines))
    shown = [runs(screen.buffer[row], columns) for row in range(len(lines))]
    while shown and not shown[-1]:
        shown.pop()
    body = "".join(line_to_svg(line, row) + "\n" for row, line in enumerate(shown))
    return document(columns, len(shown), title, description, "", body)


class Recording:
    """A recording as one long column of lines that a window of `rows` lines looks at.

    lines    {number from the top of the column: [(when it looks like that, runs)]}
    window   [(when, the first line that is seen)]
    """

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            head = json.loads(file.readline())
            events = [json.loads(line) for line in file]
        self.columns, self.rows = head["width"], head["height"]
        self.lines, self.window, self.last = {}, [(0.0, 0)], 0
        self._screen = pyte.HistoryScreen(self.columns, self.rows, history=100000)
        stream = pyte.Stream(self._screen)
        shown = before = 0.0
        for i, (now, kind, data) in enumerate(events):
            if kind != "o":
                continue
            stream.feed(data)
            if i + 1 < len(events) and events[i + 1][0] - now < TOGETHER:
                continue
            news = self._look(shown)
            after = events[i + 1][0] - now if i + 1 < len(events) else LAST_SCREEN
            before = shown
            shown += max(min(after, LONGEST_WAIT if i + 1 < len(events) else LAST_SCREEN),
                         min(news * READING, LONGEST_READING))
        self.seconds = shown
        self.last_change = before

    def _look(self, when):
        """Notes what is new on the screen; returns how many lines that is."""
        top = len(self._screen.history.top)
        if top != self.window[-1][1]:
            self.window.append((when, top))
        news = 0
        above = list(self._screen.history.top)
        for place in range(self.window[-2][1] if len(self.window) > 1 else 0, top + self.rows):
            line = above[place] if place < top else self._screen.buffer[place - top]
            line = runs(line, self.columns)
            versions = self.lines.setdefault(place, [])
            if [r[:2] + r[2].key for r in line] != [r[:2] + r[2].key for r in (versions[-1][1] if versions else ())]:
                versions.append((when, line))
                news += 1
                self.last = max(self.last, place)
        return news


def percent(when, recording):
    return number(100 * when / recording.seconds) + "%"


def playing(recording, title, description):
    """The lines that appear together are a group with the moment of their appearance."""
    groups = {}
    for place, versions in sorted(recording.lines.items()):
        for i, (when, line) in enumerate(versions):
            until = versions[i + 1][0] if i + 1 < len(versions) else None
            groups.setdefault((when, until), []).append(line_to_svg(line, place))
    style = [f".w,.g{{animation:{number(recording.seconds)}s step-end infinite}}"]
    steps = "".join(f"{percent(when, recording)}{{transform:translateY({-top * HEIGHT}px)}}"
                    for when, top in recording.window)
    style.append(f".w{{animation-name:w;transform:translateY({-recording.window[-1][1] * HEIGHT}px)}}@keyframes w{{{steps}}}")
    body = ['<g class="w">']
    for i, ((when, until), lines) in enumerate(sorted(groups.items(), key=lambda g: g[0][0])):
        hidden = "" if until is None else "visibility:hidden;"
        style.append(f".g{i}{{{hidden}animation-name:g{i}}}@keyframes g{i}{{0%{{visibility:hidden}}"
                     f"{percent(when, recording)}{{visibility:visible}}"
                     + (f"{percent(until, recording)}{{visibility:hidden}}" if until is not None else "") + "}")
        body.append(f'<g class="g g{i}">' + "\n".join(lines) + "</g>")
    body.append("</g>\n")
    style.append("@media (prefers-reduced-motion:reduce){.w,.g{animation:none}}\n")
    return document(recording.columns, recording.rows, title, description, "\n".join(style), "\n".join(body))
