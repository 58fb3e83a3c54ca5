"""Sentences about the contract, targets, queues, pools, managers, locks beside their peers, and deaths."""
import re

from . import conformance, deaths, intervals, pipe_cells, summary, targets, text
from .sentences_pipe import SLEEPERS, claim, listed, who

# The questions of which the first screen tells.
QUEUE_WORDS = {"1x1": "Queue, one to one,"}
POOL_WORDS = {"chunk_1": "Pool.map, chunk 1,"}
MANAGER_WORDS = {"get_1": "dict.get", "set_2": "dict.set by 2 clients"}
MOST_MISSED = 6
PEERS = {"cpython": "CPython", "executor": "CPython's ProcessPoolExecutor", "redis": "Redis", "boost": "Boost"}


def contract(results):
    """Who failed; what was not tried; never a word of praise for a suite that did not run."""
    named = {name: entry for name, entry in results["conformance"].items() if entry["must_total"]}
    failed = {name: entry for name, entry in results["conformance"].items() if entry["failed"]}
    for name, entry in failed.items():
        yield (f"{name} failed {', '.join(conformance.failed_clauses(entry))}: no figure that depends on it is ranked "
               "in this report.", [], True)
    unchecked = sorted({r["name"] for r in summary.measured(results, role="mechanism")
                        if conformance.standing(results, r) == "unchecked"})
    if named and unchecked:
        yield (f"Of {listed(unchecked)} something was not checked: the figures that depend on it are not ranked.", [],
               True)
    if not named:
        yield "Conformance was not checked in this run: no figure of it can be believed yet.", [], True
        return
    kept = [entry for name, entry in named.items() if name not in failed]
    missing = sorted({clause for entry in kept for clause in entry["not_run"]})
    passed, total = (sum(entry[key] for entry in kept) for key in ("must_passed", "must_total"))
    whom = "All" if not failed else "The other"
    tail = f"; not run: {', '.join(missing) if len(missing) <= 6 else f'{len(missing)} clauses'}" if missing else ""
    if kept:
        yield (f"{whom} {len(kept)} subjects of the suite kept every MUST clause that was run ({passed} of "
               f"{total}{tail}).", [], True)


def limits(results):
    cells = targets.held(results)
    if cells:
        count = {kind: sum(cell["verdict"].split(":")[0] == kind for cell in cells)
                 for kind in ("reached", "missed", "open", "not valid")}
        words = [f"{count['reached']} are reached and {count['missed']} missed with their whole interval"]
        words += [f"{count['open']} are open, the interval (or its lack) allowing both"] * bool(count["open"])
        words += [f"{count['not valid']} count for nothing, conformance not having passed"] * bool(count["not valid"])
        yield f"Of {len(cells)} cells with a target, {'; '.join(words)}.", [cell["record"] for cell in cells], True
    missed = sorted((cell for cell in cells if cell["verdict"] == "missed"), key=targets.badness, reverse=True)
    furthest = list({(c["target"]["id"], c["label"]): c for c in reversed(missed)}.values())[::-1][:MOST_MISSED]
    if furthest:
        worst = [f"{c['target']['id']} {c['label']}, {_where(c['record'])}: {c['text']}, must be "
                 f"{'at most' if c['better'] == 'lower' else 'at least'} {c['target']['must']:g}" for c in furthest]
        yield f"Furthest from their targets: {'; '.join(worst)}.", [c["record"] for c in furthest], False
    close = [r for r in summary.measured(results, role="mechanism", primitive="pipe", workload="round_trip",
                                         call="direct", placement="cross", bytes=64)
             if conformance.standing(results, r) == "passed" and (r.get("ratio_to_limit", {}).get("high") or 9) <= 1.1]
    if close:
        yield (f"A round trip of 64 B across two CPUs takes at most 10 % longer than the same work in raw code with "
               f"{listed(who(r) for r in close)}.", close, False)


def _where(record):
    size = f"{text.size(record['bytes'])} " if record["bytes"] else ""
    return size + pipe_cells.PLACEMENT_TITLES[record["placement"]]


def _cells(results, primitive, workload, size, place="free"):
    found = [r for r in summary.measured(results, primitive=primitive, workload=workload, placement=place)
             if r["role"] != "limit" and r["bytes"] == size]
    return intervals.believed(results, found)[0]


def _first(results, primitive, workload, size, head, verb, form, comparison):
    """Who is first in one column, and who of those that sleep, if another is."""
    cells = _cells(results, primitive, workload, size)
    noise, _ = intervals.floor(results, "ns_per_operation", workload)
    sleepers = [cell for cell in cells if cell.record["wait"] in SLEEPERS]
    told = None
    for group, words in ((cells, head), (sleepers, f"{head}, of those that sleep at once")):
        ranking = intervals.rank(group, noise)
        if len(group) > 1 and ranking.first != told:
            told = ranking.first
            yield (f"{words}: {claim(ranking, verb, form, comparison)}.",
                   [cell.record for cell in ranking.first + [ranking.behind] * bool(ranking.behind)], False)


def _paired(results, primitive):
    """{(peer, question): valid records of our rate over that peer's}, formed in paired blocks; the highest first."""
    groups = {}
    for record in summary.measured(results, role="mechanism", primitive=primitive):
        match = re.fullmatch(r"versus_([a-z]+)_(.*)", record["workload"])
        ratio = record.get("ratio_to_limit")
        if match and ratio and ratio["low"] is not None and conformance.standing(results, record) == "passed":
            groups.setdefault((match[1], match[2]), []).append(record)
    return {key: sorted(found, key=lambda r: -r["ratio_to_limit"]["median"]) for key, found in groups.items()}


def _versus(results, primitive, what):
    """The interval is the paired ratio's own: no noise floor is needed."""
    for (peer, question), found in _paired(results, primitive).items():
        parts = [f"{who(r)} {_share(r['ratio_to_limit'])}" for r in found]
        yield f"Rate over that of {PEERS.get(peer, peer)}, {what(question)}: {', '.join(parts)}.", found, False


def peers(results):
    """One sentence per peer: the best and the worst of each primitive, so that nothing is picked."""
    said = {}
    for primitive, words in (("queue", QUEUE_WORDS), ("pool", POOL_WORDS), ("manager", MANAGER_WORDS)):
        for (peer, question), found in _paired(results, primitive).items():
            if question in words:
                best, worst = found[0], found[-1]
                part = f"{words[question]} {who(best)} {_share(best['ratio_to_limit'])}"
                part += f" down to {who(worst)} {_share(worst['ratio_to_limit'])}" * (best is not worst)
                said.setdefault(peer, []).append((part, found))
    for peer in ("cpython", "redis"):
        if peer in said:
            yield (f"Rate over that of {PEERS[peer]}: {'; '.join(part for part, _ in said[peer])}.",
                   [record for _, found in said[peer] for record in found], True)


def _share(ratio):
    if ratio["low"] <= 1 <= ratio["high"]:
        return "level"
    return intervals.times(ratio["low"], ratio["high"])


def _rate(cells):
    return intervals.rates(cells)


def queues(results):
    for workload, head in (("one_way_1x1", "One producer, one consumer, 64 B"),
                           ("one_way_4x4", "Four producers, four consumers, 64 B")):
        yield from _first(results, "queue", workload, 64, head, ("carries", "carry"),
                          lambda cells: _rate(cells).replace("/s", " messages/s"), "as much as")
    yield from _versus(results, "queue", lambda q: q.replace("x", " producers × ", 1) + " consumers"
                       if not q.startswith("1x1") else "one producer, one consumer")


def pools(results):
    yield from _first(results, "pool", "apply", 8, "One task at a time, 8 B", ("answers", "answer"),
                      lambda cells: f"in {intervals.durations(cells)}", "faster than")
    words = {"chunk_1": "map of tasks that do nothing, chunk 1, two workers",
             "chunk_default": "map of tasks that do nothing, chunks as chosen, two workers"}
    yield from _versus(results, "pool", lambda q: words.get(q, q.replace("_", " ")))


def managers(results):
    yield from _first(results, "manager", "dict_get_1", 64, "dict.get of 64 B, one client", ("answers", "answer"),
                      lambda cells: f"in {intervals.durations(cells)}", "faster than")
    yield from _first(results, "manager", "dict_mixed_16", 64, "Nine gets to a set, 16 clients",
                      ("does", "do"), lambda cells: _rate(cells).replace("/s", " calls/s"), "as much as")

    def question(words):
        match = re.fullmatch(r"(get|set|mixed)_(\d+)(_pipelined)?", words)
        clients = match and f"{match[2]} client{'s' * (match[2] != '1')}"
        return f"dict.{match[1]}, {clients}{', sent ahead of answers' * bool(match[3])}" if match else words
    yield from _versus(results, "manager", question)


def locks(results):
    found = [r for r in summary.measured(results, primitive="sync", workload="uncontended") if r["role"] != "limit"
             and conformance.standing(results, r) == "passed"
             and (r.get("ratio_to_limit") or {}).get("low") is not None]
    found.sort(key=lambda r: r["ratio_to_limit"]["median"])
    if found:
        parts = [f"{who(r)} {_share(r['ratio_to_limit'])}" for r in found]
        yield (f"Uncontended, in times that of a robust mutex of the C library: {', '.join(parts)}.", found, False)


def death(results):
    cells = [r for r in deaths.measured(results) if conformance.standing(results, r) == "passed"]
    lossy = [r for r in cells if r["metrics"].get("lost", 0) > 0]
    left = [r for r in cells if r["metrics"].get("left_over", 0) > 0]
    if not cells:
        return
    kills = sum(r["metrics"].get("samples", 0) for r in cells)
    slowest = max(cells, key=lambda r: r["metrics"].get("notice_max_ns", 0))
    if "notice_max_ns" in slowest["metrics"]:
        worst = text.nanoseconds(slowest["metrics"]["notice_max_ns"])
        yield (f"The end of a killed peer was noticed within {worst} at worst ({who(slowest)}), in {kills:,} kills.",
               cells, True)
    if lossy:
        each = [f"{who(r)} {r['metrics']['lost']:,.0f} of {r['metrics']['sent']:,.0f}" if "sent" in r["metrics"]
                else f"{who(r)} {r['metrics']['lost']:,.0f}" for r in lossy]
        yield (f"Messages that send() had returned for and that a SIGKILL of their sender lost: {', '.join(each)}.",
               lossy, True)
    elif any("lost" in r["metrics"] for r in cells):
        yield f"No message that send() had returned for was lost in {kills:,} kills.", cells, False
    if left:
        each = [f"{who(r)} {r['metrics']['left_over']:,.0f}" for r in left]
        yield f"Names or segments left behind after the kills: {', '.join(each)}.", left, True
