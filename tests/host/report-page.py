#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The report of an incident in a real browser: it shows, asks for nothing, obeys its own security policy
to the letter, and a hostile domain's name stays a name. SCREENSHOTS=FOLDER keeps what was seen."""
import html.parser
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

CTL, FIXTURES = sys.argv[1:3]
BROWSER = shutil.which("chromium")
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
failed = 0
count = 0


def check(good, name, detail=""):
    global failed, count
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    if not good:
        print("# " + str(detail)[:1500].replace("\n", "\n# "))


def browse(page, *options, home):
    done = subprocess.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                           "--hide-scrollbars", "--enable-logging=stderr", f"--user-data-dir={home}",
                           "--virtual-time-budget=2000", *options, "file://" + page],
                          capture_output=True, text=True, timeout=120, check=False)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return done.stdout, console


def colours(png):
    """How many different colours a screenshot has, and its first pixel: 8-bit RGB(A), not interlaced."""
    data = open(png, "rb").read()
    at, packed, width, step = 8, b"", 0, 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, _, _, colour = struct.unpack(">IIBB", body[:10])
            step = {2: 3, 6: 4}[colour]
        if kind == b"IDAT":
            packed += body
        at += size + 12
    raw, line, seen, last = zlib.decompress(packed), width * step, set(), bytearray(width * step)
    first = None
    for row in range(0, len(raw), line + 1):
        how, now = raw[row], bytearray(raw[row + 1:row + 1 + line])
        for i in range(line):
            a = now[i - step] if i >= step else 0
            b, c = last[i], last[i - step] if i >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            now[i] = (now[i] + (0, a, b, (a + b) // 2, paeth)[how]) & 255
        first = first or bytes(now[:3])
        seen.update(bytes(now[i:i + 3]) for i in range(0, line, step * 3))
        last = now
    return len(seen), first


class Outline(html.parser.HTMLParser):
    """Counts elements and lists what would be fetched."""
    def __init__(self):
        super().__init__()
        self.tags, self.fetched, self.title, self.headings = {}, [], None, []

    def handle_starttag(self, tag, attributes):
        if tag == "svg" and ("aria-hidden", "true") in attributes:
            return  # of the legend
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.fetched += [v for k, v in attributes if k in ("src", "href", "srcset") and not v.startswith("#")]


def main():
    if not BROWSER:
        print("Bail out! no chromium: run ./check, which installs it")
        return 99
    with tempfile.TemporaryDirectory(prefix="pcd-report-") as folder:
        keep = os.environ.get("SCREENSHOTS") or folder
        source, destination = (os.path.join(FIXTURES, name) for name in ("source.json", "destination.json"))
        page = os.path.join(folder, "report.html")
        done = subprocess.run([CTL, "incident", "report", source, "--with", destination, "--html", page],
                              capture_output=True, text=True, check=False)
        check(done.returncode == 0, "a page of both sides is written", done.stderr)
        dom, console = browse(page, "--dump-dom", home=folder + "/home")
        seen = Outline()
        seen.feed(dom)
        check(console == [], "the browser complains of nothing", console)
        check(seen.fetched == [], "nothing is asked for", seen.fetched)
        check(seen.tags.get("svg") == 1 and seen.tags.get("rect", 0) > 10 and seen.tags.get("table", 0) == 8,
              "one picture, and a table for each of its lanes", seen.tags)
        check("paused for 12.14 s" in dom and "Network is unreachable" in dom, "it says what happened", dom)
        measured = [os.path.join(FIXTURES, f"{side}-measured.json") for side in ("source", "destination")]
        subprocess.run([CTL, "incident", "report", measured[0], "--with", measured[1], "--html", page], check=True,
                       capture_output=True)
        dom, console = browse(page, "--dump-dom", home=folder + "/home")
        check(all(f">vCPU {i} waits<" in dom for i in range(4)) and 'class="retransmits"' in dom and console == [],
              "each vCPU that waited has a lane, retransmissions have one", (dom, console))
        papers = {}
        for scheme, number in (("light", 1), ("dark", 0)):
            png = os.path.join(keep, f"report-{scheme}.png")
            browse(page, f"--blink-settings=preferredColorScheme={number}", "--window-size=1100,900",
                   f"--screenshot={png}", home=folder + "/home")
            many, papers[scheme] = colours(png)
            check(many > 20, f"{scheme}: the picture and the words are there", many)
        check(min(papers["light"]) > 200 > 60 > max(papers["dark"]), "light is light and dark is dark", papers)
        pdf = os.path.join(folder, "report.pdf")
        browse(page, f"--print-to-pdf={pdf}", home=folder + "/home")
        check(os.path.exists(pdf) and os.path.getsize(pdf) > 10000, "it prints")

        evil = json.load(open(source, encoding="utf-8"))
        evil["domain"] = HOSTILE
        evil["timeline"][4].update({"type": "intent", "ticket": 1, "action": HOSTILE, "who": HOSTILE})
        with open(os.path.join(folder, "evil.json"), "w", encoding="utf-8") as out:
            json.dump(evil, out)
        subprocess.run([CTL, "incident", "report", os.path.join(folder, "evil.json"), "--html", page], check=True,
                       capture_output=True)
        dom, console = browse(page, "--dump-dom", home=folder + "/home")
        seen = Outline()
        seen.feed(dom)
        check("script" not in seen.tags and "img" not in seen.tags and console == [] and "owned</title>" not in dom
              and "&lt;script&gt;" in dom, "a hostile name is shown, not obeyed", (seen.tags, console))
    print(f"1..{count}")
    return 1 if failed else 0


sys.exit(main())
