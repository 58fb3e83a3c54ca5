"""What this project holds itself to (targets.json), against the ratios of a run."""
import fnmatch
import json

from . import conformance, ratios, summary, text
from .project import SCRIPTS


def load():
    listed = json.loads((SCRIPTS / "targets.json").read_text(encoding="utf-8"))
    for target in listed:
        target["least_bytes"] = text.parse_size(target.get("least_bytes", "0"))
        target["most_bytes"] = text.parse_size(target.get("most_bytes", "1T"))
    return listed


def of(record, known):
    """The target that this record is held to, or None."""
    return next((t for t in known if t["primitive"] == record["primitive"]
                 and fnmatch.fnmatchcase(record["workload"], t["workload"])
                 and record["role"] == "mechanism" and record["call"] == "direct"
                 and record["name"] in t.get("names", [record["name"]])
                 and record["placement"] in t.get("placements", [record["placement"]])
                 and record["wait"] in t.get("waits", [record["wait"]])
                 and record.get("form", "native") in t.get("forms", ["native"])
                 and t["least_bytes"] <= record["bytes"] <= t["most_bytes"]), None)


def value_of(record, target):
    """What is held against the target, as {median, low, high, blocks}; None if this record does not have it."""
    if "metric" not in target:
        return record.get("ratio_to_limit")
    value = record["metrics"].get(target["metric"])
    if value is None:
        return None
    unknown = {"low": None, "high": None, "blocks": 0}
    return {"median": value, **record.get("intervals", {}).get(target["metric"], unknown)}


def better(record, target=None):
    """The direction of the value: 'lower' or 'higher'."""
    return "lower" if target and "metric" in target or ratios.lower_is_better(record["workload"]) else "higher"


def verdict(record, target):
    """Reached or missed only where the whole interval says so."""
    value = value_of(record, target)
    if value["low"] is None:
        return "open: no interval"
    lower = better(record, target) == "lower"
    reached = value["high"] <= target["must"] if lower else value["low"] >= target["must"]
    missed = value["low"] > target["must"] if lower else value["high"] < target["must"]
    return "reached" if reached else "missed" if missed else "open: within the interval"


def _words(value, target):
    return text.ratio(value, target["unit"]) if "unit" in target else text.ratio(value)


def held(results):
    """Every measured cell that has a target: record, target, value in words, verdict."""
    known, cells = load(), []
    for record in summary.measured(results):
        target = of(record, known)
        value = target and value_of(record, target)
        if not value:
            continue
        valid = conformance.standing(results, record) == "passed"
        cells.append({"record": record, "target": target, "label": summary.label(record), "value": value,
                      "text": _words(value, target), "better": better(record, target),
                      "verdict": verdict(record, target) if valid else "not valid"})
    return cells


_WORST_VERDICT = ("not valid", "missed", "open", "reached")


def badness(cell):
    """The larger the further from its target."""
    value, must = cell["value"]["median"], cell["target"]["must"]
    kind = cell["verdict"].split(":")[0]
    return (-_WORST_VERDICT.index(kind), value / must if cell["better"] == "lower" else must / max(value, 1e-9))


def by_mechanism(results):
    """One row per target and mechanism, with its worst cell: what the reader asks is whether all of them hold."""
    groups = {}
    for cell in held(results):
        groups.setdefault((cell["target"]["id"], cell["target"]["quantity"], cell["label"]), []).append(cell)
    rows = []
    for (identifier, quantity, name), cells in groups.items():
        worst = max(cells, key=badness)
        record, target = worst["record"], worst["target"]
        sign = "≤" if worst["better"] == "lower" else "≥"
        unit = f" {target['unit']}" if "unit" in target else ""
        aim = target["aim"] if isinstance(target["aim"], str) else f"{sign} {target['aim']:g}{unit}"
        rows.append({"id": identifier, "quantity": quantity, "label": name, "name": record["name"],
                     "reached": sum(cell["verdict"] == "reached" for cell in cells), "cells": len(cells),
                     "verdict": worst["verdict"], "text": worst["text"], "limit": record.get("limit", "-"),
                     "where": " ".join(([text.size(record["bytes"])] if record["bytes"] else [])
                                       + [record["placement"]]),
                     "must": f"{sign} {target['must']:g}{unit}", "aim": aim,
                     "missed": [f"{text.size(c['record']['bytes'])} {c['record']['placement']}: {c['text']}"
                                for c in sorted(cells, key=badness, reverse=True) if c["verdict"] == "missed"]})
    order = {target["id"]: number for number, target in enumerate(load())}
    return sorted(rows, key=lambda row: order[row["id"]])


def table(results):
    """The same for Markdown."""
    heads = ["target", "of", "mechanism", "must", "aim", "worst cell: x its limit, or as said", "where", "reached"]
    return heads, [[row["id"], row["quantity"], row["label"], row["must"], row["aim"], row["text"], row["where"],
                    f"{row['reached']} of {row['cells']}"
                    + ("" if row["verdict"] == "reached" else f", {row['verdict'].split(':')[0]}")]
                   for row in by_mechanism(results)]


def ratio_rows(results):
    """One row per paired case: what it was, its ratio, and the target it is held to."""
    known, rows = load(), []
    for record in sorted((r for r in results["records"] if "ratio_to_limit" in r),
                         key=lambda r: (r["primitive"], r["workload"] != "round_trip", r["workload"], r["placement"],
                                        r["bytes"], r["call"], summary.label(r))):
        target, ratio = of(record, known), record["ratio_to_limit"]
        target = target and (None if "metric" in target else target)
        standing = conformance.standing(results, record)
        rows.append({"record": record, "label": summary.label(record), "limit": record["limit"],
                     "ratio": text.ratio(ratio), "blocks": ratio["blocks"], "drifted": ratio["drifted"],
                     "target": target,
                     "verdict": "" if not target else verdict(record, target) if standing == "passed" else "not valid",
                     "standing": standing, "better": better(record)})
    return rows
