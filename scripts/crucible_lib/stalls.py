"""Mechanisms that stop for long now and then, which no median and often no p99 shows."""
from . import summary, text

# A stall is told from a bad scheduler by both: far beyond what nearly all take, and longer than a time slice or a busy
# host explains.
TIMES_P99 = 100
AT_LEAST_NS = 100e6


def stall(record):
    """The longest wait of a record in ns if it is a stall; None if not, or with too few samples to tell."""
    metrics = record.get("metrics", {})
    if "latency_p99_ns" not in metrics or "latency_max_ns" not in metrics:
        return None
    longest = metrics["latency_max_ns"]
    return longest if longest >= max(AT_LEAST_NS, TIMES_P99 * metrics["latency_p99_ns"]) else None


def sentence(record):
    metrics = record["metrics"]
    return (f"{record['primitive']}/{record['workload']} by {summary.label(record)}, {text.size(record['bytes'])}, "
            f"{record['placement']} stalls: the longest of {metrics['samples']} took "
            f"{text.nanoseconds(metrics['latency_max_ns'])}, 99 % at most {text.nanoseconds(metrics['latency_p99_ns'])}")


def findings(results):
    """(sentence, [record], whether it leads) per record that stalled, limits and peers included: if they did as well, it
    was the machine."""
    return [(sentence(record) + ".", [record], False) for record in results["records"] if stall(record) is not None]
