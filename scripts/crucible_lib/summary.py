"""The tables of a run: what is printed, put in Markdown and shown in the report."""
import json
import typing

from . import conformance, ratios, text
from .project import SCRIPTS

VERDICT_MARK = {"passed": "●", "failed": "✗", "skipped": "○", "not run": "·", "no counterpart": "–"}
VERDICT_MEANING = {"passed": "passed", "failed": "failed", "skipped": "skipped: the capability is not declared",
                   "not run": "not run", "no counterpart": "no counterpart here"}


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

    heads = ["mechanism", "MUST clauses"]
    if trip:
        heads += [f"round trip {text.size(trip_size)} {trips}: p50", "p99", "x its limit",
                  "CPU s per million"]
    if small:
        heads += [f"{text.size(small_size)} {streams}: messages/s"]
    if large:
        heads += [f"{text.size(large_size)} {streams}", "share of its limit"]

    rows = []
    for name in sorted({*trip, *small, *large},
                       key=lambda n: (trip[n]["metrics"].get("latency_p50_ns", 0) if n in trip else float("inf"), n)):
        record = trip.get(name) or small.get(name) or large[name]
        row = [name, clause_count(results, record)]
        if trip:
            metrics = trip[name]["metrics"] if name in trip else {}
            row += [_shown(metrics, "latency_p50_ns", text.nanoseconds),
                    _shown(metrics, "latency_p99_ns", text.nanoseconds),
                    _ratio(trip.get(name)), _shown(metrics, "cpu_s_per_million", "{:.3g}".format)]
        if small:
            row.append(_shown(small[name]["metrics"] if name in small else {}, "messages_per_s", text.rate))
        if large:
            row += [_shown(large[name]["metrics"] if name in large else {}, "bytes_per_s", text.gib_per_s),
                    _ratio(large.get(name))]
        rows.append(Row(record["name"], row, conformance.standing(results, record) == "passed"))
    return heads, rows


def _shown(metrics, key, form):
    return form(metrics[key]) if key in metrics else "-"


def _ratio(record):
    return text.ratio(record["ratio_to_limit"]) if record and "ratio_to_limit" in record else "-"


def clause_count(results, record):
    """'61/61', with what stands against the numbers beside it."""
    entry = results["conformance"].get(record["name"])
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


def targets():
    listed = json.loads((SCRIPTS / "targets.json").read_text(encoding="utf-8"))
    for target in listed:
        target["least_bytes"] = text.parse_size(target.get("least_bytes", "0"))
        target["most_bytes"] = text.parse_size(target.get("most_bytes", "1T"))
    return listed


def target_of(record, known):
    """The target that this record is held to, or None."""
    return next((t for t in known if t["primitive"] == record["primitive"] and t["workload"] == record["workload"]
                 and record["name"] in t["names"] and record["call"] == "direct"
                 and record["placement"] in t.get("placements", [record["placement"]])
                 and t["least_bytes"] <= record["bytes"] <= t["most_bytes"]), None)


def verdict(record, target):
    """Met or missed only where the whole interval says so."""
    ratio = record["ratio_to_limit"]
    if ratio["low"] is None:
        return "open: no interval"
    lower = ratios.lower_is_better(record["workload"])
    met = ratio["high"] <= target["must"] if lower else ratio["low"] >= target["must"]
    missed = ratio["low"] > target["must"] if lower else ratio["high"] < target["must"]
    return "met" if met else "missed" if missed else "open: within the interval"


def ratio_rows(results):
    """One row per paired case: what it was, its ratio, and the target it is held to."""
    known, rows = targets(), []
    for record in sorted((r for r in results["records"] if "ratio_to_limit" in r),
                         key=lambda r: (r["primitive"], r["workload"] != "round_trip", r["workload"], r["placement"],
                                        r["bytes"], r["call"], label(r))):
        target, ratio = target_of(record, known), record["ratio_to_limit"]
        standing = conformance.standing(results, record)
        rows.append({"record": record, "label": label(record), "limit": record["limit"], "ratio": text.ratio(ratio),
                     "blocks": ratio["blocks"], "drifted": ratio["drifted"], "target": target,
                     "verdict": "" if not target else verdict(record, target) if standing == "passed" else "not valid",
                     "standing": standing,
                     "better": "lower" if ratios.lower_is_better(record["workload"]) else "higher"})
    return rows


def target_rows(rows):
    """Per target its rows of ratio_rows() by verdict: met, missed, open, not valid."""
    found = {}
    for row in rows:
        if row["target"]:
            kind = row["verdict"].split(":")[0]
            found.setdefault(row["target"]["id"], {}).setdefault(kind, []).append(row)
    return sorted(found.items())


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


def plain_table(heads, rows):
    """For a terminal, which is narrow: a line per head, a column per row."""
    columns = [heads, *rows]
    widths = [max(map(len, column)) for column in columns]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in zip(*columns))
    return "\n".join(line.rstrip() for line in lines)


def markdown_table(heads, rows):
    def line(cells):
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    return "\n".join([line(heads), line(["---"] * len(heads)), *map(line, rows)])


def machine(results):
    """The one line that goes under every chart and table."""
    env, run = results["environment"], results["run"]
    dirty = {True: ", changed since", False: "", None: ""}[env["dirty"]]
    return (f"{env['host']}: {env['cpu']['model']}, {len(env['cpu']['affinity'])} CPUs, Linux {env['kernel']}; "
            f"commit {env['commit']}{dirty}; {run['profile']} run of {run['started']}")


def markdown(results):
    """summary.md: the headline and the matrix, to paste where Markdown is read."""
    heads, rows = headline(results)
    subjects, clauses = matrix(results)
    marks = [[clause["id"], clause["level"], *(VERDICT_MARK.get(verdict, "") for verdict in verdicts)]
             for clause, verdicts in clauses]
    legend = ", ".join(f"{VERDICT_MARK[v]} {meaning}" for v, meaning in VERDICT_MEANING.items())
    example = f"**{results['run']['example']}**\n\n" if "example" in results["run"] else ""
    return (f"{example}{markdown_table(heads, [row.cells for row in rows])}\n\n{machine(results)}.\n\n"
            f"{markdown_table(['clause', 'level', *subjects], marks)}\n\n{legend}\n")


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
