"""What may be said of two cells: intervals, the noise floor, who is clearly ahead and who cannot be told apart."""
import itertools
import math
import statistics
import typing

from . import conformance, text
from . import noise as noise_run

# Assumed only where a run says nothing about its own noise: nothing in it was measured twice.
ASSUMED_FLOOR = 0.10


class Estimate(typing.NamedTuple):
    """The time per operation of a cell, in ns, with its 95 % interval."""
    record: dict
    median: float
    low: float
    high: float


class Ranking(typing.NamedTuple):
    """`first` cannot be told apart from its fastest member, and not from one another if they are `level`; `behind` is
    the next that all of them clearly beat."""
    first: list
    level: bool
    behind: Estimate
    factor: tuple


def estimate(record):
    """None where the blocks were too few for an interval."""
    entry = record.get("ns_per_operation")
    if not entry or entry["low"] is None or entry["low"] <= 0:
        return None
    return Estimate(record, entry["median"], entry["low"], entry["high"])


def believed(results, found):
    """(estimates of records that may be compared, records that may not: conformance not passed, or no interval)."""
    kept, left_out = [], []
    for record in found:
        cell = estimate(record) if conformance.standing(results, record) == "passed" else None
        if cell:
            kept.append(cell)
        else:
            left_out.append(record)
    return sorted(kept, key=lambda cell: cell.median), left_out


def _repeated(results):
    """[(workload, highest over lowest time - 1)] of raw code that a run measured beside several subjects."""
    groups = {}
    for record in results["records"]:
        # What is called own_... is another figure of the subject itself, and so another for each.
        if record["role"] == "limit" and not record["name"].startswith("own_") and estimate(record):
            key = tuple(record[k] for k in ("workload", "primitive", "name", "placement", "bytes", "processes", "wait"))
            groups.setdefault(key, []).append(record["ns_per_operation"]["median"])
    return [(key[0], max(times) / min(times) - 1) for key, times in groups.items() if len(times) > 1]


def floor(results, metric, workload):
    """(relative, source): by how much two figures of one thing differ here: as a noise run of this machine measured it,
    or else as far as what this run measured several times was apart."""
    measured = results.get("noise", {}).get("floors", {}).get(metric, {})
    if noise_run.workload_class(workload) in measured:
        return noise_run.floor(results, metric, workload)
    repeated = _repeated(results)
    own = [spread for name, spread in repeated if name == workload]
    spreads = own or [spread for _, spread in repeated]
    if not spreads:
        return ASSUMED_FLOOR, "assumed: this run measured nothing twice"
    of = "of this workload " if own else ""
    return statistics.median(spreads), (f"{metric} of raw code {of}that this run measured several times, "
                                        f"{len(spreads)} codes: highest over lowest, the median of them")


def factor(ahead, behind, noise):
    """(low, high) of how many times faster, from the far ends of both intervals and widened by the noise floor."""
    return behind.low / ahead.high / (1 + noise), behind.high / ahead.low * (1 + noise)


def clearly(ahead, behind, noise):
    return factor(ahead, behind, noise)[0] > 1


def rank(estimates, noise):
    """None without estimates. They must be sorted by their medians."""
    if not estimates:
        return None
    first = [cell for cell in estimates if not clearly(estimates[0], cell, noise)]
    level = not any(clearly(one, other, noise) for one, other in itertools.permutations(first, 2))
    for cell in estimates:
        if cell not in first and all(clearly(member, cell, noise) for member in first):
            apart = [factor(member, cell, noise) for member in first]
            return Ranking(first, level, cell, (min(low for low, _ in apart), max(high for _, high in apart)))
    return Ranking(first, level, None, None)


def _outward(value, up):
    """To two digits or so, away from the middle, so that rounding never claims more."""
    step = 0.1 if value < 10 else 10 ** (math.floor(math.log10(value)) - 1)
    if value < 2:
        step = 0.01
    rounded = (math.ceil(value / step - 1e-9) if up else math.floor(value / step + 1e-9)) * step
    return f"{rounded:.2f}" if step == 0.01 else f"{rounded:.1f}" if step == 0.1 else f"{rounded:,.0f}"


def times(low, high):
    """'5.1 to 5.6 times'; who is ahead by less than a hundredth is ahead by 'up to' so much."""
    if _outward(low, False) == "1.00":
        return f"up to {_outward(high, True)} times"
    return f"{_outward(low, False)} to {_outward(high, True)} times"


def span(low, high, form=text.nanoseconds):
    """'242 to 245 ns', or one figure where both ends read the same."""
    first, last = form(low), form(high)
    if first == last:
        return first
    if first.rpartition(" ")[2] == last.rpartition(" ")[2]:
        first = first.rpartition(" ")[0]
    return f"{first} to {last}"


def rates(cells, per_operation=1):
    """The rate of a group of cells, from the lowest end to the highest."""
    return span(per_operation * 1e9 / max(cell.high for cell in cells),
                per_operation * 1e9 / min(cell.low for cell in cells), text.rate)


def durations(cells):
    return span(min(cell.low for cell in cells), max(cell.high for cell in cells))
