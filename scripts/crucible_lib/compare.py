"""`scripts/crucible compare A B`: what differs between two runs, and whether B is worse."""
import argparse
import json
import pathlib

from . import interpreter, project

DESCRIPTION = """\
Compares two runs, given as their folders or results.json files: first what differs in the environment (what makes
the figures incomparable first of all), then the clauses whose verdict changed, then every cell that both have, the
worst first. A cell's change is that of its ratio to the limit, which was measured between its own blocks, so that a
faster or slower hour of the machine cancels; without a limit of others it is that of the time per operation.

  regression, improvement  the 95 % interval clears the least effect, and so does the whole list with at most 5 %
                           false discoveries (Benjamini-Hochberg)
  no difference shown      the interval lies within the least effect
  cannot be told           neither: the interval is too wide, or there is none

The least effect is the noise floor of the metric ('scripts/crucible noise' measures it) unless --threshold says
otherwise. Without the raw blocks of both runs the intervals stored in results.json are used."""
EXAMPLES = """\
examples:
  scripts/crucible compare results/old results/new
  scripts/crucible compare --only 'round_trip/shm_ring' --threshold 5% old/results.json new/results.json
  scripts/crucible compare --markdown results/main results/branch >> "$GITHUB_STEP_SUMMARY"

Exit status: 0 nothing is worse, 1 a regression or a clause that newly fails, 2 wrong usage, 3 something is not
installed."""
_HEADS = ["verdict", "cell", "of", "A", "B", "change", "95 % interval", "time", "least effect"]


def _threshold(argument):
    try:
        value = float(argument[:-1]) / 100 if argument.endswith("%") else float(argument)
    except ValueError:
        value = -1.0
    if not 0 <= value < 10:
        raise argparse.ArgumentTypeError(f"{argument!r} is not a share; write 5% or 0.05")
    return value


def register(add, pattern):
    parser = add("compare", command, "two runs: what differs, and is the second worse?", DESCRIPTION, EXAMPLES)
    parser.add_argument("a", type=pathlib.Path, metavar="A", help="the run before: a folder or results.json")
    parser.add_argument("b", type=pathlib.Path, metavar="B", help="the run after")
    parser.add_argument("--only", type=pattern, metavar="REGEX", help="only cells whose name contains a match")
    parser.add_argument("--threshold", type=_threshold, metavar="SHARE",
                        help="least effect, as 5%% or 0.05, instead of the noise floor")
    parser.add_argument("--all", action="store_true", help="list the cells without a verdict of change too")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="for a pull request")
    form.add_argument("--json", action="store_true", help="for a program")


def _percent(ratio):
    return f"{100 * (ratio - 1):+.1f} %"


def _row(row):
    found, time = row["change"], row["time"]
    interval = f"{_percent(found.low)} to {_percent(found.high)}" if found and found.low else "none"
    figures = [f"{found.before:.4g}", f"{found.after:.4g}", _percent(found.ratio)] if found else ["-", "-", "-"]
    name = "ratio to limit" if row["metric"] == "ratio_to_limit" else "ns/operation"
    return [row["verdict"], row["case"], name, *figures, interval, _percent(time.ratio) if time else "-",
            f"{100 * row['least']:.1f} %"]


def _heading(words, markdown):
    return f"\n## {words}\n" if markdown else f"\n{words}"


def _environment(found, markdown):
    incomparable = [key for key, *_, gravity in found if gravity == "incomparable"]
    if incomparable:
        mark = "**" if markdown else ""
        yield (f"{mark}NOT COMPARABLE: {', '.join(incomparable)} differ{'s' if len(incomparable) == 1 else ''}; "
               f"a change below may come from that alone.{mark}")
    yield _heading("Environment", markdown)
    bullet = "- " if markdown else "  "
    for key, before, after, gravity in found:
        yield f"{bullet}{'! ' if gravity == 'incomparable' else ''}{key}: {before} -> {after}"
    if not found:
        yield f"{bullet}nothing recorded differs"


def _conformance(found, markdown):
    yield _heading("Conformance", markdown)
    bullet = "- " if markdown else "  "
    for subject, clause, before, after in found:
        yield f"{bullet}{'NEWLY FAILS: ' if after == 'failed' else ''}{subject} {clause}: {before} -> {after}"
    if not found:
        yield f"{bullet}no verdict changed"


def _caution(found):
    rows = found["cells"]
    tested = sum("q" in row for row in rows)
    yield (f"{tested} cells tested together: about {0.05 * tested:.0f} of their 95 % intervals would exclude no change "
           "by chance; the verdicts allow for that (Benjamini-Hochberg, 5 % false discoveries)")
    for source in dict.fromkeys(row["least_from"] for row in rows):
        yield f"least effect: {source}"
    stored = sum(not row["from_blocks"] for row in rows)
    if stored:
        yield f"{stored} cells without the raw blocks of both runs: from the intervals stored in the results"
    for name in ("only_a", "only_b"):
        if found[name]:
            shown = ", ".join(found[name][:5]) + (", ..." if len(found[name]) > 5 else "")
            yield f"{len(found[name])} cells only in {name[-1].upper()}: {shown}"


def render(found, markdown=False, everything=False):
    from . import comparison
    from .markdown import aligned, table
    lines = [*_environment(found["environment"], markdown), *_conformance(found["clauses"], markdown),
             _heading("Cells", markdown)]
    rows = [row for row in found["cells"] if everything or row["verdict"] in ("regression", "improvement")]
    counts = {verdict: sum(row["verdict"] == verdict for row in found["cells"]) for verdict in comparison.ORDER}
    lines.append(", ".join(f"{verdict}: {count}" for verdict, count in counts.items()))
    if rows:
        lines.append(("\n" if markdown else "") + (table if markdown else aligned)(_HEADS, [*map(_row, rows)]))
    lines += ["", *(("- " if markdown else "") + words for words in _caution(found))]
    return "\n".join(lines)


def _plain(found):
    def entry(change):
        return change and {key: getattr(change, key) for key in ("before", "after", "ratio", "low", "high")}
    return {**found, "cells": [{**row, "change": entry(row["change"]), "time": entry(row["time"])}
                               for row in found["cells"]]}


def command(options):
    interpreter.ensure_all()
    from . import comparison
    found = comparison.compare(comparison.load(options.a), comparison.load(options.b), options.only, options.threshold)
    if not found["cells"]:
        raise project.Stop("the two runs have no measured cell in common" +
                           (f" that matches --only {options.only}" if options.only else ""), project.USAGE)
    print(json.dumps(_plain(found), indent=1) if options.json
          else render(found, options.markdown, options.all))
    return project.FAILED if comparison.failed(found) else project.OK
