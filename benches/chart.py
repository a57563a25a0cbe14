#!/usr/bin/env python3
"""Tables and a chart from what `cargo bench --bench peers` wrote.

    python3 benches/chart.py                    README.md, docs/speed.md and docs/speed.svg, from target/peers/*.jsonl
    python3 benches/chart.py --print [file]...  the full table on standard output, from these files

In Markdown, what stands between `<!-- peers:begin -->` and `<!-- peers:end -->` is written anew, with one row a case;
after `<!-- peers:begin full -->`, with one row for each case and mode; after `<!-- peers:begin headline -->`, with what
the chart shows. Files without these marks are left alone.
"""

import argparse
import datetime
import glob
import html
import json
import os
import platform
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OURS = "pushpull"
COMMAND = "cargo bench --bench peers"

# Headline cases of the chart: bench, case, mode, title. What was not measured is left out.
PICKED = [
    ("queue", "u64/1024/1P1C", "CT", "queue, one by one: one thread"),
    ("queue", "u64/1024/4P4C", "MT2", "queue, one by one: 4 producers, 4 consumers, two workers"),
    ("queue", "u64/1024/1P1C", "XT", "queue, one by one: from thread to thread"),
    ("queue", "push 64, pull 256/1024/1P1C", "XT", "queue, in bulk: from thread to thread"),
    ("batch", "push/1P1C", "CT", "queue to batches of 100: one thread"),
    ("batch", "push/4P1C", "MT2", "queue to batches of 100: 4 producers, two workers"),
    ("batch", "push/1P1C", "XT", "queue to batches of 100: from thread to thread"),
    ("broadcast", "u64/1024/1 to 8", "CT", "broadcast to 8 subscribers who see everything: one thread, a delivery"),
    ("broadcast", "u64/1024/1 to 64", "MT2", "broadcast to 64 subscribers who see everything: two workers, a delivery"),
    ("rate", "does not bind/on a stream", "CT", "rate limit that does not bind, on a stream: one thread"),
    ("chain", "u64/1024/1P", "CT", "queue, batches, rate limit, pump: one thread"),
    ("chain", "u64/1024/4P", "MT2", "queue, batches, rate limit, pump: 4 producers, two workers"),
]


class Cell:
    """One case in one mode: ours, the best peer, and the tokio glue where there is one."""

    def __init__(self, lines):
        figure = lambda line: line.get("median_ns", line.get("bytes"))
        self.unit = "bytes" if "bytes" in lines[0] else "ns"
        ours = [line for line in lines if line["contender"] == OURS]
        others = [line for line in lines if line.get("role", "peer") in ("peer", "glue") and line not in ours]
        glue = [line for line in others if line.get("role") == "glue"]
        best = lambda them: min(((figure(line), line["contender"]) for line in them), default=None)
        self.ours = figure(ours[0]) if ours else None
        self.peer = best(others)
        self.glue = best(glue)
        self.rounds = min((line["rounds"] for line in lines if "rounds" in line), default=None)

    def ratio(self, other):
        return other[0] / self.ours if other and self.ours else None


def read(paths):
    """Cells by (bench, case, mode), in the order of the files; and all contenders' names."""
    grouped, names = {}, set()
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in map(json.loads, filter(str.strip, file)):
                grouped.setdefault((line["bench"], line["case"], line["mode"]), []).append(line)
                names.add(line["contender"])
    return {key: Cell(lines) for key, lines in grouped.items()}, names


def number(value):
    if value is None:
        return ""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(ratio):
    return f"{ratio:.1f} ×" if ratio >= 9.95 else f"{ratio:.2f} ×"


def short(name):
    """Without what it was combined with."""
    return name.split(" + ")[0]


def compact_cell(cell):
    if cell is None or cell.ours is None:
        return ""
    parts = [f"{number(cell.ours)} {cell.unit}"]
    if cell.peer:
        parts.append(f"{times(cell.ratio(cell.peer))} {short(cell.peer[1])}")
    if cell.glue and cell.glue[1] != (cell.peer or (0, ""))[1]:
        parts.append(f"{times(cell.ratio(cell.glue))} tokio")
    return ", ".join(parts)


def benches(cells):
    return list(dict.fromkeys(bench for bench, _, _ in cells))


def compact(cells):
    """A table a bench: a row a case, a column a mode."""
    text = []
    for bench in benches(cells):
        cases = list(dict.fromkeys(case for b, case, _ in cells if b == bench))
        modes = list(dict.fromkeys(mode for b, _, mode in cells if b == bench))
        text += ["", f"| {bench} | {' | '.join(modes)} |", "|---" * (len(modes) + 1) + "|"]
        for case in cases:
            row = [compact_cell(cells.get((bench, case, mode))) for mode in modes]
            text.append(f"| {case} | {' | '.join(row)} |")
    return text


def full(cells):
    """A table a bench: a row for each case and mode."""
    text = []
    for bench in benches(cells):
        text += ["", f"| {bench} | mode | {OURS} | best peer | best peer / ours | tokio glue | tokio glue / ours |"]
        text.append("|---|---|--:|---|--:|--:|--:|")
        for (b, case, mode), cell in cells.items():
            if b != bench or cell.ours is None:
                continue
            peer = f"{cell.peer[1]}: {number(cell.peer[0])}" if cell.peer else ""
            glue = number(cell.glue[0]) if cell.glue else ""
            ratios = [times(cell.ratio(other)) if other else "" for other in (cell.peer, cell.glue)]
            unit = " bytes" if cell.unit == "bytes" else ""
            text.append(f"| {case} | {mode} | {number(cell.ours)}{unit} | {peer} | {ratios[0]} | {glue} | {ratios[1]} |")
    return text


def headline(cells):
    """One table: the cases of the chart."""
    text = ["", f"| nanoseconds an item | {OURS} | best peer | | tokio | |", "|---|--:|---|--:|--:|--:|"]
    for bench, case, mode, title in PICKED:
        cell = cells.get((bench, case, mode))
        if cell is None or not cell.ours:
            continue
        peer = f"{cell.peer[1]}: {number(cell.peer[0])}" if cell.peer else ""
        glue = number(cell.glue[0]) if cell.glue else ""
        ratios = [times(cell.ratio(other)) if other else "" for other in (cell.peer, cell.glue)]
        text.append(f"| {title} | {number(cell.ours)} | {peer} | {ratios[0]} | {glue} | {ratios[1]} |")
    return text


def behind(cells):
    """Where a peer wins, said in words."""
    lost = [(key, cell) for key, cell in cells.items() if cell.peer and cell.ours and cell.ratio(cell.peer) < 0.995]
    if not lost:
        return "No peer is ahead in any of these cases."
    whole = sum(1 for cell in cells.values() if cell.peer and cell.ours)
    if len(lost) > 12:
        winners = sorted({short(cell.peer[1]) for _, cell in lost})
        return f"A peer is ahead in {len(lost)} of {whole} cells (ratio below 1): {', '.join(winners)}."
    named = [f"{short(c.peer[1])} in {b}, {case}, {mode} ({times(c.ratio(c.peer))})" for (b, case, mode), c in lost]
    return f"A peer is ahead in {len(lost)} of {whole} cells: {'; '.join(named)}."


def output(*command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.MULTILINE)
    except OSError:
        model = None
    name = model.group(1) if model else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def versions(names):
    """Of the crates that the contenders are named after."""
    words = {word for name in names for word in re.split(r"[^\w-]+", name)}
    metadata = output("cargo", "metadata", "--format-version", "1", "--locked")
    packages = json.loads(metadata)["packages"] if metadata else []
    found = {}
    for package in packages:
        if package["name"] in words and package["source"]:
            key = lambda version: [int(part) for part in re.findall(r"\d+", version)]
            found[package["name"]] = max(found.get(package["name"], "0"), package["version"], key=key)
    return [f"{name} {version}" for name, version in sorted(found.items())]


def provenance(cells, names, paths):
    day = datetime.date.fromtimestamp(max(os.path.getmtime(path) for path in paths)).isoformat()
    rounds = min((cell.rounds for cell in cells.values() if cell.rounds), default=None)
    rustc = " ".join(output("rustc", "-V").split()[:2])
    where = f"{machine()}; {rustc}; {day}"
    how = f"`{COMMAND}`" + (f", medians of {rounds} rounds" if rounds else "")
    return f"{how}. {where}. {', '.join(versions(names))}.", where


def markdown(cells, facts, table):
    said = "Nanoseconds an item (or bytes); a ratio is the other's figure divided by ours: above 1 we are ahead."
    return "\n".join([facts, said, *table(cells), "", behind(cells)])


def rewrite(path, cells, facts):
    """Puts tables between the marks of a file; says whether there were any."""
    if not os.path.exists(path):
        return False
    with open(path, encoding="utf-8") as file:
        before = file.read()
    marks = re.compile(r"(<!-- peers:begin( full| headline)? -->\n).*?(<!-- peers:end -->)", re.DOTALL)
    tables = {None: compact, " full": full, " headline": headline}
    fill = lambda found: f"{found[1]}\n{markdown(cells, facts, tables[found[2]])}\n\n{found[3]}"
    after, count = marks.subn(fill, before)
    if after != before:
        with open(path, "w", encoding="utf-8") as file:
            file.write(after)
    return count > 0


STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #24292f; }
.title { font-weight: 600; } .small { font-size: 11px; fill: #57606a; }
.ours { fill: #2f81f7; } .peer { fill: #8c959f; } .glue { fill: #bf8f5a; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .small { fill: #9198a1; } }
"""


def svg(cells, where):
    """Three bars a case: ours, the best peer, what is written with tokio today."""
    left, wide, right, bar, step = 220, 420, 70, 14, 18
    body, y = [], 52
    for bench, case, mode, title in PICKED:
        cell = cells.get((bench, case, mode))
        if cell is None or not cell.ours:
            continue
        bars = [("ours", OURS, cell.ours)]
        if cell.peer and cell.peer != cell.glue:
            bars.append(("peer", cell.peer[1], cell.peer[0]))
        if cell.glue:
            bars.append(("glue", cell.glue[1], cell.glue[0]))
        longest = max(value for _, _, value in bars)
        body.append(f'<text class="title" x="10" y="{y}">{html.escape(title)}</text>')
        y += 8
        for kind, name, value in bars:
            width = max(1, round(wide * value / longest))
            body.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{html.escape(name)}</text>')
            body.append(f'<rect class="{kind}" x="{left}" y="{y}" width="{width}" height="{bar}" rx="2"/>')
            body.append(f'<text x="{left + width + 6}" y="{y + 11}">{number(value)} ns</text>')
            y += step
        y += 22
    total = left + wide + right
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {y + 8}" width="{total}" height="{y + 8}" role="img">',
        "<title>pushpull beside its peers: nanoseconds an item</title>",
        f"<style>{STYLE}</style>",
        '<text class="title" x="10" y="20">Nanoseconds an item: shorter is faster, each case on its own scale</text>',
    ]
    foot = [f'<text class="small" x="10" y="{y}">{html.escape(where)}</text>', "</svg>", ""]
    return "\n".join(head + body + foot)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print the full table and write no file")
    parser.add_argument("files", nargs="*", help="JSON lines; target/peers/*.jsonl if none are named")
    arguments = parser.parse_args()
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    paths = arguments.files or sorted(glob.glob(os.path.join(target, "peers", "*.jsonl")))
    if not paths:
        sys.exit(f"no figures yet: run `{COMMAND}` first")
    order = ["queue", "batch", "chain", "broadcast", "rate", "growth", "waiting", "heap"]
    rank = lambda path: (os.path.basename(path).split(".")[0] + " ").split()[0]
    paths.sort(key=lambda path: order.index(rank(path)) if rank(path) in order else len(order))
    cells, names = read(paths)
    facts, where = provenance(cells, names, paths)
    if arguments.print:
        print(markdown(cells, facts, full))
        return
    for name in ("README.md", os.path.join("docs", "speed.md")):
        if rewrite(os.path.join(ROOT, name), cells, facts):
            print(f"wrote {name}")
    chart = os.path.join(ROOT, "docs", "speed.svg")
    os.makedirs(os.path.dirname(chart), exist_ok=True)
    with open(chart, "w", encoding="utf-8") as file:
        file.write(svg(cells, where))
    print("wrote docs/speed.svg")


if __name__ == "__main__":
    main()
