"""Tables of a run beside the headline: named doors, the CPU of who waits, capabilities."""
from . import conformance, records, summary, text


def _pick(results, primitive, workload):
    """The records of a workload by (label, placement)."""
    found = summary.measured(results, role="mechanism", primitive=primitive, workload=workload)
    return {(summary.label(r), r["placement"]): r for r in found if r["placement"] != "remote"}


def _with_ratio(record, key, form):
    if record is None or key not in record["metrics"]:
        return "-"
    ratio = record.get("ratio_to_limit")
    return form(record["metrics"][key]) + (f" ({text.significant(ratio['median'])} x)" if ratio else "")


def door_table(results):
    """(heads, rows): what it costs to come through a named door, and to serve many who did; empty if not measured.
    In brackets the multiple of the limit's time."""
    columns = (("connect", "connect: p50", "latency_p50_ns", text.nanoseconds),
               ("connect_key", "with a key: p50", "latency_p50_ns", text.nanoseconds),
               ("first_message", "connect and first answer: p50", "latency_p50_ns", text.nanoseconds),
               ("connect_10_clients", "10 at once: connections/s", "connections_per_s", text.rate),
               ("connect_100_clients", "100 at once: connections/s", "connections_per_s", text.rate),
               ("echo_1_client", "1 client: answers/s", "messages_per_s", text.rate),
               ("echo_10_clients", "10 clients: answers/s", "messages_per_s", text.rate),
               ("echo_100_clients", "100 clients: answers/s", "messages_per_s", text.rate))
    found, heads = {}, ["mechanism"]
    for workload, head, key, form in columns:
        picked = _pick(results, "door", workload)
        place = next((p for p in summary.PLACEMENTS if any(p == placement for _, placement in picked)), None)
        if place:
            heads.append(f"{head}, {place}")
            found[workload] = {name: r for (name, placement), r in picked.items() if placement == place}, key, form
    known = {name: record for column, _, _ in found.values() for name, record in column.items()}
    return heads, [summary.Row(record["name"], [name, *(_with_ratio(column.get(name), key, form)
                                                        for column, key, form in found.values())],
                               conformance.standing(results, record) == "passed")
                   for name, record in sorted(known.items())]


def queue_table(results):
    """(heads, rows): what a queue does per mechanism, form and strategy; empty if not measured. In brackets the share
    of its limit's rate, or the multiple of its time."""
    cells = [r for r in summary.measured(results, role="mechanism", primitive="queue")]
    place = next((p for p in ("free", "cross", "same") if any(r["placement"] == p for r in cells)), None)
    columns = (("one_way_1x1", 64, "1×1: messages/s", "messages_per_s", text.rate),
               ("one_way_4x4", 64, "4×4", "messages_per_s", text.rate),
               ("one_way_8x8", 64, "8×8", "messages_per_s", text.rate),
               ("fan_in_4x1", 64, "4→1", "messages_per_s", text.rate),
               ("fan_out_1x4", 64, "1→4", "messages_per_s", text.rate),
               ("fan_out_1x4", 64, "evenness 1→4", "fairness_index", "{:.2f}".format),
               ("one_way_many_1x1", 64, "1×1 by put_many", "messages_per_s", text.rate),
               ("depth_1_1x1", 64, "maxsize 1", "messages_per_s", text.rate),
               ("round_trip", 64, "there and back: p50", "latency_p50_ns", text.nanoseconds),
               ("one_way_1x1", 64, "CPU s per million", "cpu_s_per_million", text.significant),
               ("one_way_1x1", 64, "context switches", "context_switches_per_message", text.significant),
               ("one_way_1x1", 64, "system calls", "system_calls_per_message", text.significant),
               ("one_way_1x1", 1 << 20, "1 MiB 1×1", "bytes_per_s", text.gib_per_s),
               ("versus_cpython_1x1", 64, "times CPython's rate", None, None))
    found = {(r["workload"], r["bytes"], summary.label(r)): r for r in cells if r["placement"] == place}
    known = {label: record for (_, _, label), record in found.items()}
    shown = [c for c in columns if any(key[:2] == c[:2] and (c[3] is None or c[3] in record["metrics"])
                                       for key, record in found.items())]
    rows = []
    for label, first in sorted(known.items()):
        row = [summary.bare_label({**first, "form": "native"}), first["form"], summary.WAIT_WORDS[first["wait"]]]
        for workload, size, _, key, form in shown:
            record = found.get((workload, size, label))
            if key is None:
                row.append(summary.ratio(record))
            elif key in ("messages_per_s", "latency_p50_ns", "bytes_per_s"):
                row.append(_with_ratio(record, key, form))
            else:
                row.append(summary.shown(record["metrics"] if record else {}, key, form))
        rows.append(summary.Row(first["name"], row, conformance.standing(results, first) == "passed"))
    return ["mechanism", "form", "waits", *(head for _, _, head, _, _ in shown)], rows


def pool_table(results):
    """(heads, rows): what a pool does per mechanism and strategy, beside CPython's; empty if not measured. In brackets
    the ratio to the limit."""
    cells = [r for r in summary.measured(results, primitive="pool") if r["role"] != "limit"]
    columns = [("apply", 8, place, f"apply 8 B, {place}: p50", "latency_p50_ns", text.nanoseconds)
               for place in ("cross", "same", "free")]
    columns += [("apply", size, "free", f"apply {text.size(size)}", "latency_p50_ns", text.nanoseconds)
                for size in (64 << 10, 1 << 20)]
    columns += [("versus_cpython_chunk_1", 0, "free", "map, chunk 1: tasks/s", "tasks_per_s", text.rate),
                ("versus_cpython_chunk_default", 0, "free", "map: tasks/s", "tasks_per_s", text.rate)]
    columns += [(f"workers_{n}", 0, "free", f"{n} worker{'s' * (n > 1)}", None, None) for n in (1, 4, 8, 16, 32)]
    columns += [(f"tasks_{word}", 0, "free", words, None, None) for word, words in
                (("10us", "tasks of 10 µs"), ("1ms", "of 1 ms"), ("mixed", "mixed"))]
    columns += [(half, 0, "free", f"{half}: p50", "latency_p50_ns", text.nanoseconds) for half in ("start", "stop")]
    found = {(r["workload"], r["bytes"], r["placement"], r["role"], summary.label(r)): r for r in cells}
    known = {key[3:]: record for key, record in found.items()}
    shown = [c for c in columns if any(key[:3] == c[:3] for key in found)]
    rows = []
    for (role, label), first in sorted(known.items()):
        row = [summary.bare_label({**first, "form": "native"}) + (" (peer)" if role == "peer" else ""),
               summary.WAIT_WORDS[first["wait"]]]
        for *place, _, key, form in shown:
            record = found.get((*place, role, label))
            row.append(_with_ratio(record, key, form) if key else summary.ratio(record))
        rows.append(summary.Row(first["name"], row, conformance.standing(results, first) == "passed"))
    return ["pool", "waits", *(head for _, _, _, head, _, _ in shown)], rows


def sync_table(results):
    """(heads, rows): locks and what is made of them, this library's first; empty if not measured. In brackets the
    multiple of the limit's time."""
    cells = [r for r in summary.measured(results, primitive="sync") if r["role"] != "limit"]
    order = {"mechanism": 0, "peer": 1}
    columns = {}
    for record in cells:
        columns.setdefault((record["workload"], record["placement"]), {})[record["role"], record["name"]] = record
    heads = ["name"]
    keys = sorted(columns, key=lambda key: (_sync_place(key[0]), list(summary.PLACEMENTS).index(key[1])))
    for workload, place in keys:
        words = workload.replace("_", " ")
        heads.append(f"{words}, {place}")
        if workload.startswith("contended"):
            heads += ["its longest wait", "its evenness"]
    rows = []
    for role, name in sorted({key for column in columns.values() for key in column},
                             key=lambda key: (order[key[0]], key[1])):
        row, first = [name + ("" if role == "mechanism" else " (peer)")], None
        for key in keys:
            record = columns[key].get((role, name))
            first = first or record
            row.append(_sync_cell(record))
            if key[0].startswith("contended"):
                metrics = record["metrics"] if record else {}
                row += [summary.shown(metrics, "latency_max_ns", text.nanoseconds),
                        summary.shown(metrics, "fairness_index", "{:.2f}".format)]
        rows.append(summary.Row(name, row, conformance.standing(results, first) == "passed"))
    return heads, rows


def _sync_place(workload):
    """Simple things first, then by number."""
    word, _, number = workload.rpartition("_")
    simple = ("uncontended", "handoff", "contended", "ping_pong", "wake", "meet")
    name = word if number.isdigit() else workload
    return (simple.index(name) if name in simple else len(simple), int(number) if number.isdigit() else 0)


def _sync_cell(record):
    if record is None:
        return "-"
    value = record["metrics"].get("latency_p50_ns")
    if "pairs_per_s" in record["metrics"] or value is None:
        value = record.get("ns_per_operation", {}).get("median")
    if value is None:
        return "-"
    ratio = record.get("ratio_to_limit")
    return text.nanoseconds(value) + (f" ({text.significant(ratio['median'])} x)" if ratio else "")


def _percent(value):
    return text.significant(value) + " %"


def cpu_table(results):
    """(heads, rows): the CPU of who waits, and of a message every millisecond; empty if not measured."""
    idle, paced = _pick(results, "pipe", "idle"), _pick(results, "pipe", "paced")
    bare = {(records.subject_of(r), r["wait"], r["placement"]): r
            for r in summary.measured(results, role="limit", primitive="pipe", workload="idle")}
    heads = ["mechanism", "waits", "placement", "blocked receiver: CPU", "its limit's", "1 kHz: CPU",
             "CPU s per million", "x its limit", "p50", "p99", "achieved"]
    rows = []
    for name, place in sorted({**idle, **paced}, key=lambda key: (list(summary.PLACEMENTS).index(key[1]), key[0])):
        one, other = idle.get((name, place)), paced.get((name, place))
        record, metrics = one or other, other["metrics"] if other else {}
        limit = bare.get((record["name"], record["wait"], place))
        rows.append(summary.Row(record["name"], [
            summary.bare_label(record), summary.WAIT_WORDS[record["wait"]], place,
            summary.shown(one["metrics"] if one else {}, "cpu_percent", _percent),
            summary.shown(limit["metrics"] if limit else {}, "cpu_percent", _percent),
            summary.shown(metrics, "cpu_percent", _percent),
            summary.shown(metrics, "cpu_s_per_million", text.significant),
            summary.ratio(other), summary.shown(metrics, "latency_p50_ns", text.nanoseconds),
            summary.shown(metrics, "latency_p99_ns", text.nanoseconds),
            summary.shown(metrics, "achieved_per_s", text.rate)],
                        conformance.standing(results, record) == "passed"))
    return heads, rows


def split(heads, rows, fixed, most):
    """A wide table as several narrow ones: `fixed` columns in each, `most` others, without rows that say nothing."""
    parts = []
    for start in range(fixed, len(heads), most):
        columns = [*range(fixed), *range(start, min(start + most, len(heads)))]
        told = [summary.Row(row.name, [row.cells[c] for c in columns], row.valid) for row in rows]
        told = [row for row in told if any(cell != "-" for cell in row.cells[fixed:])]
        if told:
            parts.append(([heads[c] for c in columns], told))
    return parts


def manager_table(results):
    """(heads, rows): what a manager's objects do per mechanism and strategy, beside others'; empty if not measured. In
    brackets the ratio to the limit."""
    cells = [r for r in summary.measured(results, primitive="manager") if r["role"] != "limit"]
    columns = [("dict_get_1", 64, place, f"dict get 64 B, {place}: p50", "latency_p50_ns", text.nanoseconds)
               for place in ("cross", "same", "free")]
    columns += [(f"dict_{what}_{clients}", 64, "free", f"{words}, {clients} client{'s' * (clients > 1)}: calls/s",
                 "messages_per_s", text.rate) for what, words in (("set", "set"), ("mixed", "9 get : 1 set"))
                for clients in (1, 2, 4, 8, 16)]
    columns += [("dict_get_1_pipelined", 64, "free", "get, sent ahead: calls/s", "messages_per_s", text.rate),
                ("list_append_1", 64, "free", "list append: calls/s", "messages_per_s", text.rate),
                ("dict_get_of_1000000", 64, "free", "get of a million keys: p50", "latency_p50_ns", text.nanoseconds),
                ("lock_handoff", 0, "free", "lock handed over: p50", "latency_p50_ns", text.nanoseconds)]
    found = {(r["workload"], r["bytes"], r["placement"], r["role"], summary.label(r)): r for r in cells}
    known = {key[3:]: record for key, record in found.items()}
    shown = [c for c in columns if any(key[:3] == c[:3] for key in found)]
    rows = []
    for (role, label), first in sorted(known.items()):
        row = [summary.bare_label({**first, "form": "native"}) + (" (peer)" if role == "peer" else ""),
               summary.WAIT_WORDS[first["wait"]],
               *(_with_ratio(found.get((*place, role, label)), key, form) for *place, _, key, form in shown)]
        if any(cell != "-" for cell in row[2:]):
            rows.append(summary.Row(first["name"], row, conformance.standing(results, first) == "passed"))
    return ["manager", "waits", *(head for _, _, _, head, _, _ in shown)], rows
