"""report.html: one self-contained file made from a run's results and charts."""
import re

import jinja2
import markupsafe

from . import (capabilities, charts, conformance, deaths, fairness, intervals, sentences, style, summary, surroundings,
               tables, targets, text)
from .project import SCRIPTS

FILE = "report.html"
_SVG_PROLOG = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
# Charts that answer a question of one section stand in it; all others under Charts.
SECTIONS = {"queue_scaling": "queues", "sync_costs": "locks", "rates": "pools", "manager_rates": "managers",
            "ratio_to_limit": "ratios", "conformance": "conformance"}
_RATES = re.compile(r"(?!offered|sustainable)\w+_per_s$")
_IN_COLUMNS = re.compile(r"latency_(p50|p90|p99|p999|max)_ns|\w+_per_s|cpu_s_per_million|samples")


def _inline_svg(path, caption):
    svg = _SVG_PROLOG.sub("", path.read_text(encoding="utf-8"), count=1)
    described = f'<svg role="img" aria-label="{markupsafe.escape(caption)}"'
    return markupsafe.Markup(svg.replace("<svg", described, 1))


def _figures(run_dir, drawn):
    """(stem, caption, picture) of the charts just drawn, by section."""
    found = {}
    for stem, caption in drawn:
        picture = _inline_svg(run_dir / charts.FOLDER / f"{stem}.svg", caption)
        found.setdefault(SECTIONS.get(stem, "charts"), []).append((stem, caption, picture))
    return found


def _missing(results):
    """Reasons with what they concern, most cells first."""
    reasons = {}
    for record in results["records"]:
        reason = record.get("unsupported") or record.get("not_measured")
        if reason:
            kind = "unsupported" if "unsupported" in record else "not measured"
            reasons.setdefault((kind, reason), []).append(record.get("case", record["name"]))
    return sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))


def _measurements(results):
    """Every measured cell, for whoever wants the figures behind the dots."""
    order = {"mechanism": 0, "peer": 1, "limit": 2}
    return sorted(summary.measured(results), key=lambda r: (r["primitive"], r["workload"], r["placement"], r["bytes"],
                                                            r["call"], order[r["role"]], r["name"]))


def _interval(record):
    cell = intervals.estimate(record)
    if cell:
        return f"{text.nanoseconds(cell.median)} [{intervals.durations([cell])}]"
    entry = record.get("ns_per_operation")
    return text.nanoseconds(entry["median"]) if entry and entry["median"] > 0 else "-"


def _rates(metrics):
    """Whatever a cell counts per second; bytes beside messages."""
    words = [text.gib_per_s(value) if key == "bytes_per_s" else text.rate(value, f" {key.removesuffix('_per_s')}/s")
             for key, value in metrics.items() if _RATES.match(key)]
    return ", ".join(words) or "-"


def _others(metrics):
    """The metrics that have no column of their own."""
    found = [f"{key.replace('_', ' ')} {_value(key, value)}" for key, value in metrics.items()
             if not (_IN_COLUMNS.fullmatch(key) and not key.startswith(("offered", "sustainable")))]
    return ", ".join(found)


def _value(key, value):
    if key.endswith("_ns"):
        return text.nanoseconds(value)
    return text.amount(value) if key.startswith("memory_bytes") else text.significant(value)


def _no_clause(results):
    """Failures of tests that belong to no clause, which no clause's page tells of."""
    known = {clause["id"] for clause in results["clauses"]}
    return [(subject, failure) for subject, entry in results["conformance"].items() for failure in entry["failures"]
            if failure["clause"] not in known and failure["clause"] not in entry["clauses"]]


def _with_code(words):
    """Of SPEC.md's text only what stands between backticks is markup."""
    return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(markupsafe.escape(words))))


def _template():
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(str(SCRIPTS / "crucible_lib")), autoescape=True,
                                     trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(size=text.size, ns=text.nanoseconds, seconds=text.seconds, label=summary.label,
                               significant=text.significant, code=_with_code)
    return environment.get_template("report.html.j2")


def _about_promises(results):
    subjects, matrix = summary.matrix(results)
    return {"subjects": subjects, "matrix": matrix, "marks": summary.VERDICT_MARK, "meanings": summary.VERDICT_MEANING,
            "failed": [subject for subject, entry in results["conformance"].items() if entry["failed"]],
            "failed_clauses": conformance.failed_clauses, "tests_run": summary.tests_run(results),
            "clause_pages": capabilities.clause_pages(results), "failures_of_no_clause": _no_clause(results),
            "capabilities": capabilities.capability_table(results),
            "form_capabilities": [(primitive, capabilities.form_table(results, primitive))
                                  for primitive in ("queue", "pool", "manager")]}


def _about_primitives(results):
    return {"queues": tables.split(*tables.queue_table(results), fixed=3, most=7),
            "pools": tables.split(*tables.pool_table(results), fixed=2, most=6),
            "managers": tables.split(*tables.manager_table(results), fixed=2, most=6),
            "syncs": tables.split(*tables.sync_table(results), fixed=1, most=6),
            "doors": tables.door_table(results), "cpu": tables.cpu_table(results),
            "deaths": deaths.death_table(results), "loads": deaths.load_table(results),
            "memories": deaths.memory_table(results)}


def render(results, run_dir, drawn):
    """Writes report.html beside the charts just drawn; returns its path."""
    heads, rows = summary.headline(results)
    findings = sentences.findings(results)
    page = _template().render(
        results=results, machine=summary.machine(results), heads=heads, rows=rows, charts=_figures(run_dir, drawn),
        findings=findings, questions=sentences.by_question(findings), figure=sentences.figure,
        ratios=targets.ratio_rows(results), targets=targets.by_mechanism(results), missing=_missing(results),
        fairness=fairness.sheets(results), environment=list(surroundings.lines(results["environment"])),
        machine_findings=surroundings.findings(results["environment"]), measurements=_measurements(results),
        standing=lambda record: conformance.standing(results, record), colour=lambda name: style.of(name)[0],
        interval=_interval, rates=_rates, others=_others, processes=summary.process_rows(results),
        system_calls=any("system_calls_per_message" in r["metrics"] for r in summary.measured(results)),
        **_about_promises(results), **_about_primitives(results))
    path = run_dir / FILE
    path.write_text(page, encoding="utf-8")
    return path
