"""report.html: one self-contained file made from a run's results and charts."""
import re

import jinja2
import markupsafe

from . import charts, conformance, style, summary, tables, targets, text
from .project import SCRIPTS

FILE = "report.html"
_SVG_PROLOG = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)


def _inline_svg(path, caption):
    svg = _SVG_PROLOG.sub("", path.read_text(encoding="utf-8"), count=1)
    described = f'<svg role="img" aria-label="{markupsafe.escape(caption)}"'
    return markupsafe.Markup(svg.replace("<svg", described, 1))


def _missing(results):
    """Reasons with what they concern, most cells first."""
    reasons = {}
    for record in results["records"]:
        reason = record.get("unsupported") or record.get("not_measured")
        if reason:
            kind = "unsupported" if "unsupported" in record else "not measured"
            reasons.setdefault((kind, reason), []).append(record.get("case", record["name"]))
    return sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))


def _fairness(results):
    """(keys, rows): per name and workload the facts of the fairness sheet; values that change with size as a list."""
    facts = {}
    for record in results["records"]:
        if record.get("fairness"):
            row = facts.setdefault((summary.label(record), record["workload"]), {})
            for key, value in record["fairness"].items():
                row.setdefault(key, []).append(value)
    keys = sorted({key for row in facts.values() for key in row})

    def shown(values):
        distinct = list(dict.fromkeys(values))
        if all(isinstance(v, (int, float)) for v in distinct):
            distinct.sort()
        words = [_word(value) for value in distinct]
        return "; ".join(words) if len(words) <= 3 else f"{words[0]} … {words[-1]}"

    return keys, [(name, workload, [shown(row[k]) if k in row else "-" for k in keys])
                  for (name, workload), row in facts.items()]


def _word(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _flat(value, prefix=""):
    """The environment as (name, value) lines."""
    for key, inner in value.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(inner, dict) and inner:
            yield from _flat(inner, name + ": ")
        elif isinstance(inner, list):
            yield name, ", ".join(map(str, inner))
        elif inner is None:
            yield name, "unknown"
        else:
            yield name, _word(inner) if isinstance(inner, bool) else str(inner)


def _measurements(results):
    """Every measured cell, for whoever wants the figures behind the dots."""
    order = {"mechanism": 0, "peer": 1, "limit": 2}
    return sorted(summary.measured(results), key=lambda r: (r["primitive"], r["workload"], r["placement"], r["bytes"],
                                                            r["call"], order[r["role"]], r["name"]))


def render(results, run_dir, drawn):
    """Writes report.html beside the charts just drawn; returns its path."""
    loader = jinja2.FileSystemLoader(str(SCRIPTS / "crucible_lib"))
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True,
                                     undefined=jinja2.StrictUndefined)
    environment.filters.update(size=text.size, ns=text.nanoseconds, rate=text.rate, gib=text.gib_per_s,
                               seconds=text.seconds, label=summary.label)
    heads, rows = summary.headline(results)
    subjects, matrix = summary.matrix(results)
    keys, fairness = _fairness(results)
    failed = [subject for subject, entry in results["conformance"].items() if entry["failed"]]
    ratios = targets.ratio_rows(results)
    folder = run_dir / charts.FOLDER
    figures = [(stem, caption, _inline_svg(folder / f"{stem}.svg", caption)) for stem, caption in drawn]
    page = environment.get_template("report.html.j2").render(
        results=results, machine=summary.machine(results), heads=heads, rows=rows,
        charts=figures, ratios=ratios, targets=targets.by_mechanism(results), doors=tables.door_table(results),
        queues=tables.queue_table(results), pools=tables.pool_table(results), syncs=tables.sync_table(results),
        cpu=tables.cpu_table(results), capabilities=tables.capability_table(results),
        queue_capabilities=tables.queue_capability_table(results), subjects=subjects, matrix=matrix,
        marks=summary.VERDICT_MARK, meanings=summary.VERDICT_MEANING, failed=failed,
        failed_clauses=conformance.failed_clauses, missing=_missing(results), fairness_keys=keys,
        fairness=fairness, environment=list(_flat(results["environment"])), measurements=_measurements(results),
        standing=lambda record: conformance.standing(results, record), colour=lambda name: style.of(name)[0],
        processes=summary.process_rows(results), tests_run=summary.tests_run(results))
    path = run_dir / FILE
    path.write_text(page, encoding="utf-8")
    return path
