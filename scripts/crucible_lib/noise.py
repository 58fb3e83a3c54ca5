"""The noise floor: by how much two measurements of the same thing by the same build differ on this machine.

The repeatability limit of a cell is the 95th percentile of |ln(x/y)| over all pairs of its repetitions: what ISO 5725-1
calls so, the difference that two results of one laboratory stay within 95 times in 100. Taken as an empirical
percentile, since the repetitions are not normally distributed (the standard's 2.8 standard deviations would presume
it). The floor of a metric is that of the typical cell, the median over the cells, as a relative difference, exp(.) - 1;
beside it stands the worst, that of a cell which is one thing today and another tomorrow, where the scheduler decides.
"""
import itertools
import json
import math

from . import project

FILE = "noise.json"
EXAMPLE = project.SCRIPTS / "noise_example.json"
PERCENTILE = 95
METRICS = ("latency_p50_ns", "latency_p99_ns", "rate", "cpu_s_per_million", "ns_per_operation", "ratio_to_limit")
_CPU = ("idle", "paced")


def workload_class(workload):
    """Floors are pooled over workloads that are disturbed alike: 'cpu', 'latency' or 'stream'."""
    if workload in _CPU:
        return "cpu"
    from . import ratios  # here, since the help texts need only the standard library
    return "latency" if ratios.lower_is_better(workload) else "stream"


def figures(line):
    """The positive figures of one measured line, by metric; every kind of rate counts as 'rate'."""
    from . import ratios, records
    metrics = line.get("metrics", {})
    found = {key: metrics.get(key) for key in METRICS}
    found["rate"] = next((value for key, value in metrics.items() if key.endswith("_per_s")
                          and key not in ("offered_per_s", "achieved_per_s", "bytes_per_s")), None)
    if line.get("blocks", {}).get("subject_ns"):
        found["ns_per_operation"] = ratios.ns_per_operation(line["blocks"], "subject")["median"]
    found["ratio_to_limit"] = (records.paired_ratio(line) or {}).get("median")
    return {key: value for key, value in found.items() if value and value > 0}


def repetitions(lines):
    """{case: {metric: [one figure per repetition]}}."""
    cells = {}
    for line in lines:
        for metric, value in figures(line).items():
            cells.setdefault(line["case"], {}).setdefault(metric, []).append(value)
    return cells


def floors(cells):
    """{metric: {class: {floor, median, pairs, cells}}} of what repetitions() gives."""
    import numpy

    spread = {}
    for case, metrics in cells.items():
        for metric, values in metrics.items():
            entry = spread.setdefault(metric, {}).setdefault(workload_class(case.split("/")[1]), [])
            entry.append([abs(math.log(x / y)) for x, y in itertools.combinations(values, 2)])
    return {metric: {kind: _entry([p for p in per_cell if p], numpy) for kind, per_cell in sorted(kinds.items())
                     if any(per_cell)} for metric, kinds in sorted(spread.items())}


def _entry(per_cell, numpy):
    pairs = [pair for cell in per_cell for pair in cell]
    limits = [float(numpy.percentile(cell, PERCENTILE)) for cell in per_cell]
    return {"floor": math.expm1(float(numpy.median(limits))), "worst": math.expm1(max(limits)),
            "median": math.expm1(float(numpy.median(pairs))), "pairs": len(pairs), "cells": len(per_cell)}


def same_machine(one, other):
    """Whether a floor measured in one environment holds in another."""
    return all(a == b for a, b in ((one["host"], other["host"]), (one["kernel"], other["kernel"]),
                                   (one["cpu"]["model"], other["cpu"]["model"]),
                                   (one["cpu"].get("cpus_online"), other["cpu"].get("cpus_online"))))


def read(path):
    """A noise.json, by its path or that of its folder."""
    path = path / FILE if path.is_dir() else path
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise project.Stop(f"cannot read {path}: {error.strerror}", project.USAGE) from None
    except ValueError as error:
        raise project.Stop(f"{path} is not JSON: {error}", project.USAGE) from None
    where = fault(document)
    if where:
        raise project.Stop(f"{path} is no noise run, {where}", project.USAGE)
    return document


def fault(document):
    from . import results
    return results.fault(document, "noise_run")


def newest(folder, environment):
    """The newest noise run of the same machine in a folder of run folders; None if there is none."""
    found = []
    for path in folder.glob(f"*/{FILE}"):
        try:
            document = read(path)
        except project.Stop:
            continue  # half written, or of another version: it cannot vouch for anything
        if same_machine(document["environment"], environment):
            found.append(document)
    return max(found, key=lambda document: document["started"], default=None)


def section(document):
    """What a results file carries of a noise run."""
    return {key: document[key] for key in ("started", "repeat", "floors")}


def floor(results, metric, workload):
    """(relative noise floor, where it is from) of a metric of METRICS for a workload; any key of a rate is a rate.

    Of the run's own noise section, or else assumed: the largest that the committed example has for the metric."""
    metric = "rate" if metric.endswith("_per_s") else metric
    kinds = results.get("noise", {}).get("floors", {}).get(metric, {})
    kind = workload_class(workload)
    if kind in kinds:
        return kinds[kind]["floor"], f"measured on this machine, {results['noise']['started']}"
    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))["floors"] if EXAMPLE.exists() else {}
    if metric not in example:
        raise project.Stop(f"no noise floor of {metric} is known: neither run carries one. Measure it by "
                           "'scripts/crucible noise' before a run, or say --threshold", project.USAGE)
    return (max(entry["floor"] for entry in example[metric].values()),
            "assumed: no noise run of this machine; the largest of the committed example")
