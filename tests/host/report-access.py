#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The report of an incident for those who use a keyboard, a screen reader, or need contrast, in a real
browser: its accessibility tree, its focus, its computed colours, and that it asks nobody for anything."""
import collections
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from devtools import BROWSER, Page  # noqa: E402

CTL, FIXTURES = sys.argv[1:3]
TAB, ENTER, RIGHT = ("Tab", 9), ("Enter", 13), ("ArrowRight", 39)
failed = 0
count = 0

# Each text with the contrast of its colour to what is behind it: in the picture, the bar before it or the
# page; elsewhere, the nearest background that is not transparent. Each shape with its own to the page. And
# the style sheet's colours, as not every page has all of them.
CONTRAST = """(() => {
  const part = c => { c /= 255; return c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4; };
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = c => .2126 * part(c[0]) + .7152 * part(c[1]) + .0722 * part(c[2]);
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)];
    return (Math.max(x, y) + .05) / (Math.min(x, y) + .05); };
  const paper = parse(getComputedStyle(document.body).backgroundColor);
  const behind = element => {
    if (element.closest("svg")) {
      const bar = element.matches(".bar") && element.parentNode.querySelector("rect");
      return bar ? parse(getComputedStyle(bar).fill) : paper;
    }
    for (; element; element = element.parentElement) {
      const c = parse(getComputedStyle(element).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return paper;
  };
  const texts = [], shapes = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walk.nextNode();) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest("title,desc")) continue;
    const style = getComputedStyle(element);
    const colour = parse(element.closest("svg") ? style.fill : style.color);
    texts.push([node.data.slice(0, 30), ratio(colour, behind(element))]);
  }
  for (const shape of document.querySelectorAll("svg rect, svg circle"))
    shapes.push([shape.getAttribute("class"), ratio(parse(getComputedStyle(shape).fill), paper)]);
  const own = getComputedStyle(document.documentElement);
  const named = (name, other) => [name, ratio(...[name, other].map(n => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.setProperty("color", own.getPropertyValue(n));
    const c = parse(getComputedStyle(probe).color);
    probe.remove();
    return c;
  }))];
  const palette = [named("--ink", "--paper"), named("--faint", "--paper")];
  for (const bar of ["--good", "--warn", "--bad", "--calm", "--dull"]) palette.push(named(bar, "--bar"));
  return {texts, shapes, palette};
})()"""
FOCUS = """(() => {
  const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
  const all = [...document.querySelectorAll("*")];
  return {at: all.indexOf(e), tag: e.tagName, label: e.getAttribute("aria-label") || e.textContent.slice(0, 40),
    ring: e.matches(":focus-visible") && s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1,
    seen: r.right > 0 && r.bottom > 0 && r.left < innerWidth && r.top < innerHeight && r.width > 0,
    inWords: !!e.closest("#words"), left: e.scrollLeft};
})()"""


def check(good, name, detail=""):
    global failed, count
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    if not good:
        print("# " + str(detail)[:1500].replace("\n", "\n# "))


def asks_nobody(page, path):
    check(page.requests == ["file://" + path], "nothing but the page is asked for", page.requests)
    check(page.complaints == [], "the browser complains of nothing", page.complaints)
    policy = page.run("document.querySelector('head meta[http-equiv=Content-Security-Policy]').content")
    check(policy.startswith("default-src 'none'; style-src 'sha256-") and policy.count(";") == 1,
          "its policy forbids everything but its own style sheet", policy)
    page.run("""new Promise(done => {
      const image = document.createElement("img");
      image.onerror = image.onload = done;
      image.src = "https://203.0.113.1/spy.png";
      document.body.append(image);
      image.remove();
    }).then(() => 1)""")
    check(any("Content Security Policy" in text for text in page.complaints), "and is in force", page.complaints)


def reads_well(page, sides):
    told = page.accessible()
    roles = collections.Counter(role for role, _, _ in told)
    check(roles["main"] == 1 and page.run("document.documentElement.lang") == "en" and page.run("document.title"),
          "one main landmark, a language, a title", roles)
    levels = [int(properties["level"]) for role, _, properties in told if role == "heading"]
    check(levels[0] == 1 and levels.count(1) == 1 and len(levels) == 2 + sides
          and all(b <= a + 1 for a, b in zip(levels, levels[1:])), "headings in order", levels)
    regions = [name for role, name, _ in told if role == "region"]
    check(len(regions) > 4 and all(regions) and len(set(regions)) == len(regions),
          "each region has a name of its own", regions)
    tables = [name for role, name, _ in told if role == "table"]
    check(len(tables) == len(regions) - 1 and all(tables) and len(set(tables)) == len(tables),
          "each table has a caption of its own", tables)
    check(page.run("[...document.querySelectorAll('table')].every(t => t.caption && t.tHead.rows.length === 1 &&"
                   " [...t.tHead.rows[0].cells].every(c => c.tagName === 'TH' && c.scope === 'col') &&"
                   " [...t.tBodies[0].rows].every(r => r.cells.length === t.tHead.rows[0].cells.length))"),
          "each column has a header with its scope")
    check(roles["columnheader"] == page.run("document.querySelectorAll('th').length") > 0,
          "and is read as one", roles)
    pictures = [(name, properties["description"]) for role, name, properties in told if role in ("image", "img")]
    check(len(pictures) == 1 and pictures[0][0] == "What happened when" and "tables below" in pictures[0][1],
          "one picture, with a name and a description", pictures)


def has_a_legend(page):
    told = page.accessible()
    lists = [name for role, name, _ in told if role == "list"]
    keys = page.run("[...document.querySelectorAll('.legend li')].map(e => e.innerText.trim())")
    check(lists == ["What the colours of the picture mean"] and len(keys) == 7 and all(keys)
          and [role for role, _, _ in told].count("listitem") == 7, "a legend, in words", (lists, keys))
    check(page.run("""(() => {
      const look = e => e.tagName + getComputedStyle(e).fill;
      const keys = [...document.querySelectorAll(".legend svg > *")].map(look);
      const shown = [...document.querySelectorAll("svg[role=img] rect, svg[role=img] circle")].map(look);
      return new Set(keys).size === 7 && shown.length > 3 && shown.every(s => keys.includes(s));
    })()"""), "it has each shape and colour of the picture, once")


def can_be_used_by_keyboard(page):
    stops = []
    for _ in range(60):
        page.press(*TAB)
        stop = page.run(FOCUS)
        if stop["tag"] == "BODY" or (stops and stop["at"] == stops[0]["at"]):
            break
        stops.append(stop)
    wanted = page.run("document.querySelectorAll('a[href], summary, [tabindex=\"0\"]').length")
    check(len(stops) == wanted > 6, "the keyboard comes to all that can be used", (wanted, stops))
    check([stop["at"] for stop in stops] == sorted(stop["at"] for stop in stops), "in the order of the page", stops)
    check(all(stop["ring"] for stop in stops), "and shows where it is",
          [stop for stop in stops if not stop["ring"]])
    check(all(stop["seen"] for stop in stops), "nothing that has the focus is out of sight",
          [stop for stop in stops if not stop["seen"]])
    check(stops[0]["tag"] == "A" and stops[0]["label"] == "Skip the picture", "first comes a way past the picture",
          stops[0])
    page.run("document.activeElement.blur()")
    page.run("document.querySelector('.skip').focus()")
    page.press(*ENTER)
    page.press(*TAB)
    stop = page.run(FOCUS)
    check(page.run("location.hash") == "#words" and stop["inWords"], "which leads to the words", stop)


def fits(page):
    """WCAG 1.4.10: at 320 pixels only what is wide by nature is scrolled sideways, and by keyboard, too."""
    page.width(320)
    check(page.run("document.documentElement.scrollWidth") <= 320, "a narrow page needs no sideways scrolling",
          page.run("document.documentElement.scrollWidth"))
    page.run("document.querySelector('.scroll').focus()")
    for _ in range(3):
        page.press(*RIGHT)
    page.run("new Promise(done => setTimeout(done, 500)).then(() => 1)")
    check(page.run(FOCUS)["left"] > 0, "the picture is scrolled by keyboard")
    page.width(1100)


def contrasts(page):
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        seen = page.run(CONTRAST)
        worst = sorted(seen["texts"], key=lambda pair: pair[1])
        check(len(worst) > 100 and worst[0][1] >= 4.5, f"{scheme}: text has a contrast of {worst[0][1]:.2f}", worst[:5])
        worst = sorted(seen["palette"], key=lambda pair: pair[1])
        check(worst[0][1] >= 4.5, f"{scheme}: all of its colours, one of {worst[0][1]:.2f}", worst)
        worst = sorted(seen["shapes"], key=lambda pair: pair[1])
        check(len(worst) > 10 and worst[0][1] >= 3, f"{scheme}: shapes have one of {worst[0][1]:.2f}", worst[:5])


def look(folder, page, names):
    path = os.path.join(folder, "report.html")
    files = [os.path.join(FIXTURES, name) for name in names]
    with_peer = ["--with", files[1]] if len(files) > 1 else []
    subprocess.run([CTL, "incident", "report", files[0], *with_peer, "--html", path], check=True,
                   capture_output=True)
    print(f"# {' and '.join(names)}")
    page.open(path)
    can_be_used_by_keyboard(page)
    reads_well(page, len(names))
    has_a_legend(page)
    contrasts(page)
    fits(page)
    asks_nobody(page, path)


def main():
    if not BROWSER:
        print("Bail out! no chromium: run ./check, which installs it")
        return 99
    with tempfile.TemporaryDirectory(prefix="pcd-report-") as folder:
        page = Page(folder + "/home")
        try:
            look(folder, page, ["source-measured.json", "destination-measured.json"])
            look(folder, page, ["destination.json"])
        finally:
            page.close()
    print(f"1..{count}")
    return 1 if failed else 0


sys.exit(main())
