#!/usr/bin/env python3
"""Makes the tables of docs/performance.md and its plots of what `make bench` measured.

Only what stands between the page's markers is made here; the prose around them is written by hand. A section that
was not measured is left out.
"""

import argparse
import json
import math
import re
import subprocess
from pathlib import Path

OURS = "user-sync-consumer"
LIMIT = "the same SQL by pgbench"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs")
    parser.add_argument("--functions", type=Path, help="what `cargo bench --bench functions` printed, to be kept")
    options = parser.parse_args()
    folder, page = options.docs / "performance", options.docs / "performance.md"
    file = folder / "results.json"
    if options.functions:
        results = json.loads(file.read_text()) if file.exists() else {}
        results["functions"] = {"machine": build(), "rows": functions_of(options.functions.read_text())}
        folder.mkdir(parents=True, exist_ok=True)
        # As the harness writes it, so that the two do not undo each other's order.
        file.write_text(json.dumps(results, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    if not file.exists():
        parser.error(f"{file} is not there yet: `make bench` writes it")
    results = json.loads(file.read_text())
    page.write_text(between_markers(page.read_text(), render(results)))
    plot(results, folder)


def between_markers(page, text):
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{text}\n{END}{tail}"


def render(results):
    """The generated part of the page."""
    results = {name: section for name, section in results.items() if section}
    parts = [ratios(results)]
    for name, section in [
        ("drain", drain),
        ("renames", renames),
        ("trigger", trigger),
        ("growth", growth),
        ("freshness", freshness),
        ("contexts", contexts),
        ("functions", functions),
    ]:
        if name in results:
            parts.append(section(results[name]))
    parts.append(machine(results))
    return "\n\n".join(part for part in parts if part)


# --- figures and tables


def number(value):
    """Three digits that say something: 29,800, 25.7, 0.0412."""
    if not value:
        return "0"
    rounded = float(f"{value:.2e}")
    return f"{rounded:,.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"


def median(figure):
    return figure["median"] if isinstance(figure, dict) else figure


def spread(figure, show=number):
    """A median with the least and the greatest; zero is what was not measured."""
    if not figure or not median(figure):
        return "-"
    if not isinstance(figure, dict) or figure.get("runs") == 1:
        return show(median(figure))
    return f"{show(figure['median'])} ({show(figure['min'])} to {show(figure['max'])})"


def milliseconds(value):
    return f"{number(value)} ms"


def megabytes(size):
    return f"{number(size / 1e6)} MB"


def times(value):
    return f"{value:.2f}"


def percent(value):
    return f"{value * 100:.1f} %"


def table(head, rows, words=False):
    """A Markdown table; all columns but the first hold figures, unless it is one of words."""
    lines = [head, ["---", *["---" if words else "---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def runs(figures):
    """What is said of the runs that the figures of a section come from."""
    counts = {figure["runs"] for figure in figures if isinstance(figure, dict) and "runs" in figure}
    if not counts:
        return ""
    if max(counts) == 1:
        return "One run each."
    least, most = min(counts), max(counts)
    count = f"{least}" if least == most else f"{least} to {most}"
    return f"Medians of {count} runs, with the least and the greatest."


# --- the ratios, against what is wanted of them

AT_LEAST, AT_MOST = "at least", "at most"


def ratios(results):
    rows = []
    for what, bound, wanted, show, measured in all_ratios(results):
        if wanted is None:
            rows.append([what, "-", show(measured), "-"])
        else:
            met = measured >= wanted if bound == AT_LEAST else measured <= wanted
            rows.append([what, f"{bound} {show(wanted)}", show(measured), "yes" if met else "**no**"])
    wanted = "*Wanted* is what this project set itself; a dash, where it set nothing.\n\n"
    return "## In short\n\n" + wanted + table(["what", "wanted", "measured", "met"], rows) if rows else ""


# What is wanted of each ratio; None where nothing was set.
WANTED = {
    "limit": 0.8,
    "limit_single": None,
    "Python, Powertools, a row at a time": 15,
    "Python, psycopg, unnest": 3,
    "cpu": None,
    "start": 25,
    "memory": 128,
    "growth": 0.8,
    "ledger": None,
    "memory_short": None,
    "hot": None,
    "hot_user": 0.5,
    "redelivered": None,
    "shared": None,
    "fresh": None,
    "cold, Python, boto3": 15,
    "cold, Node.js, SDK v3": 10,
    "warm": 0.2,
    "binary": 4e6,
}


def all_ratios(results):
    """What the page opens with, as (what, bound, wanted, form, measured)."""
    yield from drain_ratios(results.get("drain", {}))
    yield from renames_ratios(results.get("renames", {}))
    yield from trigger_ratios(results.get("trigger", {}))
    yield from growth_ratios(results.get("growth", {}))
    yield from freshness_ratios(results.get("freshness", {}))


def drain_ratios(section):
    cells = Cells(section)
    if not cells.batches:
        return
    processes = max(cells.processes)
    sizes = [1000 if 1000 in cells.batches else max(cells.batches), 1]
    for batch, suffix in zip(sizes, ["", "_single"]):
        ours, limit = cells.rate(OURS, batch, processes), cells.rate(LIMIT, batch, processes)
        peers = {name: cells.rate(name, batch, processes) for name in cells.peers}
        peers = {name: rate for name, rate in peers.items() if rate}
        at = f"batches of {batch:,}, {count(processes, 'process', 'processes')}"
        if ours and limit:
            yield f"events/s over those of {LIMIT}: {at}", AT_LEAST, WANTED["limit" + suffix], times, ours / limit
        if ours and peers:
            for peer, rate in peers.items():
                wanted = None if suffix else WANTED.get(peer)
                yield f"events/s over those of {peer}: {at}", AT_LEAST, wanted, times, ours / rate
    batch = sizes[0]
    ours = cells.figure("cpu_us_per_event", OURS, batch, processes)
    peers = {name: cells.figure("cpu_us_per_event", name, batch, processes) for name in cells.peers}
    peers = {name: cpu for name, cpu in peers.items() if cpu}
    if ours and peers:
        best = min(peers, key=peers.get)
        what = f"processor time an event over that of the thriftiest peer ({best}): batches of {batch:,}"
        yield what, AT_MOST, WANTED["cpu"], times, ours / peers[best]
    start = cells.figure("start_cpu_ms", OURS, batch, processes)
    if start:
        yield f"processor time of a cold start of `{OURS}`", AT_MOST, WANTED["start"], milliseconds, start
    memory = cells.get("peak_rss_mb", OURS, batch, processes)
    if memory:
        what = f"the most memory that `{OURS}` held, batches of {batch:,}"
        yield what, AT_MOST, WANTED["memory"], lambda mb: megabytes(mb * 1e6), memory["max"]


def renames_ratios(section):
    for batch, processes, peer, ratio in Cells(section).over_peers():
        at = f"batches of {batch:,}, {count(processes, 'process', 'processes')}"
        yield f"events/s over those of {peer}, where each login tells of a new name: {at}", AT_LEAST, None, times, ratio


def trigger_ratios(section):
    for peer, ratio in section.get("cold_times_as_fast_as", {}).items():
        what = f"the trigger's cold start with its first answer, times as fast as {peer}"
        yield what, AT_LEAST, WANTED.get(f"cold, {peer}"), times, ratio
    if "warm_p50_above_bare_ms" in section:
        what = "what the warm trigger takes above SendMessage alone, p50"
        yield what, AT_MOST, WANTED["warm"], milliseconds, section["warm_p50_above_bare_ms"]
    if "binary_bytes" in section:
        yield "the trigger's program", AT_MOST, WANTED["binary"], megabytes, section["binary_bytes"]


def growth_ratios(section):
    tables = sorted(section.get("tables", []), key=lambda each: (each["users"], each["ledger_rows"]))
    bare = [each for each in tables if not each["ledger_rows"]]
    if bare and bare[-1]["users"] > section["reference_users"]:
        what = f"events/s with {bare[-1]['users']:,} users over those with {section['reference_users']:,} users, in turn"
        yield what, AT_LEAST, WANTED["growth"], times, median(bare[-1]["over_reference"])
    if bare and tables[-1]["ledger_rows"]:
        rate = median(tables[-1]["over_reference"]) / median(bare[-1]["over_reference"])
        what = f"events/s with {tables[-1]['ledger_rows']:,} ledger rows over those with none, each over the table beside it"
        yield what, AT_LEAST, WANTED["ledger"], times, rate
    short = section.get("short_of_memory")
    if short:
        rate = median(short["over_reference"]) / median(tables[-1]["over_reference"])
        what = f"events/s with `shared_buffers` of {short['shared_buffers']} over those with {tables[-1]['shared_buffers']}, each over the table beside it"
        yield what, AT_LEAST, WANTED["memory_short"], times, rate
    if tables:
        hot = min(each["hot_share"] for each in tables)
        yield "updates of `users` that touch no index (HOT), least", AT_LEAST, WANTED["hot"], percent, hot
    hardest = section.get("hardest")
    if hardest:
        rate = median(hardest["hot_user"]) / median(hardest["spread"])
        yield "events/s of one user's logins over those of everybody's", AT_LEAST, WANTED["hot_user"], times, rate
        if "redelivered" in hardest:
            rate = median(hardest["redelivered"]) / median(hardest["spread"])
            what = "events/s of logins that were all applied before over those of fresh ones"
            yield what, AT_LEAST, WANTED["redelivered"], times, rate
        rate = median(hardest["sign_ups_shared_address"]) / median(hardest["sign_ups_own_address"])
        what = "sign-ups/s with an address that 10,000 others hold over those with their own"
        yield what, AT_LEAST, WANTED["shared"], times, rate


def freshness_ratios(section):
    rates = section.get("rates", [])
    if rates:
        most = max(rates, key=lambda each: each["offered_per_second"])
        what = f"age of a login when its row shows it, p99, at {most['offered_per_second']:,}/s"
        yield what, AT_MOST, WANTED["fresh"], milliseconds, most["p99_ms"]


# --- drain


class Cells:
    """The cells of the comparison, by contestant, batch and number of processes."""

    def __init__(self, section):
        cells = section.get("cells", [])
        self.cells = {(cell["contestant"], cell["batch"], cell["processes"]): cell for cell in cells}
        self.batches = sorted({cell["batch"] for cell in cells})
        self.processes = sorted({cell["processes"] for cell in cells})
        self.contestants = list(dict.fromkeys(cell["contestant"] for cell in cells))
        self.peers = [name for name in self.contestants if name not in (OURS, LIMIT)]

    def get(self, figure, *cell):
        return self.cells.get(cell, {}).get(figure)

    def figure(self, figure, *cell):
        found = self.get(figure, *cell)
        return median(found) if found else None

    def rate(self, *cell):
        return self.figure("events_per_second", *cell)

    def over_peers(self):
        """Our events a second over each peer's, as (batch, processes, peer, ratio)."""
        for batch in self.batches:
            for processes in self.processes:
                ours = self.rate(OURS, batch, processes)
                rates = {peer: self.rate(peer, batch, processes) for peer in self.peers}
                yield from ((batch, processes, peer, ours / rate) for peer, rate in rates.items() if ours and rate)


def count(number, one, many):
    return f"{number} {one if number == 1 else many}"


def drain(section):
    cells = Cells(section)
    return "\n\n".join(
        [
            "## Draining the queue",
            f"Logins of users at random, in a table of {section['users']:,}, handed over in batches of so many. "
            + runs(cell["events_per_second"] for cell in cells.cells.values()),
            "![Events a second by the size of the batch](performance/drain.svg)",
            *compared(cells),
        ]
    )


def renames(section):
    cells = Cells(section)
    return "\n\n".join(
        [
            "## Logins that tell of a new name",
            "The same, but each login tells of a given name that its row does not hold yet: the consumer's slow path. "
            + runs(cell["events_per_second"] for cell in cells.cells.values()),
            *compared(cells),
        ]
    )


def compared(cells):
    """The contestants' tables, for each number of processes."""
    parts = []
    sizes = [f"{batch:,}" for batch in cells.batches]
    for processes in cells.processes:
        by_batch = lambda show: [
            [name, *[show(name, batch) for batch in cells.batches]] for name in cells.contestants
        ]
        ours = {batch: cells.rate(OURS, batch, processes) for batch in cells.batches}

        def ratio(name, batch):
            theirs = cells.rate(name, batch, processes)
            return times(ours[batch] / theirs) if ours[batch] and theirs else "-"

        def cost(name, batch):
            cpu = spread(cells.get("cpu_us_per_event", name, batch, processes))
            memory = cells.get("peak_rss_mb", name, batch, processes)
            return f"{cpu} µs, {number(memory['max'])} MB" if cpu != "-" else "-"

        parts += [
            f"### {count(processes, 'process', 'processes').capitalize()}",
            "Events a second, by the size of the batch:",
            table(
                ["events/s", *sizes],
                by_batch(lambda name, batch: spread(cells.get("events_per_second", name, batch, processes))),
            ),
            f"The events a second of `{OURS}`, as a multiple of each of the others':",
            table(["multiple of", *sizes], [row for row in by_batch(ratio) if row[0] != OURS]),
            "Processor time an event, of the drainers alone, and the most memory that one process held:",
            table(["cost", *sizes], [row for row in by_batch(cost) if row[0] != LIMIT]),
        ]
    return parts


# --- trigger


def trigger(section):
    programs = section["programs"]
    figures = [
        ("until it asks for the first invocation (ms)", "init_ms"),
        ("processor time of that (ms)", "init_cpu_ms"),
        ("until the first invocation is answered (ms)", "cold_total_ms"),
        ("processor time of that (ms)", "cold_total_cpu_ms"),
        ("warm, p50 (ms)", "warm_p50_ms"),
        ("warm, p99 (ms)", "warm_p99_ms"),
        ("warm, processor time (ms)", "warm_cpu_ms"),
        ("peak RSS (MB)", "peak_rss_mb"),
    ]
    bare = {f"warm_{name}": figure for name, figure in section.get("bare", {}).items()}
    rows = [
        [what, *[spread(each.get(key)) for each in programs], *([spread(bare.get(key))] if bare else [])]
        for what, key in figures
    ]
    names = [each["program"] for each in programs] + (["SendMessage alone"] if bare else [])
    invocations = f"{section['invocations']:,} invocations" if "invocations" in section else "invocations"
    size = f" The trigger's program is of {megabytes(section['binary_bytes'])}." if "binary_bytes" in section else ""
    return "\n\n".join(
        [
            "## The trigger",
            "A login, from the start of the process. " + runs(each["init_ms"] for each in programs)
            + f" Then warm, on one core: {invocations} of each, in one run." + size,
            "![Time to a cold start's first answer](performance/trigger.svg)",
            table(["", *names], rows),
        ]
    )


# --- growth


def growth(section):
    short = section.get("short_of_memory")
    tables = section["tables"] + ([short] if short else [])
    rows = [
        [
            f"{each['users']:,}",
            f"{each['users_mb']:,} MB",
            each["shared_buffers"] + (" in huge pages" if each["huge_pages"] else ""),
            f"{each['ledger_rows']:,}",
            spread(each["events_per_second"]),
            spread(each["over_reference"], times),
            percent(each["hot_share"]),
        ]
        for each in tables
    ]
    parts = [
        "## As the table grows",
        f"`{OURS}`, {count(section['processes'], 'process', 'processes')}, batches of {section['batch']:,}. "
        f"Beside each table, in turn, one of {section['reference_users']:,} users. "
        + runs(each["events_per_second"] for each in tables),
        "![Events a second by the number of users, over those of the table beside it](performance/growth.svg)",
        table(
            [
                "users",
                "table and key",
                "`shared_buffers`",
                "ledger rows of earlier months",
                "events/s",
                "over those beside it",
                "HOT updates",
            ],
            rows,
        ),
    ]
    hardest = section.get("hardest")
    if hardest:
        rows = [
            ["logins of users at random", spread(hardest["spread"])],
            ["logins of one user only", spread(hardest["hot_user"])],
            *([["logins that were all applied before", spread(hardest["redelivered"])]] if "redelivered" in hardest else []),
            ["sign-ups, each with an address of its own", spread(hardest["sign_ups_own_address"])],
            ["sign-ups, all with one address that 10,000 hold", spread(hardest["sign_ups_shared_address"])],
        ]
        parts += [
            "### The hardest cases",
            "Sign-ups are a run of one process, in batches of 100; they are not to be compared with the logins.",
            table(["", "events/s"], rows),
        ]
    return "\n\n".join(parts)


# --- freshness


def freshness(section):
    rows = [
        [
            f"{each['offered_per_second']:,}",
            number(each["p50_ms"]),
            number(each["p99_ms"]),
            number(each["max_ms"]),
            number(each["reached_per_second"]),
            number(each["worker_cpu_s"]),
            number(each["peak_rss_mb"]),
        ]
        for each in section["rates"]
    ]
    seconds = " and ".join(f"{each}" for each in sorted({each["seconds"] for each in section["rates"]}))
    head = ["logins/s offered", "p50 (ms)", "p99 (ms)", "max (ms)", "logins/s sent", "CPU (s)", "peak RSS (MB)"]
    return "\n\n".join(
        [
            "## How fresh a row is",
            "From a login's send to its deletion from the queue, which follows the commit. One worker,"
            f" {seconds} s at a steady rate, a table of {section['users']:,} users. The processor time is the worker's"
            " from its start on, with 2 s to warm up.",
            "![Age of a login by the rate](performance/freshness.svg)",
            table(head, rows),
        ]
    )


def contexts(section):
    drained, steady = section["drain"], section["steady"]
    rows = [
        [name, spread(drained[key]["events_per_second"]), spread(drained[key]["cpu_us_per_event"])]
        for name, key in [
            ("logins, no contexts", "logins"),
            ("a context of each of these logins", "contexts"),
            ("later logins of users who have contexts", "logins_after_contexts"),
        ]
    ]

    def ages(of):
        return [number(of["p50_ms"]), number(of["p99_ms"]), number(of["max_ms"])]

    fresh = [["logins", *ages(steady["logins"])], ["contexts", *ages(steady["contexts"])]]
    attacks = []
    for each in section["attacks"]:
        users = each["failing_users"]
        attacks.append(
            [
                f"10,000 failures/s of {users:,} users" if users else "no attack",
                *ages(each["logins"]),
                f"{each['stored']:,}" if users else "-",
                f"{each['bytes_a_row']:,}" if users else "-",
                number(each["failures"]["p99_ms"]) if users else "-",
            ]
        )
    size = drained["bytes_a_row"]
    return "\n\n".join(
        [
            "## Where logins came from",
            "Four processes, batches of 1,000. A context is another event, which comes later and changes its user's row.",
            table(["events", "events/s", "CPU an event (µs)"], rows),
            f"In the ledgers, with their indexes, a login is {size['login']:,} bytes and a context {size['context']:,}.",
            f"One worker on both queues, {steady['logins_per_second']:,} logins/s for {steady['seconds']} s, a context of"
            f" each {steady['late_seconds']} s later; from the send to the deletion:",
            table(["messages", "p50 (ms)", "p99 (ms)", "max (ms)"], fresh),
            "An attack on the pool, as the functions before the queue hand it on: messages of 1,000 failures, beside 1,000"
            " logins/s. The ages are those of the logins.",
            table(
                ["beside the logins", "p50 (ms)", "p99 (ms)", "max (ms)", "failures stored", "bytes each", "their p99 (ms)"],
                attacks,
            ),
        ]
    )


# --- functions

UNITS = {"ns": 1.0, "µs": 1e3, "us": 1e3, "ms": 1e6, "s": 1e9}
TIME = r"([\d.]+) (ns|µs|us|ms|s)"


def functions_of(printed):
    """The medians of divan's tree: a line a function, `name  fastest │ slowest │ median │ mean │ samples │ iters`."""
    found = []
    for line in printed.splitlines():
        match = re.match(rf"[├╰]─ (\w+)\s+{TIME}\s+│ {TIME}\s+│ {TIME}\s+│ {TIME}\s+│ (\d+)", line)
        if match:
            name, *rest = match.groups()
            fastest, slowest, middle = (float(rest[at]) * UNITS[rest[at + 1]] for at in (0, 2, 4))
            found.append({"name": name, "min_ns": fastest, "median_ns": middle, "max_ns": slowest, "samples": int(rest[8])})
    if not found:
        raise SystemExit("no figures in what `cargo bench --bench functions` printed: has divan's form changed?")
    return found


def duration(nanoseconds):
    for unit in ("ns", "µs", "ms"):
        if nanoseconds < 1e3:
            return f"{number(nanoseconds)} {unit}"
        nanoseconds /= 1e3
    return f"{number(nanoseconds)} s"


def build():
    """What is measured, and when."""
    commands = {"commit": ["git", "describe", "--always", "--dirty"], "date": ["date", "-u", "+%Y-%m-%d"]}
    printed = {name: subprocess.run(command, capture_output=True, text=True) for name, command in commands.items()}
    return {name: output.stdout.strip() or None for name, output in printed.items()}


def functions(section):
    rows = [
        [each["name"].replace("_", " "), duration(each["median_ns"]), duration(each["min_ns"]), f"{each['samples']:,}"]
        for each in section["rows"]
    ]
    return "\n\n".join(
        [
            "## Functions by themselves",
            "What is computed without a database or a network, on one core.",
            table(["function", "median", "least", "samples"], rows),
        ]
    )


# --- the machine


def machine(results):
    described = seen_in(results, "machine")
    if not described:
        return ""
    order = ["date", "commit", "processor", "cores", "memory_gib", "flush_ms", "kernel", "rust", "python", "node"]
    units = {"memory_gib": "memory (GiB)", "flush_ms": "8 KB written and flushed (ms)"}
    rows = [[units.get(name, name), described[name]] for name in order if name in described]
    settings = seen_in(results, "postgresql")
    parts = ["## Measured on", table(["machine", ""], rows, words=True)]
    if settings:
        rows = [[f"`{name}`", values] for name, values in settings.items()]
        parts.append(table(["PostgreSQL", ""], rows, words=True))
    return "\n\n".join(parts)


def seen_in(sections, part):
    """Each name in that part of the sections with its value, or with each and where: they may have been measured at
    different times."""
    seen = {}
    for title, section in sections.items():
        for name, value in section.get(part, {}).items():
            shown = f"{value:.3g}" if isinstance(value, float) else str(value)
            if value is not None:
                seen.setdefault(name, {}).setdefault(shown, []).append(title)

    def told(values):
        if len(values) == 1:
            return next(iter(values))
        return "; ".join(f"{value} ({', '.join(titles)})" for value, titles in values.items())

    return {name: told(values) for name, values in seen.items()}


# --- plots

BLUE, GREY, ORANGE, GREEN, RED = "#0067b1", "#444444", "#d55e00", "#009e73", "#aa3377"
STYLES = {
    OURS: {"color": BLUE, "linewidth": 3, "marker": "o", "zorder": 3},
    LIMIT: {"color": GREY, "linestyle": "--", "marker": "s"},
    "Python, psycopg, unnest": {"color": ORANGE, "marker": "^"},
    "Python, Powertools, a row at a time": {"color": ORANGE, "linestyle": ":", "marker": "v"},
    "Node, pg, unnest": {"color": GREEN, "marker": "D"},
    "Node, pg, a row at a time": {"color": GREEN, "linestyle": ":", "marker": "d"},
}


def plot(results, folder):
    import matplotlib

    matplotlib.use("svg")
    # The same figures give the same bytes, so that a diff shows what changed.
    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "user-sync",
            "font.size": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#dddddd",
            "axes.axisbelow": True,
            "axes.titlelocation": "left",
            "axes.titlesize": 12,
        }
    )
    for name, draw in [
        ("drain", plot_drain),
        ("trigger", plot_trigger),
        ("growth", plot_growth),
        ("freshness", plot_freshness),
    ]:
        if results.get(name):
            figure = draw(results[name])
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")


def axes(title, xlabel, ylabel, height=4.2):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), facecolor="white")
    drawn = figure.subplots()
    drawn.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return figure, drawn


def plain(axis, ticks=None):
    """Figures as one reads them, not powers of ten: at these places, else at 1, 2 and 5 of each power."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    axis.set_major_formatter(FuncFormatter(short))
    axis.set_minor_locator(NullLocator())
    if ticks:
        axis.set_major_locator(FixedLocator(ticks))
    elif axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))


def short(value, _=None):
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value:,.0f}"


def plot_drain(section):
    cells = Cells(section)
    processes = max(cells.processes)
    figure, drawn = axes(
        f"Draining the queue, {count(processes, 'process', 'processes')}", "batch size", "events/s (median; least to greatest)"
    )
    for name in cells.contestants:
        found = [cells.get("events_per_second", name, batch, processes) for batch in cells.batches]
        points = [(batch, each) for batch, each in zip(cells.batches, found) if each]
        rates = [each["median"] for _, each in points]
        errors = [
            [each["median"] - each["min"] for _, each in points],
            [each["max"] - each["median"] for _, each in points],
        ]
        style = STYLES.get(name, {"marker": "."})
        drawn.errorbar([batch for batch, _ in points], rates, errors, label=name, capsize=3, **style)
    drawn.set(xscale="log", yscale="log")
    plain(drawn.xaxis, cells.batches)
    plain(drawn.yaxis)
    drawn.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def plot_trigger(section):
    figure, drawn = axes("A cold start of the trigger", "ms (median; least to greatest)", "", height=2.4)
    programs = section["programs"][::-1]
    names = [each["program"] for each in programs]
    total, init = [[each[key] for each in programs] for key in ("cold_total_ms", "init_ms")]
    errors = [
        [each["median"] - each["min"] for each in total],
        [each["max"] - each["median"] for each in total],
    ]
    drawn.barh(names, [each["median"] for each in total], xerr=errors, color=ORANGE, label="until the first answer", capsize=3)
    drawn.barh(names, [each["median"] for each in init], color=BLUE, label="until it asks for the first invocation")
    drawn.set_xlim(left=0)
    drawn.grid(axis="y", visible=False)
    drawn.legend(frameon=False, loc="upper right", reverse=True)
    return figure


def plot_growth(section):
    figure, drawn = axes(
        f"As the table grows, {count(section['processes'], 'process', 'processes')}, batches of {section['batch']:,}",
        "users",
        f"events/s over those with {section['reference_users']:,} users (median; least to greatest)",
    )
    bare = [each for each in section["tables"] if not each["ledger_rows"]]
    filled = [each for each in section["tables"] if each["ledger_rows"]]
    for tables, label, style in [
        (bare, "an empty ledger", {"color": BLUE, "linewidth": 3, "marker": "o"}),
        (filled, None, {"color": ORANGE, "linestyle": "", "marker": "D"}),
    ]:
        if tables:
            label = label or f"a ledger of {max(each['ledger_rows'] for each in tables):,} rows"
            ratios = [each["over_reference"] for each in tables]
            errors = [
                [ratio["median"] - ratio["min"] for ratio in ratios],
                [ratio["max"] - ratio["median"] for ratio in ratios],
            ]
            users = [each["users"] for each in tables]
            drawn.errorbar(users, [ratio["median"] for ratio in ratios], errors, label=label, capsize=3, **style)
    drawn.set_xscale("log")
    drawn.set_ylim(bottom=0)
    plain(drawn.xaxis, sorted({each["users"] for each in section["tables"]}))
    drawn.legend(frameon=False, loc="lower left")
    return figure


def plot_freshness(section):
    figure, drawn = axes("How fresh a row is", "logins/s offered", "age of a login when its row shows it (ms)")
    rates = sorted(section["rates"], key=lambda each: each["offered_per_second"])
    offered = [each["offered_per_second"] for each in rates]
    for name, label, style in [
        ("max_ms", "greatest", {"color": GREY, "linestyle": ":", "marker": "s"}),
        ("p99_ms", "p99", {"color": ORANGE, "linewidth": 2, "marker": "^"}),
        ("p50_ms", "p50", {"color": BLUE, "linewidth": 3, "marker": "o"}),
    ]:
        drawn.plot(offered, [each[name] for each in rates], label=label, **style)
    drawn.set_xscale("log")
    drawn.set_ylim(bottom=0)
    plain(drawn.xaxis, offered)
    drawn.legend(frameon=False, loc="upper left")
    return figure


if __name__ == "__main__":
    main()
