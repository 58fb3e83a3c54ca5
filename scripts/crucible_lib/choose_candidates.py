"""The candidates of a question of `choose`: a mechanism in one form, waiting in one way, in one placement, with all
that a run says of it at the size and rate asked for."""
import math

from . import choose_cells, choose_cpu, choose_question, intervals, summary, text

PLACEMENTS = ("cross", "free", "same")
PLACES = {"cross": "across two CPUs", "same": "on one CPU", "free": "unpinned", "any": "in any placement"}
# Of one CPU, in percent: above it a receiver that waits does not leave the CPU alone.
MOST_IDLE = 1.0


class Candidate:
    """Its readings are None where nothing was measured."""

    def __init__(self, identity, question, course):
        self.primitive, self.name, self.form, self.wait, self.placement = identity
        self.identity, self.question, self.course = identity, question, course
        self.trip = self.stream = self.wake = self.idle = self.load = self.cpu = None
        self.declared, self.scheme, self.record, self.failures, self.by_load = {}, "", None, [], False
        self.refusal = None  # (why it does not take messages of this size, for which sizes to ask instead)

    @property
    def ranked(self):
        """The reading that decides the order, unless latency under the load itself does."""
        return self.trip if self.course.ranked == self.course.trip else self.stream

    @property
    def spans(self):
        """[(size, Estimate)] of what decides the order; None without an interval."""
        if not self.by_load:
            return choose_cells.spans(self.ranked)
        late = self.latency("latency_p50_ns")
        return [(self.question.size, intervals.Estimate(self.load, late, late, late))]

    @property
    def order(self):
        """What is sorted by, in ns; worked out where the size asked for lies between two."""
        if self.by_load:
            return self.latency("latency_p50_ns")
        found = self.ranked.value(choose_cells.per_operation("median"))
        return math.inf if found is None else found

    def interval(self):
        """(low, high) of the time per operation; None without one."""
        edges = tuple(self.ranked.value(choose_cells.per_operation(edge)) for edge in ("low", "high"))
        return None if None in edges else edges

    def latency(self, key):
        """A percentile at the rate asked for if that was measured, else of a trip with one message in flight."""
        if self.load and key in ("latency_p50_ns", "latency_p99_ns"):
            found = choose_cells.load_reading(self.load, self.question.rate)
            return found and found.value(lambda point: point[key])
        return self.trip and self.trip.value(choose_cells.metric(key))

    def capacity(self):
        """(messages/s, low, high): the highest that was sustained or streamed; None if neither was measured."""
        if self.load:
            found = choose_cells.capacity_under_load(self.load)
            return found, found, found
        times = [self.stream and self.stream.value(choose_cells.per_operation(edge))
                 for edge in ("median", "high", "low")]
        if times[0] is None:
            return None
        median, slowest, fastest = (1e9 / (time or times[0]) for time in times)
        return median, slowest, fastest

    def knows_load(self):
        """Whether its latency under that very load is known."""
        return bool(self.load) and self.latency("latency_p50_ns") is not None

    def label(self, mixed, placed):
        """With its primitive where several are `mixed`, and its placement where that is no common one."""
        words = _named(self.identity, placed)
        return f"{self.primitive} {words}" if mixed else words


def _placements(results, question, courses):
    """Those asked for; if none is named, the first in which enough was measured to choose from."""
    if question.placement == "any":
        return PLACEMENTS
    if question.placement:
        return (question.placement,)
    for course in courses:
        measured = choose_cells.cells(results, course.primitive, course.ranked)
        for placement in PLACEMENTS:
            if len({key[1] for key in measured if key[4] == placement}) > 1:
                return (placement,)
    return PLACEMENTS[:1]


def find(results, question):
    """(candidates, placements, courses, those left out because others were measured nearer to the size)."""
    courses = [choose_cells.course(results, primitive, question.peers) for primitive in question.primitives]
    placements = _placements(results, question, courses)
    found = [candidate for course in courses for candidate in _of_course(results, question, course)
             if candidate.placement in placements]
    nearest = min((candidate.ranked.apart for candidate in found), default=0)
    far = [candidate for candidate in found if candidate.ranked.apart > nearest and not candidate.refusal]
    return [candidate for candidate in found if candidate not in far], placements, courses, far


def _of_course(results, question, course):
    trips = choose_cells.cells(results, course.primitive, course.trip)
    streams = choose_cells.cells(results, course.primitive, course.stream) if course.stream else {}
    wakes = choose_cells.wakes(results, course.primitive, course.wake)
    idle = choose_cells.wakes(results, "pipe", "idle") if course.primitive == "pipe" else {}
    loads = choose_cells.cells(results, course.primitive, "load") if question.rate and question.peers == (1, 1) else {}
    declared = choose_question.table(results, course.primitive)
    for key in (streams if course.ranked != course.trip else trips):
        candidate = Candidate(key, question, course)
        candidate.trip = choose_cells.reading(question.size, trips.get(key, {}))
        candidate.stream = choose_cells.reading(question.size, streams.get(key, {}))
        candidate.wake = choose_cells.reading(question.size, wakes.get(key[:4], {}))
        candidate.record = candidate.ranked.points[0][1]
        candidate.declared = declared.get((candidate.name, candidate.form), {})
        candidate.refusal = _refusal(results, candidate)
        candidate.scheme = results.get("mechanisms", {}).get(candidate.name, {}).get("scheme", "")
        asleep = next(iter(idle.get(key[:4], {}).values()), None)
        candidate.idle = asleep and asleep["metrics"].get("cpu_percent")
        load = loads.get(key, {}).get(question.size)
        candidate.load = load if load and "load_curve" in load else None
        if question.rate:
            most = choose_cpu.usable(results, candidate.placement, candidate.record["processes"])
            candidate.cpu = choose_cpu.at_rate(candidate, question.rate, question.peers[1], most)
        yield candidate


def _refusal(results, candidate):
    size, most = candidate.question.size, candidate.declared.get("max_message_bytes")
    if most is not None and size > most:
        return f"carries at most {text.amount(most)}, not {text.size(size)}", f"--size up to {text.amount(most)}"
    for record in results["records"]:
        if ("unsupported" in record and record["bytes"] == size and record["role"] == "mechanism"
                and record["workload"] == candidate.course.ranked
                and choose_cells.identity({"wait": "kernel", **record}) == candidate.identity):
            return f"does not support {text.size(size)}: {record['unsupported']}", "another --size"
    return None


def declares(candidate, need):
    """Whether it is what it is asked to be."""
    if need == choose_question.UNRELATED:
        return bool(candidate.scheme) and candidate.primitive in ("pipe", "queue", "manager")
    if need in choose_question.BLOCKING:
        return candidate.wait != "spin" and (candidate.idle or 0) <= MOST_IDLE
    return candidate.declared.get(need) is True


def too_far(far, size):
    """[(who, reason)] of those whose figures are of another size than the figures of the others."""
    told = {}
    for candidate in far:
        at = text.size(candidate.ranked.points[0][0])
        reason = (f"{candidate.course.ranked} was measured no nearer to {text.size(size)} than {at} "
                  f"{PLACES[candidate.placement]}, that of others was")
        told.setdefault((candidate.primitive, reason), []).append(_named(candidate.identity, False))
    return [(f"{primitive} {', '.join(names)}", reason) for (primitive, reason), names in told.items()]


def missing(results, seen, placements, courses):
    """[(who, reason)] of what could not be considered, since its decisive workload was not measured. `seen` are the
    identities of the others."""
    told = []
    for course in courses:
        why = {choose_cells.identity({"wait": "kernel", **r}): r.get("not_measured") or r.get("unsupported")
               for r in results["records"] if r["workload"] == course.ranked and r["primitive"] == course.primitive
               and r["role"] == "mechanism" and "metrics" not in r}
        declared = list(_declared(results, course.primitive, placements))
        for placement in placements:
            reasons = {}
            for key in (key for key in declared if key[4] == placement and key not in seen):
                reason = why.get(key, f"{course.ranked} was not measured {PLACES[placement]}")
                reasons.setdefault(reason, []).append(_named(key, False))
            everyone = sum(key[4] == placement for key in declared)
            told += [(f"every {course.primitive}" if len(names) == everyone else
                      f"{course.primitive} {', '.join(names)}", reason) for reason, names in reasons.items()]
    return told


def _declared(results, primitive, placements):
    """The identities that the build's table has of a primitive."""
    for name, row in results.get("mechanisms", {}).items():
        forms = {"native": row} if primitive == "pipe" else row.get(primitive + "s", {})
        for form, entry in forms.items():
            for wait in entry["waits"] or ["kernel"]:
                for placement in placements:
                    yield primitive, name, form, wait, placement


def _named(key, placed):
    words = summary.label({"name": key[1], "wait": key[3], "form": key[2] if key[0] == "queue" else "native"})
    return f"{words} [{key[4]}]" if placed else words


def question_words(question, placements):
    """The question again, as it was understood."""
    producers, consumers = question.peers
    place = PLACES[question.placement if question.placement == "any" else placements[0]]
    parts = [f"messages of {text.size(question.size)}", f"{producers} producer{'s' * (producers > 1)} and {consumers} "
             f"consumer{'s' * (consumers > 1)}", place]
    parts += [text.rate(question.rate, " messages/s")] if question.rate else []
    parts += [f"needs {', '.join(question.needs)}"] if question.needs else []
    parts += [f"budget {', '.join(clause.words() for clause in question.budget)}"] if question.budget else []
    return "; ".join(parts + [f"{' or '.join(question.primitives)}"])
