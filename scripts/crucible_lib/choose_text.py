"""What `choose` says, as text, Markdown and JSON."""
from . import choose_candidates, choose_cells, choose_judge, intervals, markdown, sentences_pipe, summary, text

_HEADS = ["", "mechanism", "time per operation [95 %]", "p50", "p99", "messages/s", "CPU s per million",
          "messages up to"]


def _label(verdict, candidate):
    primitives = {c.primitive for c in _everyone(verdict)}
    return candidate.label(len(primitives) > 1, len(verdict.placements) > 1)


def _everyone(verdict):
    return [*verdict.qualified, *verdict.lost]


def _courses(verdict):
    """Those by which anybody was judged."""
    return [course for course in verdict.courses if any(c.course is course for c in _everyone(verdict))]


def _names(verdict, candidates):
    return sentences_pipe.listed(_label(verdict, c) for c in candidates)


def _about(reading, words):
    return f"~{words}" if reading is not None and reading.estimated else words


def _time(candidate):
    words = text.nanoseconds(candidate.ranked.value(choose_cells.per_operation("median"))) \
        if candidate.ranked.value(choose_cells.per_operation("median")) is not None else "-"
    edges = candidate.interval()
    return _about(candidate.ranked, words) + (f" [{intervals.span(*edges)}]" if edges else " (no interval)")


def _latency(candidate, key):
    value = candidate.latency(key)
    return "-" if value is None else _about(None if candidate.load else candidate.trip, text.nanoseconds(value))


def _rates(candidate):
    found = candidate.capacity()
    if found is None:
        return "-"
    value, low, high = found
    return _about(None if candidate.load else candidate.stream, text.rate(value)) + (
        f" [{intervals.span(low, high, text.rate)}]" if low != high else "")


def _cost(candidate):
    found = candidate.ranked.value(choose_cells.metric("cpu_s_per_million"))
    return "-" if found is None else _about(candidate.ranked, text.significant(found))


def _cells(verdict, candidate):
    most = candidate.declared.get("max_message_bytes")
    cells = [_label(verdict, candidate), _time(candidate), _latency(candidate, "latency_p50_ns"),
             _latency(candidate, "latency_p99_ns"), _rates(candidate), _cost(candidate),
             "-" if most is None else text.amount(most)]
    if verdict.question.rate:
        cells.append(candidate.cpu.words() if candidate.cpu else "-")
    return cells


def ranking(verdict):
    """(heads, rows) of those who qualify."""
    heads = _HEADS + ([f"CPUs busy at {text.rate(verdict.question.rate)}"] if verdict.question.rate else [])
    places = choose_judge.ranks(verdict)
    return heads, [[f"{place}{'=' * (places.count(place) > 1)}", *_cells(verdict, candidate)]
                   for place, candidate in zip(places, verdict.qualified)]


def order_sentences(verdict):
    """Who leads, who cannot be told apart from it, and by how much the others are slower."""
    if not verdict.qualified:
        return []
    leading, level = choose_judge.leaders(verdict)
    what = f"p50 at {text.rate(verdict.question.rate)}" if verdict.by_load else "time per operation"
    told = [f"{_names(verdict, leading)} comes first." if len(leading) == 1
            else f"{_names(verdict, leading)} cannot be told apart by {what}." if level
            else f"Any of {_names(verdict, leading)} may be first by {what}."]
    first = verdict.qualified[0]
    for candidate in verdict.qualified:
        factor = choose_judge.behind(verdict, candidate)
        if factor:
            told.append(f"{_label(verdict, candidate)} is {intervals.times(*factor)} slower than "
                        f"{_label(verdict, first)}.")
    return told


def lost_sentences(verdict):
    told = {}
    for candidate in verdict.lost:
        told.setdefault("; ".join(failure.words for failure in candidate.failures), []).append(candidate)
    return [f"{_names(verdict, candidates)}: {words}." for words, candidates in told.items()]


def nobody_sentences(verdict):
    """Which single relaxation would let whom in."""
    found = choose_judge.relaxations(verdict)
    told = ["Nobody qualifies."]
    told += [f"With {relaxed}: {_names(verdict, candidates)}." for relaxed, candidates in found.items()]
    if not found and verdict.lost:
        fewest = len(verdict.lost[0].failures)
        near = [c for c in verdict.lost if len(c.failures) == fewest]
        told.append(f"No single relaxation lets anybody in; {_names(verdict, near)} "
                    f"{'miss' if len(near) > 1 else 'misses'} the fewest requirements, {fewest}.")
    return told


def turn_sentences(results, verdict):
    stretches, sizes = choose_judge.turns(results, verdict)
    if len(sizes) < 2:
        measured = f": only {text.size(sizes[0])} was measured of all" if sizes else ""
        return [f"Whether size turns the order round cannot be said{measured}."]
    told = []
    for number, (at, first) in enumerate(stretches):
        told.append(f"At {sentences_pipe.listed(map(text.size, at))} {_leads(verdict, first)}.")
        if number:
            before = text.size(stretches[number - 1][0][-1])
            told.append(f"The order turns between {before} and {text.size(at[0])}; nothing was measured between them.")
    return told or ["Whether size turns the order round cannot be said: there are too few intervals."]


def _leads(verdict, first):
    if len(first) == 1:
        return f"{_names(verdict, first)} leads"
    return f"{_names(verdict, first)} lead, none of them clearly"


def missing_sentences(results, verdict):
    told = [f"{names}: {reason}." for names, reason in verdict.missing]
    peers = sorted({r["name"] for course in verdict.courses for r in summary.measured(
        results, role="peer", primitive=course.primitive, workload=course.ranked)})
    if peers:
        told.append(f"{sentences_pipe.listed(peers)}: measured as peers; they declare no capabilities and answer to no "
                    "clause.")
    return told


def _nearest_notes(verdict):
    """Of every figure that is not of the size asked for."""
    size, told = verdict.question.size, {}
    for candidate in _everyone(verdict):
        for workload, reading in ((candidate.course.trip, candidate.trip), (candidate.course.stream, candidate.stream)):
            if reading and not reading.exact:
                key = (candidate.primitive, workload, tuple(at for at, _ in reading.points))
                told.setdefault(key, []).append(candidate)
    for primitive, workload, sizes in told:
        if len(sizes) == 2:
            yield (f"{primitive} {workload} was not measured at {text.size(size)}: figures with ~ are estimated "
                   f"between {text.size(sizes[0])} and {text.size(sizes[1])}, straight in logarithms")
        elif sizes[0] == 0:
            yield f"{primitive} {workload} was measured without a payload: its figures are of no size"
        else:
            yield (f"{primitive} {workload} was not measured at {text.size(size)}: its figures are those of "
                   f"{text.size(sizes[0])}, the nearest that was, and not estimates")


def _another_size(verdict):
    """What must be read before the figures: that they are not of the size asked for."""
    judged = [candidate.ranked for candidate in _everyone(verdict) if not candidate.refusal]
    sizes = {reading.points[0][0] for reading in judged if reading.apart and reading.points[0][0]}
    asked = text.size(verdict.question.size)
    return [f"The order and its figures are of {text.size(size)}, not of {asked}: nothing nearer was "
            "measured." for size in sorted(sizes)]


def notes(verdict):
    """How it was judged, and what the figures are."""
    told = [note for course in _courses(verdict) for note in course.notes]
    told += list(dict.fromkeys(_nearest_notes(verdict)))
    told += [f"{c.primitive}: latency from {c.trip}, rates from {c.stream or 'nothing'}, ranked by the time per "
             f"operation of {c.ranked}" for c in _courses(verdict) if not verdict.by_load]
    told.append(f"a difference counts where it clears the 95 % intervals and the noise floor of "
                f"{100 * verdict.noise[0]:.0f} % ({verdict.noise[1]})" if not verdict.by_load else
                f"ranked by p50 at the rate; it has no interval, so a difference counts only beyond the noise floor of "
                f"{100 * verdict.noise[0]:.0f} % ({verdict.noise[1]})")
    return told + _rate_notes(verdict)


def _rate_notes(verdict):
    if not verdict.question.rate:
        return []
    everyone = _everyone(verdict)
    known = [c for c in everyone if c.knows_load()]
    told = _seldom(verdict)
    told += [] if known else ["latencies are of a closed loop, one message in flight, there and back: under the rate "
                             "itself they were not measured here, and queueing makes them longer"]
    if known and len(known) < len(everyone):
        told.append(f"p50 and p99 of {_names(verdict, known)} are those under that load, from when a message was due; "
                    "of the others of a closed loop, one message in flight")
    for candidate in known:
        reading = choose_cells.load_reading(candidate.load, verdict.question.rate)
        if not reading.exact:
            told.append(f"{_label(verdict, candidate)}: latency "
                        "estimated between offered rates of "
                        + " and ".join(text.rate(at) for at, _ in reading.points))
    told.append("CPUs busy: at least the cheaper of stream and trip, at most what a message costs that wakes its "
                "receiver (the paced workload, its sender's sleep included, or a queue of one place, at their own size "
                "and placement); who spins burns a CPU per receiver")
    return told


def _seldom(verdict):
    """What becomes of latency when messages come so seldom that the receiver has gone to sleep."""
    told = []
    for candidate in (c for c in verdict.qualified if c.wait != "spin"):
        paced = candidate.wake.points[0][1] if candidate.wake else {"metrics": {}}
        late = [paced["metrics"].get(key) for key in ("latency_p50_ns", "latency_p99_ns")]
        if "offered_per_s" in paced["metrics"] and None not in late and not candidate.knows_load():
            told.append(f"{_label(verdict, candidate)}: a receiver with nothing to do falls asleep; at "
                        f"{text.rate(paced['metrics']['offered_per_s'])} ({text.size(paced['bytes'])}, "
                        f"{choose_candidates.PLACES[paced['placement']]}) p50 is {text.nanoseconds(late[0])}, p99 "
                        f"{text.nanoseconds(late[1])}, the sender's own waking up included")
    return told


def sections(results, verdict):
    """[(heading, sentences)] behind the ranking."""
    result = order_sentences(verdict) if verdict.qualified else nobody_sentences(verdict)
    parts = [("Result", _another_size(verdict) + result),
             ("Why not the others", lost_sentences(verdict)), ("By size", turn_sentences(results, verdict)),
             ("Not considered", missing_sentences(results, verdict)), ("How this was judged", notes(verdict))]
    return [(heading, lines) for heading, lines in parts if lines]


def _source(results, folder):
    example = f"; {results['run']['example']}" if "example" in results["run"] else ""
    return f"{folder}: {summary.machine(results)}{example}"


def plain(results, verdict, folder):
    parts = [choose_candidates.question_words(verdict.question, verdict.placements), _source(results, folder), ""]
    heads, rows = ranking(verdict)
    if rows:
        parts += [summary.plain_table(heads, rows), ""]
    for heading, lines in sections(results, verdict):
        parts += [f"{heading}:", *(f"  {line}" for line in lines), ""]
    return "\n".join(parts).rstrip()


def in_markdown(results, verdict, folder):
    parts = [f"**{choose_candidates.question_words(verdict.question, verdict.placements)}**",
             _source(results, folder)]
    heads, rows = ranking(verdict)
    if rows:
        parts.append(markdown.table(heads, rows))
    for heading, lines in sections(results, verdict):
        parts.append(f"**{heading}**\n\n" + "\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts)


def _entry(verdict, candidate):
    found = candidate.capacity()
    cpu = candidate.cpu
    return {"label": _label(verdict, candidate), "primitive": candidate.primitive, "name": candidate.name,
            "form": candidate.form, "wait": candidate.wait, "placement": candidate.placement,
            "ns_per_operation": {"value": None if candidate.order == float("inf") else candidate.ranked.value(
                choose_cells.per_operation("median")), "interval": candidate.interval(),
                "sizes": [at for at, _ in candidate.ranked.points]},
            "latency_p50_ns": candidate.latency("latency_p50_ns"),
            "latency_p99_ns": candidate.latency("latency_p99_ns"), "latency_under_load": candidate.knows_load(),
            "messages_per_s": found and {"value": found[0], "interval": [found[1], found[2]]},
            "cpus": cpu and {"low": cpu.low, "high": cpu.high},
            "cpu_s_per_million": candidate.ranked.value(choose_cells.metric("cpu_s_per_million")),
            "max_message_bytes": candidate.declared.get("max_message_bytes")}


def as_json(results, verdict, folder):
    ranked = [{"rank": place, **_entry(verdict, c), "slower_than_first": choose_judge.behind(verdict, c)}
              for place, c in zip(choose_judge.ranks(verdict), verdict.qualified)]
    lost = [{**_entry(verdict, c), "reasons": [f._asdict() for f in c.failures]} for c in verdict.lost]
    stretches, sizes = choose_judge.turns(results, verdict)
    return {"question": {**verdict.question._asdict(), "budget": [c.words() for c in verdict.question.budget],
                         "placement": verdict.placements},
            "results": {"folder": folder, "started": results["run"]["started"],
                        "commit": results["environment"]["commit"]},
            "qualified": ranked, "lost": lost, "noise_floor": verdict.noise[0],
            "relaxations": {} if verdict.qualified else {
                relaxed: [_label(verdict, c) for c in found]
                for relaxed, found in choose_judge.relaxations(verdict).items()},
            "by_size": [{"bytes": at, "leaders": [_label(verdict, c) for c in first]} for at, first in stretches],
            "sizes_compared": sizes,
            "not_considered": [{"who": names, "reason": reason} for names, reason in verdict.missing],
            "notes": notes(verdict)}
