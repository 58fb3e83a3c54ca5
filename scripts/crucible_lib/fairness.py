"""The fairness sheet of a run: what was the same for all in one comparison, and what was not."""
from . import summary, text

_MOST_SHOWN = 3
# What the name of a workload says already.
_SAID = ("messages_per_operation", "clients")


def sheets(results):
    """[{primitive, side, workloads, common: [(key, value)], heads, rows}]: what is compared, and beside it the limits;
    workloads with the same sheet stand together."""
    facts = {}
    for record in results["records"]:
        if record.get("fairness"):
            key = record["primitive"], _side(record), record["workload"]
            row = facts.setdefault(key, {}).setdefault(_name(record), {})
            for fact, value in record["fairness"].items():
                if fact not in _SAID:
                    row.setdefault(fact, []).append(value)
    joined = {}
    for (primitive, side, workload), rows in facts.items():
        sheet = _sheet({name: {key: _shown(key, values) for key, values in row.items()} for name, row in rows.items()})
        joined.setdefault((primitive, side, repr(sheet)), (sheet, []))[1].append(workload.replace("_", " "))
    found = [{"primitive": primitive, "side": side, "workloads": workloads, **sheet}
             for (primitive, side, _), (sheet, workloads) in joined.items()]
    return sorted(found, key=lambda sheet: sheet["side"] == "limits")


def _side(record):
    return "limits" if record["role"] == "limit" else "what is compared"


def _name(record):
    return summary.label(record) + " (peer)" * (record["role"] == "peer")


def _sheet(rows):
    """What all rows have in common is said once."""
    keys = sorted({key for row in rows.values() for key in row})
    common = [(key.replace("_", " "), next(iter(rows.values()))[key]) for key in keys
              if len({row.get(key) for row in rows.values()}) == 1]
    differing = [key for key in keys if len({row.get(key) for row in rows.values()}) > 1]
    return {"common": common, "heads": ["name", *(key.replace("_", " ") for key in differing)],
            "rows": [[name, *(row.get(key, "–") for key in differing)] for name, row in sorted(rows.items())]
            if differing else []}


def _shown(key, values):
    """The values of all sizes and placements: up to three in full, else the ends."""
    distinct = list(dict.fromkeys(values))
    if all(isinstance(value, (int, float)) for value in distinct):
        distinct.sort()
    words = [word(value, key) for value in distinct]
    return "; ".join(words) if len(words) <= _MOST_SHOWN else f"{words[0]} … {words[-1]}"


def word(value, key=""):
    """A value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and key.endswith("bytes"):
        return text.amount(value)
    if isinstance(value, (int, float)):
        return f"{value:,g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return str(value)
