"""Sentences about pipes: who answers fastest, who carries most, where the order turns, what it costs in CPU."""
import itertools
import math

from . import conformance, intervals, pipe_cells, summary, text

SMALL, LARGE = 64, 1 << 20
SLEEPERS = ("kernel", "block")
MOST_TURNS = 3
MOST_NAMED = 6


def listed(names):
    """'a', 'a and b', 'a, b and c'."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def who(record):
    """The label of a record; the form only where there is a choice of forms."""
    shown = {**record, "form": "native"} if record["primitive"] in ("pool", "manager") else record
    return summary.label(shown) + (" (peer)" if record["role"] == "peer" else "")


def names(cells):
    shown = [who(cell.record) for cell in cells[:MOST_NAMED]]
    return listed(shown + [f"{len(cells) - MOST_NAMED} more"] * (len(cells) > MOST_NAMED))


def _found(results, workload, place, size):
    """The measured cells of a placement at the size nearest to the one asked for, and that size."""
    cells = [r for r in pipe_cells.pipe(results, workload) if r["placement"] == place]
    sizes = sorted({r["bytes"] for r in cells}, key=lambda b: (abs(b.bit_length() - size.bit_length()), b))
    return [r for r in cells if r["bytes"] == sizes[0]] if sizes else [], sizes[0] if sizes else 0


def _records(*groups):
    return [cell.record for cell in itertools.chain(*groups)]


def claim(ranking, verb, form, comparison):
    """'a answers in 3 µs, 1.2 to 1.4 times faster than b, the next' of a ranking; never a winner where two are level.
    `verb` is (of one, of many)."""
    alone = len(ranking.first) == 1
    one, many = verb
    level = "{} cannot be told apart; they {} " if ranking.level else "any of {} may be first; they {} "
    words = f"{names(ranking.first)} {one} " if alone else level.format(names(ranking.first), many)
    words += form(ranking.first)
    if ranking.behind:
        others = "" if alone else " all"
        words += f",{others} {intervals.times(*ranking.factor)} {comparison} {who(ranking.behind.record)}"
        words += ", the next" if alone else ", the first that is clearly behind"
    return words


def _ranked(results, workload, place, size, verb, form, comparison):
    """Two sentences of one column: of those that sleep, then, where others look or spin, of all. Unpinned, those that
    sleep are not compared: their figures tell where the scheduler put them."""
    found, size = _found(results, workload, place, size)
    cells, _ = intervals.believed(results, found)
    if place == "free":
        apart = _by_place(results, workload, size, cells)
        if apart:
            yield apart
        cells = [cell for cell in cells if cell.record["wait"] not in SLEEPERS]
    noise, _ = intervals.floor(results, "ns_per_operation", workload)
    sleepers = [cell for cell in cells if cell.record["wait"] in SLEEPERS]
    where = f"{text.size(size)} {pipe_cells.PLACEMENT_TITLES[place]}"
    ranking = intervals.rank(sleepers, noise)
    if len(sleepers) > 1:
        yield (f"{where}, of those that sleep while they wait: {claim(ranking, verb, form, comparison)}.",
               _records(ranking.first, [ranking.behind] if ranking.behind else []), place == "cross")
    told, ranking = ranking, intervals.rank(cells, noise)
    if len(cells) > 1 and (len(sleepers) < 2 or ranking.first != told.first):
        kind = "of those that look before they sleep, or never sleep" if place == "free" else "however they wait"
        yield (f"{where}, {kind}: {claim(ranking, verb, form, comparison)}{_price(ranking.first, cells)}.",
               _records(ranking.first, [ranking.behind] if ranking.behind else []), place == "cross")


def _by_place(results, workload, size, cells):
    """Of those that sleep, the one whose time depends most on whether its processes share a CPU; None if unknown."""
    pinned = {(r["placement"], who(r)): intervals.estimate(r) for r in pipe_cells.pipe(results, workload)
              if r["bytes"] == size and r["wait"] in SLEEPERS}
    sleepers = [who(cell.record) for cell in cells if cell.record["wait"] in SLEEPERS]
    both = [(pinned["same", name], pinned["cross", name]) for name in sleepers
            if pinned.get(("same", name)) and pinned.get(("cross", name))]
    if len(both) < 2:
        return None
    same, cross = max(both, key=lambda pair: abs(math.log(pair[1].median / pair[0].median)))
    ahead, behind = sorted((same, cross), key=lambda cell: cell.median)
    return (f"{text.size(size)} unpinned, of those that sleep while they wait: no order is claimed. The scheduler chooses "
            f"whether the two processes share a CPU, and {who(same.record)}, for one, is "
            f"{intervals.times(*intervals.factor(ahead, behind, 0))} faster "
            f"{pipe_cells.PLACEMENT_TITLES[ahead.record['placement']]} than "
            f"{pipe_cells.PLACEMENT_TITLES[behind.record['placement']]}.", _records([same, cross]), False)


def busy(cell):
    """How many CPUs all its processes together keep busy while they work; None where it was not recorded."""
    used = cell.record["metrics"].get("cpu_s_per_million")
    messages = cell.record.get("fairness", {}).get("messages_per_operation")
    return None if used is None or not messages else 1e3 * used * messages / cell.median


def _price(first, cells):
    prices = [busy(cell) for cell in first]
    if None in prices:
        return ""
    usual = [busy(cell) for cell in cells if cell.record["wait"] in SLEEPERS]
    others = f" (who sleeps: {_cpus(usual)})" if usual and None not in usual else ""
    return f"; meanwhile {_cpus(prices)} CPUs are busy{others}"


def _cpus(counts):
    return " to ".join(dict.fromkeys((f"{min(counts):.1f}", f"{max(counts):.1f}")))


def answers(results):
    for place in ("cross", "same", "free"):
        yield from _ranked(results, "round_trip", place, SMALL, ("answers", "answer"),
                           lambda cells: f"in {intervals.durations(cells)}", "faster than")


def carries(results):
    def messages(cells):
        return intervals.rates(cells).replace("/s", " messages/s")

    def gib(cells):
        size = cells[0].record["bytes"]
        return intervals.span(size * 1e9 / max(c.high for c in cells), size * 1e9 / min(c.low for c in cells),
                              text.gib_per_s)
    for size, form in ((SMALL, messages), (LARGE, gib)):
        for place in ("cross", "same", "free"):
            for sentence, cells, leading in _ranked(results, "one_way", place, size, ("carries", "carry"), form,
                                                       "as much as"):
                yield sentence, cells, leading and size == LARGE and "however they wait" in sentence


def order(results):
    """Who is first from which size to which, and pairs whose order turns with size or placement."""
    noise, _ = intervals.floor(results, "ns_per_operation", "round_trip")
    columns = {}
    for record in pipe_cells.pipe(results, "round_trip"):
        columns.setdefault((record["placement"], record["bytes"]), []).append(record)
    columns = {key: intervals.believed(results, found)[0] for key, found in columns.items()}
    for place in ("cross", "same"):
        here = {size: cells for (p, size), cells in sorted(columns.items()) if p == place and len(cells) > 1}
        if len(here) > 1:
            yield _leaders(pipe_cells.PLACEMENT_TITLES[place], here, noise)
            yield from _turns({f"at {text.size(size)}": cells for size, cells in here.items()}, noise,
                              f"Of those that sleep, {pipe_cells.PLACEMENT_TITLES[place]}, the order turns with the "
                              "size: ")
    at = {pipe_cells.PLACEMENT_TITLES[p]: columns[p, SMALL] for p in ("cross", "same") if columns.get((p, SMALL))}
    if len(at) > 1:
        yield from _turns(at, noise, f"Of those that sleep, {text.size(SMALL)}, the order turns with the placement: ")


def _leaders(where, columns, noise):
    """By size, joined where the same are first."""
    firsts = [(size, intervals.rank(cells, noise).first, len(cells)) for size, cells in columns.items()]
    parts, used = [], []
    for words, group in itertools.groupby(firsts, key=lambda entry: _leading(*entry[1:])):
        group = list(group)
        parts.append(f"{intervals.span(group[0][0], group[-1][0], text.size)}: {words}")
        used += _records(*(first for _, first, _ in group))
    return f"First {where}, by size: {'; '.join(parts)}.", used, False


def _leading(first, count):
    if len(first) > max(3, count // 2):
        return f"nobody ({len(first)} of {count} cannot be told apart)"
    return listed(sorted(who(cell.record) for cell in first)) + (" (level)" if len(first) > 1 else "")


def _turns(columns, noise, head):
    """Pairs of those that sleep, each clearly ahead of the other somewhere; the widest first."""
    columns = {at: {who(c.record): c for c in cells if c.record["wait"] in SLEEPERS}
               for at, cells in columns.items()}
    found = []
    for one, other in itertools.combinations(sorted({n for cells in columns.values() for n in cells}), 2):
        won, lost = [], []
        for at, cells in columns.items():
            if one in cells and other in cells:
                for side, pair in ((won, (cells[one], cells[other])), (lost, (cells[other], cells[one]))):
                    if intervals.clearly(*pair, noise):
                        side.append((intervals.factor(*pair, noise), at, pair))
        if won and lost:
            found.append((max(won, key=lambda w: w[0][0]), max(lost, key=lambda w: w[0][0])))
    found.sort(key=lambda pair: -min(side[0][0] for side in pair))
    for pair in found[:MOST_TURNS]:
        parts = [f"{at} {who(ahead.record)} is {intervals.times(*factor)} faster than "
                 f"{who(behind.record)}" for factor, at, (ahead, behind) in pair]
        yield f"{head}{parts[0]}, {parts[1]}.", _records(*(side[2] for side in pair)), False


def cpu(results):
    """Figures without an interval are stated, not compared."""
    place = next((p for p in ("cross", "free", "same") if _found(results, "round_trip", p, SMALL)[0]), None)
    if place:
        found, size = _found(results, "round_trip", place, SMALL)
        cells, _ = intervals.believed(results, found)
        cells = sorted((cell for cell in cells if "cpu_s_per_million" in cell.record["metrics"]),
                       key=lambda cell: cell.record["metrics"]["cpu_s_per_million"])
        if cells:
            each = [f"{who(c.record)} {text.significant(c.record['metrics']['cpu_s_per_million'])}" for c in cells]
            yield (f"CPU seconds of all processes for a million messages that go there or back, {text.size(size)} "
                   f"{pipe_cells.PLACEMENT_TITLES[place]}: {', '.join(each)}.", _records(cells), False)
    yield from _idle(results)


def _idle(results):
    found, _ = _found(results, "idle", "free", 8)
    cells = [r for r in found if "cpu_percent" in r["metrics"] and conformance.standing(results, r) == "passed"]
    burning = [r for r in cells if r["metrics"]["cpu_percent"] >= 50]
    resting = [r for r in cells if r["metrics"]["cpu_percent"] < 50]
    if burning:
        words = listed(f"{who(r)} keeps {r['metrics']['cpu_percent']:.0f} % of a CPU busy" for r in burning)
        most = max((r["metrics"]["cpu_percent"] for r in resting), default=None)
        others = f"; the other {len(resting)} use at most {text.significant(max(most, 0))} %" if resting else ""
        yield f"While a receiver waits and nothing comes, {words}{others}.", burning + resting, True
    elif resting:
        most = max(resting, key=lambda r: r["metrics"]["cpu_percent"])
        yield (f"While a receiver waits and nothing comes, none uses more than "
               f"{text.significant(max(most['metrics']['cpu_percent'], 0))} % of a CPU ({who(most)}).", resting, True)
