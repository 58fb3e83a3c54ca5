"""Two runs, cell by cell."""
import gzip
import json
import re

import numpy

from . import change, differences, noise, ratios, results

RAW = "raw/records.jsonl.gz"
ORDER = ("regression", "improvement", "cannot be told", "no difference shown")


def load(path):
    """(results, {case: raw line} or None) of a run folder or a results.json."""
    folder = path if path.is_dir() else path.parent
    document = results.read(folder) if path.is_dir() or path.name == results.FILE else results.read_file(path)
    packed = folder / RAW
    if not packed.exists() or not (path.is_dir() or path.name == results.FILE):
        return document, None
    with gzip.open(packed, "rt", encoding="utf-8") as lines:
        return document, {line["case"]: line for line in map(json.loads, lines)}


def _measured(document, pattern):
    return {record["case"]: record for record in document["records"]
            if "case" in record and "metrics" in record and pattern.search(record["case"])}


def _values(line, metric, workload):
    """Of single blocks; None without them."""
    blocks = (line or {}).get("blocks", {})
    if not blocks.get("subject_ns") or metric == "ratio_to_limit" and not blocks.get("limit_ns"):
        return None
    if metric == "ns_per_operation":
        return numpy.asarray(blocks["subject_ns"], dtype=float) / blocks["operations"]
    return ratios.paired(blocks, workload)


def _change(records, lines, metric):
    """(change, whether raw blocks were used) of one metric of a cell."""
    workload = records[0]["workload"]
    values = [_values(line, metric, workload) for line in lines]
    if all(value is not None for value in values):
        return change.of_blocks(*values), True
    if all(metric in record for record in records):
        return change.of_intervals(*(record[metric] for record in records)), False
    return None, False


def _metric(records):
    """What decides: the ratio to the limit, which a drift of the machine leaves alone; but not one whose limit is the
    mechanism's own figure, since both sides of it may change together."""
    names = [record.get("limit", "") for record in records]
    paired = all("ratio_to_limit" in record for record in records) and names[0] == names[1]
    return "ratio_to_limit" if paired and not names[0].startswith("own_") else "ns_per_operation"


def _cell(case, runs, raws, threshold):
    records = [run[case] for run in runs["cells"]]
    lines = [raw.get(case) if raw else None for raw in raws]
    metric = _metric(records)
    found, from_blocks = _change(records, lines, metric)
    least, source = (threshold, "--threshold") if threshold is not None else max(
        noise.floor(document, metric, records[0]["workload"]) for document in runs["documents"])
    time, _ = (found, None) if metric == "ns_per_operation" else _change(records, lines, "ns_per_operation")
    better = metric == "ns_per_operation" or ratios.lower_is_better(records[0]["workload"])
    return {"case": case, "metric": metric, "change": found, "time": time, "least": least, "least_from": source,
            "from_blocks": from_blocks, "lower_is_better": better}


def compare(before, after, only=None, threshold=None):
    """Everything that `compare` shows; before and after are (results, raw lines) as load() gives them."""
    pattern, documents = re.compile(only or ""), (before[0], after[0])
    cells = [_measured(document, pattern) for document in documents]
    runs = {"documents": documents, "cells": cells}
    rows = [_cell(case, runs, (before[1], after[1]), threshold) for case in cells[0] if case in cells[1]]
    testable = [row for row in rows if row["change"] and row["change"].low is not None]
    sure = change.adjusted([change.p_value(row["change"], row["least"]) for row in testable]) if testable else []
    for row, q in zip(testable, sure):
        row["q"] = q
    for row in rows:
        row["verdict"] = change.verdict(row["change"], row["least"], row.get("q"), row["lower_is_better"])
    rows.sort(key=lambda row: (ORDER.index(row["verdict"]), -_worse(row)))
    return {"environment": differences.environment(*documents), "clauses": differences.clauses(*documents),
            "cells": rows, "only_a": [case for case in cells[0] if case not in cells[1]],
            "only_b": [case for case in cells[1] if case not in cells[0]]}


def _worse(row):
    """By which factor B is worse; 0 where there is no change to speak of."""
    if row["change"] is None:
        return 0
    return row["change"].ratio if row["lower_is_better"] else 1 / row["change"].ratio


def failed(found):
    """Whether B is worse: a regression, or a clause that newly fails."""
    return (any(row["verdict"] == "regression" for row in found["cells"])
            or any(after == "failed" for *_, after in found["clauses"]))
