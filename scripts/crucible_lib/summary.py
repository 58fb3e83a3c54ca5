"""The tables of a run: what is printed, put in Markdown and shown in the report."""
import typing

from . import conformance, text

VERDICT_MARK = {"passed": "●", "failed": "✗", "skipped": "○", "not run": "·", "no counterpart": "–"}
VERDICT_MEANING = {"passed": "passed", "failed": "failed", "skipped": "skipped: the capability is not declared",
                   "not run": "not run", "no counterpart": "no counterpart here"}


# How a mechanism waits, for people: a spinner is never shown beside a sleeper without saying so.
WAIT_WORDS = {"kernel": "in the kernel", "block": "block", "adaptive": "adaptive", "spin": "spin"}


class Row(typing.NamedTuple):
    """A line of the headline; `valid` is whether its numbers may be believed."""
    name: str
    cells: list
    valid: bool


def label(record):
    """The name of a subject with whatever sets it apart from others of that name."""
    extra = [record["wait"]] if record.get("wait", "kernel") != "kernel" else []
    extra += [record["form"]] if record.get("form", "native") != "native" else []
    return record["name"] + (f" ({', '.join(extra)})" if extra else "")


def bare_label(record):
    """For tables that have a column for the strategy."""
    return label({**record, "wait": "kernel"})


def measured(results, **wanted):
    """The records with metrics that have these values."""
    return [r for r in results["records"] if "metrics" in r and all(r.get(k) == v for k, v in wanted.items())]


def _nearest(candidates, size):
    sizes = {r["bytes"] for r in candidates}
    return min(sizes, key=lambda s: (abs(s.bit_length() - size.bit_length()), s)) if sizes else None


def _column(results, workload, size, placement):
    """The records of one column of the headline, by label, and the size that they really have."""
    found = measured(results, role="mechanism", primitive="pipe", workload=workload, placement=placement, call="direct")
    nearest = _nearest(found, size)
    return nearest, {label(r): r for r in found if r["bytes"] == nearest}


PLACEMENTS = ("cross", "same", "free", "remote")


def _place(results, workload):
    """Across two CPUs, if that was measured: the case that most programs meet."""
    present = {r["placement"] for r in measured(results, role="mechanism", primitive="pipe", workload=workload)}
    return next((p for p in ("cross", "free", "same") if p in present), None)


def headline(results):
    """(column heads, rows): the fastest small round trip first. Without a valid measurement a cell is '-'."""
    trips, streams = _place(results, "round_trip"), _place(results, "one_way")
    trip_size, trip = _column(results, "round_trip", 64, trips)
    small_size, small = _column(results, "one_way", 64, streams)
    large_size, large = _column(results, "one_way", 1 << 20, streams)

    heads = ["mechanism", "waits", "MUST clauses"]
    if trip:
        heads += [f"round trip {text.size(trip_size)} {trips}: p50", "p99", "x its limit",
                  "CPU s per million"]
        calls = any("system_calls_per_message" in r["metrics"] for r in trip.values())
        heads += ["system calls"] * calls
    if small:
        heads += [f"{text.size(small_size)} {streams}: messages/s"]
    if large:
        heads += [f"{text.size(large_size)} {streams}", "share of its limit"]

    rows = []
    for name in sorted({*trip, *small, *large},
                       key=lambda n: (trip[n]["metrics"].get("latency_p50_ns", 0) if n in trip else float("inf"), n)):
        record = trip.get(name) or small.get(name) or large[name]
        row = [bare_label(record), WAIT_WORDS[record["wait"]], clause_count(results, record)]
        if trip:
            metrics = trip[name]["metrics"] if name in trip else {}
            row += [shown(metrics, "latency_p50_ns", text.nanoseconds),
                    shown(metrics, "latency_p99_ns", text.nanoseconds),
                    ratio(trip.get(name)), shown(metrics, "cpu_s_per_million", text.significant)]
            row += [shown(metrics, "system_calls_per_message", text.significant)] * calls
        if small:
            row.append(shown(small[name]["metrics"] if name in small else {}, "messages_per_s", text.rate))
        if large:
            row += [shown(large[name]["metrics"] if name in large else {}, "bytes_per_s", text.gib_per_s),
                    ratio(large.get(name))]
        rows.append(Row(record["name"], row, conformance.standing(results, record) == "passed"))
    return heads, rows


def shown(metrics, key, form):
    return form(metrics[key]) if key in metrics else "-"


def ratio(record):
    return text.ratio(record["ratio_to_limit"]) if record and "ratio_to_limit" in record else "-"


def clause_count(results, record):
    """'61/61', with what stands against the numbers beside it."""
    entry = conformance.entry_of(results, record)
    standing = conformance.standing(results, record)
    if entry is None:
        return "not checked" if standing == "unchecked" else "FAILED"
    count = f"{entry['must_passed']}/{entry['must_total']}"
    if standing == "failed":
        return count + ", FAILED"
    return count + (f", {len(entry['not_run'])} not run" if entry["not_run"] else "")


def tests_run(results):
    """Which part of the suite ran, in words where the filter is one of the profiles' own."""
    chosen = results["run"]["gtest_filter"]
    if chosen == "*":
        return "all tests were run"
    if chosen.startswith("-"):
        return "all tests were run but those named " + ", ".join(chosen[1:].replace("*", "").split(":"))
    return f"the tests {chosen} were run"


def matrix(results):
    """(subjects, rows): each clause with its verdict per subject, None where it does not concern the subject."""
    conformance_of = results["conformance"]
    subjects = [s for s, entry in conformance_of.items() if entry["clauses"]]
    letters = {s: {c.rstrip("0123456789") for c in conformance_of[s]["clauses"]} for s in subjects}
    listed = list(results["clauses"])
    known = {clause["id"] for clause in listed}
    listed += [{"id": c, "level": "MUST", "text": "(not in SPEC.md)"}
               for c in sorted({c for s in subjects for c in conformance_of[s]["clauses"]} - known)]
    rows = []
    for clause in listed:
        if clause["level"] == "no counterpart":
            letter = clause["id"].rstrip("0123456789")
            verdicts = ["no counterpart" if letter in letters[s] else None for s in subjects]
        else:
            verdicts = [conformance_of[s]["clauses"].get(clause["id"]) for s in subjects]
        rows.append((clause, verdicts))
    return subjects, rows


TERMINAL_COLUMNS = 110


def plain_table(heads, rows):
    """For a terminal, which is narrow: a line per head, a column per row, in as many blocks as its width asks for."""
    widths = [max(map(len, column)) for column in (heads, *rows)]
    blocks, used = [[]], TERMINAL_COLUMNS
    for row, width in zip(rows, widths[1:]):
        if blocks[-1] and used + 2 + width > TERMINAL_COLUMNS:
            blocks.append([])
        used = (used if blocks[-1] else widths[0]) + 2 + width
        blocks[-1].append((row, width))
    return "\n\n".join(_block(heads, widths[0], block) for block in blocks)


def _block(heads, width, columns):
    lines = zip(heads, *(row for row, _ in columns))
    widths = [width, *(wide for _, wide in columns)]
    return "\n".join("  ".join(cell.ljust(wide) for cell, wide in zip(line, widths)).rstrip() for line in lines)


def checked_on(results):
    """Of the clauses: that, and when, this build was what they were checked on."""
    before = results["run"].get("conformance_checked")
    return "checked on the same build as the numbers" + (f", at {before}" if before else "")


def machine(results):
    """The one line that goes under every chart and table."""
    env, run = results["environment"], results["run"]
    dirty = {True: ", changed since", False: "", None: ""}[env["dirty"]]
    return (f"{env['host']}: {env['cpu']['model']}, {len(env['cpu']['affinity'])} CPUs, Linux {env['kernel']}; "
            f"commit {env['commit']}{dirty}; {run['profile']} run of {run['started']}")


def process_rows(results):
    """What starting processes costs, one sentence per way of starting them."""
    sentences = []
    for record in measured(results, role="mechanism", primitive="process", call="direct"):
        metrics = record["metrics"]
        if "latency_p50_ns" not in metrics:
            continue
        what = f"Process {record['workload'].replace('_', ' + ')} by {label(record)}, {record['placement']}"
        sentence = f"{what}: p50 {text.nanoseconds(metrics['latency_p50_ns'])}"
        if "ratio_to_limit" in record:
            sentence += f", {text.ratio(record['ratio_to_limit'])} times {record['limit']}"
        if conformance.standing(results, record) != "passed":
            sentence += " (conformance not passed: not valid)"
        sentences.append(sentence)
    return sentences
