"""The sub-commands of scripts/crucible."""
import argparse
import dataclasses
import functools
import os
import pathlib
import platform
import re
import subprocess
import sys

from . import (choose, compare, completion, crosscheck, doctor, environment, interpreter, measure, noise, noise_run,
               plan, project, text, verdicts)

STATUS = "Exit status: 0 good, 1 a clause or a measurement failed, 2 wrong usage, 3 something is not installed."


def _sizes(argument):
    try:
        return text.parse_sizes(argument)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _pattern(argument):
    try:
        re.compile(argument)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"not a regular expression: {error}") from None
    return argument


def _command(commands, name, function, summary, description, epilog=STATUS):
    parser = commands.add_parser(name, help=summary, description=description, epilog=epilog, allow_abbrev=False,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(function=function)
    return parser


def _add_build_options(parser):
    parser.add_argument("--no-install", action="store_true",
                        help="never touch the system: if a package is missing, name it and stop with status 3")
    parser.add_argument("--build-dir", type=pathlib.Path, default=project.RELEASE_DIR, metavar="DIR",
                        help="use this configured build instead of the release preset's build/release")
    parser.add_argument("--no-build", action="store_true", help="use the build as it is")


def make_parser():
    parser = argparse.ArgumentParser(
        prog="scripts/crucible", allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Puts Linux IPC mechanisms to the test: which one holds its contract on this machine,\n"
                    "at what latency, throughput and CPU cost?",
        epilog="Start with 'scripts/crucible run'. Every sub-command has a --help.\n" + STATUS)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    profiles = plan.load_profiles()["profiles"]

    run = _command(
        commands, "run", run_command, "install, build, check, measure, report: the main job",
        "Installs missing packages, builds, checks the conformance of that build, measures a profile and writes\n"
        "a folder with report.html, charts (SVG and PNG), results.json and the raw measurements.\n\n"
        "profiles:\n" + "\n".join(f"  {name:6} {entry['about']}" for name, entry in profiles.items()) + "\n\n"
        "Ctrl-C keeps what was measured: the rest is marked as interrupted, and the report is written.",
        "examples:\n"
        "  scripts/crucible run                                        measure what `test` has passed, then open report.html\n"
        "  scripts/crucible run full --dry-run                         what would be measured, how long it takes\n"
        "  scripts/crucible run --only 'round_trip/.*/same' --sizes 8,4K,1M\n\n" + STATUS + "\n130: interrupted.")
    run.add_argument("profile", nargs="?", choices=list(profiles), default="quick", help="default: %(default)s")
    folder = run.add_mutually_exclusive_group()
    folder.add_argument("--out", type=pathlib.Path, metavar="DIR",
                        help="write here, a new or empty folder, instead of results/<UTC time>-<host>-<commit>")
    run.add_argument("--only", type=_pattern, metavar="REGEX", help="measure only cases whose name, such as "
                     "pipe/round_trip/unix_socket/64/cross/kernel/direct, contains a match; the time saved goes "
                     "to them").completer = completion.case_parts
    run.add_argument("--sizes", type=_sizes, metavar="LIST", help="message sizes instead of the profile's, as 8,4K,1M"
                     ).completer = completion.sizes
    folder.add_argument("--resume", type=pathlib.Path, metavar="DIR",
                        help="continue the interrupted or killed run in this folder: same profile and options, same "
                        "build; what it measured is not measured again")
    run.add_argument("--noise", type=pathlib.Path, metavar="FILE", help="the noise.json that states this machine's "
                     "noise floor, instead of the newest in results/")
    run.add_argument("--recheck", action="store_true", help="check conformance again, although the whole suite of this "
                     "build has passed on this kernel, in `test` or in another run")
    run.add_argument("--dry-run", action="store_true", help="print the plan and its duration, do nothing")
    run.add_argument("--host", default=platform.node() or "unknown", metavar="NAME",
                     help="name of this machine in what is published (default: %(default)s)")
    _add_build_options(run)

    test = _command(commands, "test", test_command, "install, build and run every test",
                    "Installs missing packages, builds, and runs every test. What follows -- goes to ctest, e.g.\n"
                    "  scripts/crucible test -- -R Pipe --repeat until-fail:20\n"
                    "Nothing given, all is run but the planted faults, which test the tests and are run by\n"
                    "  scripts/crucible test -- -L mutants\n"
                    "What passes so is known of this build from then on, and `run` does not check it again.")
    _add_build_options(test)
    test.add_argument("ctest", nargs="*", metavar="-- CTEST ARGUMENTS", help="passed on to ctest")

    report = _command(commands, "report", report_command, "redraw the charts and the report of a run",
                      "Makes the charts, summary.md and report.html anew from results.json, and checks that every\n"
                      "ratio in it follows from the raw blocks kept beside it.")
    report.add_argument("dir", type=pathlib.Path, metavar="DIR", help="a run folder")
    report.add_argument("--check", action="store_true", help="draw nothing: only recompute every ratio; status 1 if "
                        "one differs, or if there are no raw blocks to recompute it from")

    listing = _command(commands, "list", list_command, "mechanisms, workloads, profiles and cases",
                       "Lists what there is: from the benchmark programs if they are built, else from the profiles.")
    listing.add_argument("what", nargs="?", choices=["mechanisms", "workloads", "profiles", "cases"],
                         help="only these, one per line")
    listing.add_argument("--build-dir", type=pathlib.Path, default=project.RELEASE_DIR, metavar="DIR",
                         help="the build to ask (default: build/release)")
    add = functools.partial(_command, commands)
    compare.register(add, _pattern)
    noise_run.register(add, _add_build_options)
    crosscheck.add_options(_command(commands, "crosscheck", crosscheck_command,
                                    "compare our round trips with those of perf, sockperf and qperf",
                                    crosscheck.DESCRIPTION, crosscheck.EPILOG))
    for module in (choose, doctor, completion):
        module.register(add)
    return parser


def main(arguments=None):
    options = make_parser().parse_args(arguments)
    if "build_dir" in options:
        options.build_dir = options.build_dir.resolve()
    try:
        return options.function(options)
    except project.Stop as stop:
        print(f"crucible: {stop}", file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        return project.INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) had enough; nothing can be flushed to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return project.OK


def _plan(options):
    mechanisms = project.mechanism_rows(options.build_dir)
    if not mechanisms:
        raise project.Stop("impl/CMakeLists.txt names no mechanism", project.USAGE)
    made = plan.make(options.profile, mechanisms, options.sizes, options.only)
    if not made.cells:
        raise project.Stop(f"no case of profile {options.profile} matches --only {options.only}", project.USAGE)
    return made


def new_folder(options, started, prefix=""):
    from . import results
    name = prefix + results.folder_name(started, options.host, project.commit()[0])
    folder = options.out or project.ROOT / "results" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise project.Stop(f"{folder} is not empty; a run needs a folder of its own", project.USAGE)
    except OSError as error:
        raise project.Stop(f"cannot write to {folder}: {error.strerror}", project.USAGE) from None
    return folder


def _noise(options, surroundings):
    """The noise section of the run: of --noise, or of the newest noise run of this machine; None without one."""
    if options.noise:
        document = noise.read(options.noise)
        if not noise.same_machine(document["environment"], surroundings):
            raise project.Stop(f"{options.noise} was measured on another machine or kernel", project.USAGE)
    else:
        document = noise.newest(project.ROOT / "results", surroundings)
    return noise.section(document) if document else None


def _without_conformance(made):
    """The plan where the verdicts of the whole suite are known."""
    return dataclasses.replace(made, conformance_s=0, gtest_filter="*") if made.gtest_filter is not None else made


def run_command(options):
    made = _plan(options)
    checked = None if options.recheck else verdicts.load(options.build_dir)
    if options.dry_run:
        made = _without_conformance(made) if checked else made
        for cell in made.cells:
            print(f"{cell.case}  {made.case_s[cell]:.1f} s")
        print(f"{len(made.cells)} cases in {text.seconds(made.measuring_s)}, after "
              + (f"conformance, known since {checked[1]}: " if checked else
                 f"{text.seconds(made.conformance_s)} of conformance: ")
              + f"{text.seconds(made.total_s)} once it is built")
        return project.OK

    interpreter.ensure_all()
    from . import results, resume

    if not options.no_build:
        project.build(options.build_dir)
        made = _plan(options)  # once more: only what is built tells how its mechanisms can wait
    project.refuse_debug_build(options.build_dir)
    chosen = {key: getattr(options, key) for key in ("only", "sizes") if getattr(options, key) is not None}
    started = results.now()
    surroundings = environment.collect(options.build_dir, options.host)
    floor = _noise(options, surroundings)
    same = resume.identity(made, options.build_dir, chosen, surroundings)
    checked = None if options.recheck else verdicts.load(options.build_dir)
    made = _without_conformance(made) if checked and not options.resume else made
    findings = doctor.brief(options.build_dir)
    doctor.report_troubling(findings, sys.stderr)
    surroundings["findings"] = [finding.record() for finding in doctor.troubling(findings)]
    folder = options.resume or new_folder(options, started)
    journal, before = resume.Journal(folder), None
    if options.resume:
        journal.reopen()
        journal.refuse_another(same)
        before = journal.resume()
        started = results.moment(journal.state["started"])
        surroundings["resumed"] = journal.state["resumed"]
        print(f"resuming: {len(before.lines)} cases are measured already", file=sys.stderr)
    else:
        journal.begin(same, started)
    print(f"{len(made.cells)} cases, about {text.seconds(made.total_s)}", file=sys.stderr)
    run = measure.Measurement(made, options.build_dir, folder, journal=journal, before=before,
                              checked=checked).execute()

    document = results.assemble(run, made, options.build_dir, started, surroundings, chosen, floor)
    measure.compress(folder / "raw")
    results.write(document, folder)
    _present(document, folder)
    if run.interrupted:
        return project.INTERRUPTED
    return project.FAILED if run.failed else project.OK


def _present(document, folder):
    """Charts, summary and report into the folder; the headline and the path onto the terminal."""
    from . import charts, markdown, report, stalls, summary
    drawn = charts.draw(document, folder)
    path = report.render(document, folder, drawn)
    (folder / markdown.FILE).write_text(markdown.render(document, drawn), encoding="utf-8")
    heads, rows = summary.headline(document)
    if rows:
        print(summary.plain_table(heads, [row.cells for row in rows]))
    if not all(row.valid for row in rows):
        print("a mechanism that FAILED or was not checked has no valid numbers")
    for sentence in summary.process_rows(document):
        print(sentence)
    for sentence, _, _ in stalls.findings(document):
        print(sentence)
    gaps = sum("metrics" not in record for record in document["records"])
    if gaps:
        print(f"{gaps} cells were not measured; the report says why")
    print(os.path.relpath(path) if path.resolve().is_relative_to(pathlib.Path.cwd()) else path)


def test_command(options):
    if not options.no_build:
        project.build(options.build_dir)
    sys.stdout.flush()
    selection = options.ctest or ["--label-exclude", "^mutants$"]
    told = options.build_dir / verdicts.JUNIT
    told.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", str(options.build_dir), "--output-on-failure", "-j4", "--output-junit", str(told),
               *selection]
    try:
        status = subprocess.run(command, cwd=project.ROOT, check=False).returncode
    except FileNotFoundError:
        raise project.Stop("ctest is missing; install cmake", project.MISSING) from None
    if status != 0:
        return project.FAILED
    if not options.ctest and told.exists():
        tests = verdicts.read_junit(told, options.build_dir, project.mechanism_names(options.build_dir))
        if tests:
            verdicts.store(options.build_dir, tests)
    return project.OK


def report_command(options):
    interpreter.ensure_all()
    from . import results
    document = results.read(options.dir)
    if not options.check:
        _present(document, options.dir)
    checked = results.recomputed(document, options.dir)
    if checked is None:
        print("the raw blocks are not here, so the ratios were not recomputed")
        return project.FAILED if options.check else project.OK
    count, wrong = checked
    print(f"{count} ratios recomputed from the raw blocks" + (f"; they differ for {', '.join(wrong)}" if wrong else ""))
    return project.FAILED if wrong else project.OK


def crosscheck_command(options):
    interpreter.ensure_all()
    return crosscheck.command(options)


def _all_cases(build_dir):
    """As the binaries list them, or, where one is not built, as the profiles plan them."""
    planned = [cell for profile in plan.load_profiles()["profiles"].values()
               for cell in plan.cells_of(profile, project.mechanism_rows(build_dir))]
    cases = []
    for binary in dict.fromkeys(cell.binary for cell in planned):
        listed = measure.registered_cases(build_dir / "bench" / binary, [])
        cases += sorted(listed) if listed is not None else dict.fromkeys(c.case for c in planned if c.binary == binary)
    return cases


def list_command(options):
    profiles = plan.load_profiles()["profiles"]
    mechanisms = project.mechanism_rows(options.build_dir)
    made = {name: plan.make(name, mechanisms) for name in profiles}
    cases = _all_cases(options.build_dir)
    found = {
        "mechanisms": mechanisms,
        "workloads": list(dict.fromkeys("/".join(case.split("/")[:2]) for case in cases)),
        "profiles": [f"{name:6} {len(made[name].cells):4} cases, {text.seconds(made[name].total_s)}: {entry['about']}"
                     for name, entry in profiles.items()],
        "cases": cases,
    }
    for kind in [options.what] if options.what else found:
        if not options.what:
            print(f"{kind}:")
        for line in found[kind]:
            print(line if options.what else f"  {line}")
    return project.OK
