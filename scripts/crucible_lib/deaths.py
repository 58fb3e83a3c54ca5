"""What a peer's death does on each mechanism; what a connection, a queue, a worker weighs; how much load it bears."""
from . import conformance, summary, text

_WORDS = {True: "yes", False: "no", None: "–"}


def measured(results):
    return summary.measured(results, role="mechanism", workload="death")


def death_table(results):
    """(heads, rows): what happens when a sender is killed, beside what is declared; empty if not measured."""
    heads = ["mechanism", "waits", "kills", "noticed after: p50", "max", "sent", "received after the death", "lost",
             "left behind", "declared: sent outlives its sender", "any process may be killed"]
    rows = []
    for record in sorted(measured(results), key=lambda r: (r["primitive"], summary.label(r), r["placement"])):
        metrics = record["metrics"]
        declared = results.get("mechanisms", {}).get(record["name"], {}).get("capabilities", {}).get("pipe", {})
        rows.append(summary.Row(record["name"], [
            summary.bare_label(record), summary.WAIT_WORDS[record["wait"]],
            *(summary.shown(metrics, key, form) for key, form in (
                ("samples", "{:,}".format), ("notice_p50_ns", text.nanoseconds), ("notice_max_ns", text.nanoseconds),
                ("sent", _count), ("received_after_death", _count), ("lost", _count), ("left_over", _count))),
            _WORDS[declared.get("outlives_sender")], _WORDS[declared.get("survives_kill")]],
                                conformance.standing(results, record) == "passed"))
    return heads, rows


def _count(value):
    return f"{value:,.0f}"


def memory_table(results):
    """(heads, rows): bytes of memory per connection, queue, worker, or whatever was counted; empty if not measured."""
    cells = [r for r in summary.measured(results, workload="memory") if r["role"] != "limit"]
    keys = sorted({key for r in cells for key in r["metrics"] if key.startswith("memory_bytes")})
    heads = ["name", "of", *(key.removeprefix("memory_bytes_").replace("_", " ") for key in keys)]
    return heads, [summary.Row(r["name"], [summary.label(r), r["primitive"],
                                           *(summary.shown(r["metrics"], key, text.amount) for key in keys)],
                               conformance.standing(results, r) == "passed")
                   for r in sorted(cells, key=lambda r: (r["primitive"], summary.label(r)))]


def load_table(results):
    """(heads, rows): the highest rate that each sustains by a schedule, its latency there; empty if not measured."""
    cells = [r for r in summary.measured(results, workload="load") if r["role"] == "mechanism"
             and "sustainable_per_s" in r["metrics"]]
    heads = ["mechanism", "waits", "placement", "size", "sustained", "latency there: p50", "p99"]
    rows = []
    for record in sorted(cells, key=lambda r: (r["placement"], r["bytes"], -r["metrics"]["sustainable_per_s"])):
        metrics = record["metrics"]
        rows.append(summary.Row(record["name"], [
            summary.bare_label(record), summary.WAIT_WORDS[record["wait"]], record["placement"],
            text.size(record["bytes"]), text.rate(metrics["sustainable_per_s"]),
            summary.shown(metrics, "latency_p50_ns", text.nanoseconds),
            summary.shown(metrics, "latency_p99_ns", text.nanoseconds)],
                                conformance.standing(results, record) == "passed"))
    return heads, rows
