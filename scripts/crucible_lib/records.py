"""From the lines that the benchmark binaries write to the records of results.json."""
from . import ratios

_KEPT = ("case", "primitive", "workload", "role", "name", "wait", "placement", "bytes", "processes", "call", "form",
         "metrics", "limit", "unsupported", "spectrum", "closed_loop", "load_curve")
_SIDES = ("subject", "limit")


def _fairness(line, side):
    """What was set and read back for one side, beside what both have in common; lists as words."""
    sheet = line.get("fairness", {})
    common = {key: value for key, value in sheet.items() if key not in _SIDES}
    flat = {**common, **sheet.get(side, {})}
    return {key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in flat.items()}


def _with_fairness(record, line, side):
    sheet = _fairness(line, side)
    return {**record, "fairness": sheet} if sheet else record


def from_line(line):
    """The record of one measured case, with its paired ratio and the interval of its time per operation."""
    record = {key: line[key] for key in _KEPT if key in line}
    if "unsupported" in line:
        return record
    blocks = line.get("blocks", {})
    if "quantity" in blocks:
        record["quantity"] = blocks["quantity"]
    if blocks.get("subject_ns"):
        record["ns_per_operation"] = ratios.ns_per_operation(blocks, "subject")
    if blocks.get("quantity") == "cpu" and "cpu_percent" in line["metrics"]:
        record["intervals"] = {"cpu_percent": ratios.share_interval(blocks, line["metrics"]["cpu_percent"])}
    ratio = paired_ratio(line)
    if ratio:
        record["ratio_to_limit"] = ratio
    return _with_fairness(record, line, "subject")


def paired_ratio(line):
    """The ratio to the limit that the blocks of a line give; None without one."""
    blocks = line.get("blocks", {})
    if not (blocks.get("subject_ns") and blocks.get("limit_ns")):
        return None
    return ratios.ratio_to_limit(blocks, line["workload"])


def limit_of(line):
    """The limit that ran between the blocks of this case, as a record of its own; None if there was none."""
    if not line.get("limit_metrics"):
        return None
    record = {key: line[key] for key in ("primitive", "workload", "wait", "placement", "bytes", "processes")}
    record.update(role="limit", name=line["limit"], call="direct", form="native", metrics=line["limit_metrics"],
                  paired_with=line["case"])
    if "limit_spectrum" in line:
        record["spectrum"] = line["limit_spectrum"]
    if "quantity" in line.get("blocks", {}):
        record["quantity"] = line["blocks"]["quantity"]
    if line.get("blocks", {}).get("limit_ns"):
        record["ns_per_operation"] = ratios.ns_per_operation(line["blocks"], "limit")
    return _with_fairness(record, line, "limit")


def subject_of(limit):
    """The name of the mechanism that a limit was measured beside; limits of one name differ where it is another's."""
    return limit["paired_with"].split("/")[2]


def form_beside(limit):
    """The form of the subject that a limit was measured beside."""
    return (limit["paired_with"].split("/") + ["native"])[7]


def not_measured(cell, reason):
    return {"case": cell.case, "primitive": cell.primitive, "workload": cell.workload, "role": cell.role,
            "name": cell.name, "placement": cell.placement, "bytes": cell.bytes, "wait": cell.wait,
            "call": cell.call, "form": cell.form, "not_measured": reason}


def assemble(lines, missing):
    """All records of a run; `missing` are (cell, reason) pairs. Of a limit that ran beside several cases of a
    mechanism, the record with the most samples is kept: the ratios come from each case's own blocks anyway."""
    limits = {}
    for record in filter(None, map(limit_of, lines)):
        key = tuple(record[k] for k in ("primitive", "workload", "name", "wait", "bytes", "placement", "processes"))
        key += (subject_of(record), form_beside(record))
        kept = limits.get(key)
        if kept is None or record["metrics"].get("samples", 0) > kept["metrics"].get("samples", 0):
            limits[key] = record
    return ([from_line(line) for line in lines] + [not_measured(cell, reason) for cell, reason in missing]
            + list(limits.values()))
