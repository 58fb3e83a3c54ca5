"""How many CPUs a mechanism keeps busy at a rate: a range, since it depends on whether its messages find the receiver
asleep.

Who spins burns the CPU of every receiver whatever the rate. Of all others a message costs least in the cheaper of
stream and trip, and most where it wakes its receiver. For who sleeps at once that is every trip; for who first looks
for a while a trip need not sleep, so that the paced figure (one message each millisecond, its sender's sleep included)
or that of a queue of one place is taken, and so is it at rates no higher than the paced one."""
import typing

from . import choose_cells, text

_COST = choose_cells.metric("cpu_s_per_million")


class Cpu(typing.NamedTuple):
    """CPUs busy at the asked rate; `high` is None where nothing was measured that sleeps at each message."""
    low: float
    high: float | None
    spins: bool

    def words(self):
        if self.high is None:
            return f"{text.significant(self.low)} or more"
        ends = list(dict.fromkeys((text.significant(self.low), text.significant(self.high))))
        return " to ".join(ends)


def usable(results, placement, processes):
    """How many CPUs can be busy at all."""
    online = len(results["environment"]["cpu"].get("affinity") or []) or processes
    return min(processes, {"same": 1, "cross": 2}.get(placement, online))


def at_rate(candidate, rate, consumers, most):
    """`most` CPUs can be busy. None without a single cost."""
    if candidate.wait == "spin":
        return _spinning(candidate, rate, consumers, most)
    stream, trip, wake = (_of(found) for found in (candidate.stream, candidate.trip, candidate.wake))
    cheap = [cost for cost in (stream, trip) if cost is not None]
    if not cheap:
        return None
    worst = _worst(candidate, rate, trip, wake)
    low = min(most, rate * min(cheap) / 1e6)
    high = None if worst is None else min(most, rate * max([worst, *cheap]) / 1e6)
    return Cpu(low, high, False)


def _of(found):
    return found and found.value(_COST)


def _worst(candidate, rate, trip, wake):
    """The cost of a message that wakes its receiver; None if nothing of the kind was measured."""
    if candidate.primitive != "pipe":
        costs = [cost for cost in (trip, wake) if cost is not None]
        if candidate.wait == "adaptive":
            return None if wake is None else max(costs)
        return max(costs, default=None)
    if candidate.wait == "adaptive":
        return wake
    paced = candidate.wake and candidate.wake.points[0][1]["metrics"].get("offered_per_s")
    return wake if paced and rate <= paced else trip


def _spinning(candidate, rate, consumers, most):
    idle = 1.0 if candidate.idle is None else min(1.0, candidate.idle / 100)
    low = min(most, consumers * idle)
    costs = [cost for cost in (_of(candidate.stream), _of(candidate.trip)) if cost is not None]
    high = min(most, consumers + rate * max(costs) / 1e6) if costs else None
    return Cpu(low, high, True)
