"""Results with a known truth, for tests of what is said of them."""

KEPT = {"must_passed": 2, "must_total": 2, "may_passed": 0, "may_skipped": 0, "failed": [], "not_run": [],
        "clauses": {"P1": "passed", "P6": "passed"}, "skipped": [], "failures": [], "variants": ["default"]}


def cell(name, median, spread=0.01, **more):
    """A measured round trip of 64 B whose interval is `spread` to each side; None for one without an interval."""
    record = {"primitive": "pipe", "workload": "round_trip", "role": "mechanism", "name": name, "wait": "kernel",
              "placement": "cross", "bytes": 64, "processes": 2, "call": "direct", "form": "native",
              "metrics": {"latency_p50_ns": median, "samples": 1000, "cpu_s_per_million": 1.0},
              "ns_per_operation": {"median": median, "blocks": 40,
                                   "low": None if spread is None else median * (1 - spread),
                                   "high": None if spread is None else median * (1 + spread)}, **more}
    parts = (record[k] for k in ("primitive", "workload", "name", "bytes", "placement", "wait", "call", "form"))
    record["case"] = "/".join(map(str, parts))
    return record


def limit(beside, median, **more):
    """Raw code measured beside a case."""
    record = cell("raw", median, role="limit", **more)
    del record["case"]
    return {**record, "paired_with": beside["case"]}


def failed(clause="P6", message="expected end of file"):
    return {**KEPT, "must_passed": 1, "failed": [clause], "clauses": {"P1": "passed", clause: "failed"},
            "failures": [{"clause": clause, "test": f"Pipe.{clause}_X/it", "message": message, "variant": "default"}]}


def results(records, **conformance):
    """A document in which every mechanism that is not named otherwise kept its promises."""
    kept = {r["name"]: KEPT for r in records if r["role"] == "mechanism"}
    return {"schema": 1,
            "run": {"profile": "quick", "started": "2000-01-01T00:00:00Z", "elapsed_s": 1, "planned_s": 1,
                    "interrupted": False, "options": {}, "gtest_filter": "*"},
            "environment": {"host": "made-up", "commit": "0" * 12, "dirty": False, "kernel": "6.1",
                            "cpu": {"model": "none", "affinity": [0, 1], "governor": "performance", "mitigations": {}},
                            "build": {"type": "Release", "compiler": "c++", "flags": "-O3"},
                            "load": {"steal_time": "0.00 %", "load_before": "0.1 0.1 0.1", "load_after": "1 1 1"}},
            "conformance": {**kept, **conformance}, "mechanisms": {},
            "clauses": [{"id": "P1", "level": "MUST", "capability": None, "text": "what is sent arrives"},
                        {"id": "P6", "level": "MUST", "capability": None, "text": "buffered messages, then `Eof`"},
                        {"id": "P19", "level": "MAY", "capability": "zero_copy", "text": "nothing is copied"}],
            "records": records}
