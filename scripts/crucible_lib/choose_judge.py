"""Who qualifies for a question of `choose`, in which order, and why each other does not."""
import itertools
import typing

from . import choose_candidates, choose_cells, choose_question, conformance, intervals, sentences_pipe, text


class Failure(typing.NamedTuple):
    """Why a candidate does not qualify. `relaxed` is the requirement to drop or to widen; empty where none can be."""
    kind: str
    words: str
    relaxed: str


class Verdict(typing.NamedTuple):
    question: object
    placements: tuple
    courses: list
    qualified: list  # the first first
    lost: list
    noise: tuple  # (relative, where it is from)
    by_load: bool
    missing: list


def judge(results, question):
    found, placements, courses, far = choose_candidates.find(results, question)
    for candidate in found:
        candidate.failures = list(_failures(results, candidate))
    qualified = [candidate for candidate in found if not candidate.failures]
    by_load = bool(qualified) and all(candidate.knows_load() for candidate in qualified)
    for candidate in qualified:
        candidate.by_load = by_load
    ranked = (found[0].course if found else courses[0]).ranked
    metric, workload = ("latency_p50_ns", "load") if by_load else ("ns_per_operation", ranked)
    seen = {candidate.identity for candidate in (*found, *far)}
    return Verdict(question, placements, courses, sorted(qualified, key=lambda c: c.order),
                   sorted((c for c in found if c.failures), key=lambda c: (len(c.failures), c.order)),
                   intervals.floor(results, metric, workload), by_load,
                   choose_candidates.too_far(far, question.size)
                   + choose_candidates.missing(results, seen, placements, courses))


def _failures(results, candidate):
    question = candidate.question
    for need in question.needs:
        if not choose_candidates.declares(candidate, need):
            yield Failure("need", _need_words(candidate, need), f"--need without {need.replace('_', '-')}")
    if candidate.refusal:
        yield Failure("limit", *candidate.refusal)
    yield from _contract(results, candidate)
    if question.rate:
        yield from _rate(candidate)
    for clause in question.budget:
        yield from _budget(candidate, clause)


def _need_words(candidate, need):
    if need == choose_question.UNRELATED:
        return f"does not declare unrelated: a {candidate.primitive} of it has no named door"
    if need in choose_question.BLOCKING:
        return f"is not {need.replace('_', '-')}: a waiting receiver " + (
            "spins" if candidate.idle is None else f"uses {text.significant(candidate.idle)} % of a CPU")
    return f"does not declare {need}"


def _contract(results, candidate):
    standing = conformance.standing(results, candidate.record)
    if standing == "unchecked":
        yield Failure("clause", "was not checked by the conformance suite, so its figures are not valid", "")
    elif standing == "failed":
        entry = conformance.entry_of(results, candidate.record) or {"failed": []}
        named = sentences_pipe.listed(conformance.failed_clauses(entry)) if entry["failed"] else \
            "a clause of what it is made of"
        yield Failure("clause", f"failed {named}, so its figures are not valid", "")


def _rate(candidate):
    asked, found = candidate.question.rate, candidate.capacity()
    if found is None:
        yield Failure("rate", f"cannot be said to sustain {text.rate(asked)}: no rate of it was measured", "no --rate")
    elif found[0] < asked:
        yield Failure("rate", f"cannot sustain {text.rate(asked)}: {_capacity_words(candidate)}",
                      f"--rate {choose_question.below(found[0])}" if found[0] else "no --rate")


def _capacity_words(candidate):
    value, low, high = candidate.capacity()
    if candidate.load:
        return f"{text.rate(value)} is the highest that it sustained" if value else "it sustained no rate offered"
    about = "about " if candidate.stream.estimated else ""
    return f"it carries {about}{intervals.span(low, high, text.rate)} at most"


def _budget(candidate, clause):
    without = f"--budget without {clause.words()}"
    if clause.name == "cpu":
        yield from _cpu(candidate, clause)
        return
    found = candidate.capacity() if clause.name == "rate" else candidate.latency(clause.key)
    value = found[0] if isinstance(found, tuple) else found
    if value is None:
        yield Failure("budget", f"cannot be said to keep {clause.words()}: its {clause.name} is not known", without)
    elif not clause.kept(value):
        yield Failure("budget", f"breaks the budget {clause.words()} with {clause.shown(value)}",
                      f"--budget '{clause.relaxed(value)}'" if value else without)


def _cpu(candidate, clause):
    cpu, words = candidate.cpu, clause.words()
    if cpu is None or cpu.high is None and cpu.low < clause.most:
        yield Failure("budget", f"cannot be said to keep {words}: what a message costs that wakes its receiver was "
                      "not measured", f"--budget without {words}")
    elif cpu.low >= clause.most:
        why = ": a receiver that spins burns its CPU whatever the rate" if cpu.spins else ""
        yield Failure("budget", f"breaks the budget {words} with {cpu.words()} CPUs{why}", _wider(cpu, clause))
    elif cpu.high >= clause.most:
        yield Failure("budget", f"may break the budget {words}: {text.significant(cpu.low)} CPUs while messages come "
                      f"in streams, {text.significant(cpu.high)} if each wakes its receiver", _wider(cpu, clause))


def _wider(cpu, clause):
    return f"--budget without {clause.words()}" if cpu.high is None else f"--budget '{clause.relaxed(cpu.high)}'"


def ranks(verdict):
    """The place of each who qualifies: one behind those that clearly beat it."""
    noise = verdict.noise[0]
    return [1 + sum(choose_cells.clearly(other.spans, one.spans, noise) for other in verdict.qualified)
            for one in verdict.qualified]


def behind(verdict, candidate):
    """(low, high) of how many times the first is faster; None where the two cannot be told apart."""
    found = choose_cells.factor(verdict.qualified[0].spans, candidate.spans, verdict.noise[0])
    return found if found and found[0] > 1 else None


def leaders(verdict):
    """(those that the first does not clearly beat, whether no two of them can be told apart)."""
    first = [candidate for candidate in verdict.qualified if behind(verdict, candidate) is None]
    return first, not any(choose_cells.clearly(one.spans, other.spans, verdict.noise[0])
                          for one, other in itertools.permutations(first, 2))


def relaxations(verdict):
    """{requirement: candidates} of whom one single requirement keeps out, where it can be relaxed."""
    found = {}
    for candidate in verdict.lost:
        if len(candidate.failures) == 1 and candidate.failures[0].relaxed:
            found.setdefault(candidate.failures[0].relaxed, []).append(candidate)
    return found


def turns(results, verdict):
    """(who leads at which sizes: [(sizes, candidates)], sizes compared), among all that declare what is needed and
    passed: budgets are of the size asked for only. Where the next size has other leaders, the order turns."""
    eligible = [c for c in [*verdict.qualified, *verdict.lost]
                if not any(failure.kind in ("need", "clause", "limit") for failure in c.failures)]
    courses = {(c.primitive, c.course.ranked) for c in eligible}
    cells = {}
    for primitive, workload in courses:
        cells.update(choose_cells.cells(results, primitive, workload))
    sizes = sorted(set.intersection(*(set(cells[c.identity]) for c in eligible))) if len(eligible) > 1 else []
    leaders = [(size, _leaders(results, eligible, cells, size, verdict.courses[0].ranked)) for size in sizes]
    return _stretches([(size, first) for size, first in leaders if first]), sizes


def _leaders(results, eligible, cells, size, workload):
    estimates = {c: intervals.estimate(cells[c.identity][size]) for c in eligible}
    if None in estimates.values():
        return []
    noise, _ = intervals.floor(results, "ns_per_operation", workload)
    ahead = min(estimates, key=lambda c: estimates[c].median)
    return [c for c in eligible if not intervals.clearly(estimates[ahead], estimates[c], noise)]


def _stretches(leaders):
    """[(sizes, those who lead at all of them)], each as long as somebody does."""
    found = []
    for size, first in leaders:
        common = [c for c in found[-1][1] if c in first] if found else []
        if common:
            found[-1] = ([*found[-1][0], size], common)
        else:
            found.append(([size], first))
    return found
