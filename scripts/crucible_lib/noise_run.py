"""`scripts/crucible noise`: measures the same cells again and again, and writes what their spread says."""
import argparse
import json
import pathlib
import platform
import sys

from . import environment, interpreter, measure, noise, plan, project, text

DESCRIPTION = """\
Measures a committed list of cells (the group "noise" of scripts/profiles.json) several times by the same build, each
time in processes of its own, in rounds. Nothing but noise differs between the repetitions, so what they differ by is
what two runs may differ by without any reason: the noise floor, per metric and class of workload. It is written to
noise.json in a folder of its own under results/. Later runs on this machine carry it, and compare uses it."""
EXAMPLES = """\
examples:
  scripts/crucible noise                   five repetitions, some minutes
  scripts/crucible noise --repeat 10       a steadier figure
  scripts/crucible noise --dry-run         what would be measured, how long it takes

Exit status: 0 good, 1 a measurement failed, 2 wrong usage, 3 something is not installed. 130: interrupted."""


def _repeat(argument):
    count = int(argument) if argument.isdigit() else 0
    if count < 2:
        raise argparse.ArgumentTypeError("at least 2 repetitions are needed to differ")
    return count


def register(add, add_build_options):
    parser = add("noise", command, "state this machine's noise floor: the same cells, several times", DESCRIPTION,
                 EXAMPLES)
    parser.add_argument("--repeat", type=_repeat, default=5, metavar="N", help="repetitions of each cell (default: 5)")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="write here, a new or empty folder")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its duration, do nothing")
    parser.add_argument("--host", default=platform.node() or "unknown", metavar="NAME",
                        help="name of this machine in what is published (default: %(default)s)")
    add_build_options(parser)


def _document(made, run, repeat, started, surroundings):
    from . import results
    cells = noise.repetitions(run.lines)
    document = {"schema": 1, "started": results.stamp(started), "elapsed_s": round(run.elapsed_s, 1),
                "repeat": repeat, "percentile": noise.PERCENTILE, "environment": {**surroundings, "load": run.load},
                "floors": noise.floors(cells), "repetitions": cells,
                "not_measured": {cell.case: reason for cell, reason in run.missing}}
    where = noise.fault(document)
    if where:
        raise project.Stop(f"{noise.FILE} would not follow its schema, {where}", project.FAILED)
    return document


def table(floors):
    from . import markdown
    rows = [[metric, kind, f"{100 * entry['floor']:.1f} %", f"{100 * entry['worst']:.1f} %",
             f"{100 * entry['median']:.1f} %", str(entry["cells"]),
             str(entry["pairs"])] for metric, kinds in floors.items() for kind, entry in kinds.items()]
    heads = ["metric", "workloads", "noise floor", "worst cell", "median difference", "cells", "pairs"]
    return markdown.aligned(heads, rows)


def command(options):
    from . import cli
    made = plan.make_noise(project.mechanism_rows(options.build_dir), options.repeat)
    if options.dry_run:
        for cell in dict.fromkeys(made.cells):
            print(f"{cell.case}  {options.repeat} x {made.case_s[cell]:.1f} s")
        print(f"{len(made.cells)} cases in {text.seconds(made.total_s)}")
        return project.OK
    interpreter.ensure_all()
    from . import results
    if not options.no_build:
        project.build(options.build_dir)
        made = plan.make_noise(project.mechanism_rows(options.build_dir), options.repeat)
    project.refuse_debug_build(options.build_dir)
    started = results.now()
    folder = cli.new_folder(options, started, "noise-")
    surroundings = environment.collect(options.build_dir, options.host)
    print(f"{len(made.cells)} cases, about {text.seconds(made.total_s)}", file=sys.stderr)
    run = measure.Measurement(made, options.build_dir, folder).execute()
    measure.compress(folder / "raw")
    document = _document(made, run, options.repeat, started, surroundings)
    path = folder / noise.FILE
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(table(document["floors"]))
    print(path)
    if run.interrupted:
        return project.INTERRUPTED
    return project.FAILED if run.failed else project.OK
