"""Which cells of a run answer a question of `choose`, and what they say at a size or rate that may not have been
measured."""
import math
import re
import typing

from . import intervals, summary

_SHAPE = re.compile(r"(?:one_way|fan_in|fan_out)_(\d+)x(\d+)")
_COUNT = {"pool": re.compile(r"workers_(\d+)"), "manager": re.compile(r"dict_mixed_(\d+)")}
_TRIPS = {"pipe": "round_trip", "queue": "round_trip", "pool": "apply", "manager": "dict_get_1"}
# Where every message finds its receiver asleep: one each millisecond, or one that fills the queue.
_WAKES = {"pipe": "paced", "queue": "depth_1_1x1"}


class Course(typing.NamedTuple):
    """The workloads of one primitive that stand for the peers asked for: `trip` for latency, `stream` for rates, `wake`
    for the CPU of a message whose receiver slept; `ranked` is the one that decides the order."""
    primitive: str
    trip: str
    stream: str | None
    wake: str | None
    ranked: str
    notes: list


class Reading(typing.NamedTuple):
    """What was measured nearest to `at`, a size or a rate: [(size or rate, entry)], one, or the two on each side."""
    at: float
    points: list

    @property
    def exact(self):
        return self.points[0][0] == self.at

    @property
    def estimated(self):
        return len(self.points) == 2

    @property
    def apart(self):
        """How far off the measured it is: 0 where it was measured or lies between two."""
        if self.exact or self.estimated:
            return 0
        nearest = self.points[0][0]
        return abs(math.log(self.at / nearest)) if nearest and self.at else math.inf

    def value(self, get):
        """Of an entry by `get`; between two it is interpolated in logarithms. None if not all of them have it."""
        found = [get(entry) for _, entry in self.points]
        if None in found:
            return None
        if len(found) == 1 or found[0] == found[1]:
            return found[0]
        if min(found) <= 0:
            return max(found)  # has no logarithm; the larger is the cautious one for a time and for a cost
        (x0, _), (x1, _) = self.points
        share = math.log(self.at / x0) / math.log(x1 / x0)
        return math.exp((1 - share) * math.log(found[0]) + share * math.log(found[1]))


def reading(at, entries):
    """`entries` by their size or rate; None without any."""
    if not entries:
        return None
    below = max((x for x in entries if 0 < x <= at), default=None)
    above = min((x for x in entries if x >= at), default=None)
    chosen = sorted({x for x in (below, above) if x is not None}) or [max(entries)]
    return Reading(at, [(x, entries[x]) for x in chosen])


def metric(key):
    return lambda record: record["metrics"].get(key)


def per_operation(edge):
    return lambda record: record.get("ns_per_operation", {}).get(edge)


def course(results, primitive, peers):
    """The workloads for (producers, consumers) of a primitive: those of just these peers, or the nearest, with a note.
    """
    trip, wake = _TRIPS[primitive], _WAKES.get(primitive)
    if primitive == "pipe":
        return Course("pipe", trip, "one_way", wake, trip, [])
    shapes = _shapes(results, primitive)
    if not shapes:
        return Course(primitive, trip, None, wake, trip, [])
    nearest = min(shapes, key=lambda shape: (_distance(shape, peers), shape))
    notes = []
    if nearest != peers:
        notes.append(f"{primitive}: {_ratio(peers)} was not measured; the rates are those of {_ratio(nearest)}, the "
                     "nearest that was")
    if peers != (1, 1):
        notes.append(f"{primitive}: latency is that of {trip} between one and one; under {_ratio(peers)} it was not "
                     "measured")
    return Course(primitive, trip, shapes[nearest], wake, trip if peers == (1, 1) else shapes[nearest], notes)


def _ratio(peers):
    return f"{peers[0]}:{peers[1]}"


def _shapes(results, primitive):
    """{(producers, consumers): workload} of what was measured."""
    names = {r["workload"] for r in summary.measured(results, role="mechanism", primitive=primitive)}
    if primitive == "queue":
        return {(int(m[1]), int(m[2])): m[0] for m in map(_SHAPE.fullmatch, sorted(names)) if m}
    counts = {int(m[1]): m[0] for m in map(_COUNT[primitive].fullmatch, sorted(names)) if m}
    if primitive == "manager":
        if _TRIPS["manager"] in names:
            counts[1] = _TRIPS["manager"]
        return {(clients, 1): workload for clients, workload in counts.items()}
    return {(1, workers): workload for workers, workload in counts.items()}


def _distance(shape, peers):
    return sum(abs(math.log(own / asked)) for own, asked in zip(shape, peers))


def identity(record):
    return record["primitive"], record["name"], record.get("form", "native"), record["wait"], record["placement"]


def cells(results, primitive, workload):
    """{identity: {bytes: record}} of the mechanisms in a workload."""
    found = {}
    for record in summary.measured(results, role="mechanism", primitive=primitive, workload=workload, call="direct"):
        found.setdefault(identity(record), {})[record["bytes"]] = record
    return found


def wakes(results, primitive, workload):
    """The same of any placement: a stretch of one wake-up is measured in one placement only."""
    return {key[:4]: by_size for key, by_size in cells(results, primitive, workload).items()} if workload else {}


def load_reading(record, rate):
    """What the load curve of a record says at a rate; None beyond what was offered: a receiver that waits for longer
    may have gone to sleep meanwhile."""
    points = {point["offered_per_s"]: point for point in record["load_curve"]}
    return reading(rate, points) if min(points) <= rate <= max(points) else None


def capacity_under_load(record):
    """The highest rate that was sustained; where none was, the lowest that was offered is already too much."""
    return record["metrics"].get("sustainable_per_s", 0.0)


def spans(found):
    """[(size, Estimate)] of a reading, None where one of its cells has no interval."""
    estimates = [(size, intervals.estimate(record)) for size, record in found.points]
    return None if any(estimate is None for _, estimate in estimates) else estimates


def envelope(estimates):
    return intervals.Estimate(None, None, min(e.low for _, e in estimates), max(e.high for _, e in estimates))


def factor(ahead, behind, noise):
    """(low, high) of how many times faster, where both sizes around the one asked for say so; None without
    intervals."""
    if ahead is None or behind is None:
        return None
    if [size for size, _ in ahead] == [size for size, _ in behind]:
        pairs = [(one, other) for (_, one), (_, other) in zip(ahead, behind)]
    else:
        pairs = [(envelope(ahead), envelope(behind))]
    found = [intervals.factor(one, other, noise) for one, other in pairs]
    return min(low for low, _ in found), max(high for _, high in found)


def clearly(ahead, behind, noise):
    found = factor(ahead, behind, noise)
    return found is not None and found[0] > 1
