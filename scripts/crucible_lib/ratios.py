"""Paired ratios and their intervals, from the raw blocks of one case."""
import numpy
from scipy import stats

# At least this many blocks for an interval, and a limit this far from its median has drifted.
FEWEST_BLOCKS = 20
DRIFT = 0.05
SEED = 20240229
RESAMPLES = 4000


# Workloads whose ratio compares rates; in all others it compares times.
_RATES = ("one_way", "fan_", "depth_", "versus_", "workers_", "tasks_", "dict_",
          "list_")


def lower_is_better(workload):
    """Of the ratio to the limit."""
    return not workload.startswith(_RATES)


def median_with_interval(values):
    """Median with its 95 % bootstrap interval; low and high are None with too few blocks."""
    values = numpy.asarray(values, dtype=float)
    entry = {"median": float(numpy.median(values)), "low": None, "high": None, "blocks": int(values.size)}
    if values.size >= FEWEST_BLOCKS:
        entry["low"], entry["high"] = _edges(values, numpy.median)
    return entry


def _edges(values, statistic):
    interval = stats.bootstrap((values,), statistic, confidence_level=0.95, n_resamples=RESAMPLES, batch=100,
                               method="percentile", random_state=numpy.random.default_rng(SEED))
    return tuple(float(edge) for edge in interval.confidence_interval)


def share_interval(blocks, share):
    """The 95 % interval of a share of CPU that a whole case used, from what its blocks did: {low, high, blocks}."""
    used = numpy.asarray(blocks["subject_ns"], dtype=float)
    entry = {"low": None, "high": None, "blocks": int(used.size)}
    if used.size >= FEWEST_BLOCKS:
        # A mean and no median: who sleeps uses nothing in most blocks, and all that it uses in a few.
        edges = _edges(used, numpy.mean) if used.any() else (0.0, 0.0)
        scale = share / float(used.mean()) if used.any() else 0.0
        entry["low"], entry["high"] = (edge * scale for edge in edges)
    return entry


def operations(blocks, side):
    """In each block of one side, 'subject' or 'limit'. Where nothing else is said both did the same."""
    return blocks.get(side + "_operations", blocks["operations"])


def paired(blocks, workload):
    """As ratio_to_limit, of each pair of blocks."""
    subject, limit = (numpy.asarray(blocks[key], dtype=float) for key in ("subject_ns", "limit_ns"))
    if not limit.all() or not (lower_is_better(workload) or subject.all()):
        return None
    scale = operations(blocks, "limit") / operations(blocks, "subject")
    return subject / limit * scale if lower_is_better(workload) else limit / subject / scale


def ratio_to_limit(blocks, workload):
    """Subject over limit in time (or CPU time) per operation, or, for a stream, the share of the limit's rate that is
    reached; None where a limit took nothing at all, as the CPU of one that only waits."""
    ratios = paired(blocks, workload)
    if ratios is None:
        return None
    entry = median_with_interval(ratios)
    limit = numpy.asarray(blocks["limit_ns"], dtype=float)
    usual = numpy.median(limit)
    entry["drifted"] = int(numpy.count_nonzero(numpy.abs(limit - usual) > DRIFT * usual))
    return entry


def ns_per_operation(blocks, side):
    """Median over the blocks of the time per operation of one side, 'subject' or 'limit'."""
    return median_with_interval(numpy.asarray(blocks[side + "_ns"], dtype=float) / operations(blocks, side))
