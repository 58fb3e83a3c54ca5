"""Is this machine fit to measure? Every finding with why it matters to a number and what can be done about it."""
import inspect
import json
import pathlib
import sys
import textwrap

from . import checks, checks_limits, leftovers, project
from .finding import LEVELS, NOTE, OK, PROBLEM, WARNING, Finding, words
from .machine import Machine

# The seconds in which load and steal are sampled. A run takes less: its own record has both over the whole run.
SAMPLE_S, BRIEF_SAMPLE_S = 1.0, 0.25
_COLUMNS = 110
_QUIET = (checks.cpus, checks.isolation, checks.governor, checks.turbo, checks.smt, checks.hypervisor, checks.container,
          checks.quota, checks.memory, checks.clock)
_GRANTED = (checks_limits.shared_memory, checks_limits.pipes, checks_limits.sockets, checks_limits.other_queues,
            checks_limits.limits, checks_limits.cores, checks_limits.looking_in, checks_limits.system_calls)

DESCRIPTION = f"""Looks at this machine and changes nothing: is it quiet, steady and generous enough to measure? Each
finding has a level, why it matters to a number, and a remedy.

levels:
  problem  a number would mislead, or cells stay empty
  warning  numbers are worse, or less steady, than they need be
  note     nothing to mend, but to know when comparing
  ok       fine; shown with --all

What cannot be seen, as often in a container, is a note "not visible". Load and steal are sampled for {SAMPLE_S:g} s.

--clean removes what killed programs of this user have left in /dev/shm, by the library's own rule: whoever uses a
name holds flock(2) on its file, so a name is removed only under that lock, which nobody who lives lets go of.
Processes, and folders in /tmp, are reported and left alone: nothing tells for sure that nobody wants them."""

EPILOG = """examples:
  scripts/crucible doctor                       what to mend before 'scripts/crucible run'
  scripts/crucible doctor --all                 also what is fine
  scripts/crucible doctor --clean               remove the names of dead owners, each is printed
  scripts/crucible doctor --json | jq '.findings[] | select(.level == "problem")'

Exit status: 0 fit (perhaps with warnings), 1 a problem was found, 2 wrong usage."""


def _findings_of(check, *arguments):
    """A check returns one finding or yields several."""
    made = check(*arguments)
    return list(made) if inspect.isgenerator(made) else [made]


def _left_names(machine):
    dead = leftovers.Names(machine.path("/dev/shm")).dead()
    if not dead:
        return Finding("leftovers", OK, "no name of a dead owner in /dev/shm")
    shown = ", ".join(path.name for path in dead[:5]) + (", …" if len(dead) > 5 else "")
    return Finding("leftovers", WARNING, f"{words(len(dead), 'name')} of dead owners in /dev/shm: {shown}",
                   "they take memory until a program that uses the library's names sweeps them",
                   "scripts/crucible doctor --clean")


def _grouped(running):
    """'pool_test (17, 18), pipe_bench (20)'."""
    by_name = {}
    for pid, name, _ in running:
        by_name.setdefault(name, []).append(str(pid))
    return ", ".join(f"{name} ({', '.join(pids)})" for name, pids in by_name.items())


def _left_processes(machine, build_dir):
    running = leftovers.processes(machine, {project.ROOT / "build", build_dir})
    why = "they take CPU from what is measured"
    # The tests kill parents on purpose: while somebody attends to any of them, an orphan may be part of a test.
    if any(not is_orphan for _, _, is_orphan in running):
        yield Finding("processes alive", WARNING, f"a run is under way: {_grouped(running)}", why,
                      "wait until it has ended")
    elif running:
        yield Finding("processes alive", WARNING, f"left by a killed run: {_grouped(running)}", why,
                      "look at them, then: kill " + " ".join(str(pid) for pid, _, _ in running))
    else:
        yield Finding("processes alive", OK, "no benchmark, test or helper of the library")
        folders = leftovers.folders(machine.path("/tmp"))
        if folders:
            shown = " ".join(map(str, folders))
            yield Finding("temporary folders", NOTE, shown, "killed tests or benchmarks left them", f"rm -r {shown}")


def brief(build_dir, machine=None):
    """What a run looks at before it measures: quickly, and without what it has just made sure of itself."""
    machine = machine or Machine()
    found = [finding for check in _QUIET + _GRANTED for finding in _findings_of(check, machine)]
    found += _findings_of(checks.load, machine, BRIEF_SAMPLE_S)
    found += [_left_names(machine), *_left_processes(machine, build_dir)]
    return found


def examine(build_dir, machine=None):
    """All findings, the gravest first."""
    machine = machine or Machine()
    found = [finding for check in _QUIET + _GRANTED for finding in _findings_of(check, machine)]
    found += _findings_of(checks.load, machine, SAMPLE_S)
    found += [checks_limits.python(), checks_limits.packages(), checks_limits.compiler(),
              checks_limits.build(build_dir), _left_names(machine), *_left_processes(machine, build_dir)]
    return sorted(found, key=lambda finding: -LEVELS.index(finding.level))


def troubling(findings):
    return [finding for finding in findings if finding.level in (WARNING, PROBLEM)]


def report_troubling(findings, stream):
    """One line each, as a run prints them before it measures."""
    for finding in troubling(findings):
        print(f"{finding.level}: {finding.check}: {finding.found}; {finding.why}", file=stream)


def _paragraph(finding):
    head = f"{finding.level:8} {finding.check}: {finding.found}"
    lines = textwrap.wrap(head, _COLUMNS, subsequent_indent=" " * 9, break_long_words=False)
    if finding.why:
        lines += textwrap.wrap(finding.why, _COLUMNS, initial_indent=" " * 9, subsequent_indent=" " * 9)
    if finding.remedy and finding.level != OK:
        lines.append(" " * 9 + "> " + finding.remedy)  # whole, to be copied
    return "\n".join(lines)


def _verdict(findings):
    counts = {level: sum(finding.level == level for finding in findings) for level in LEVELS}
    counted = ", ".join([words(counts[level], level) for level in (PROBLEM, WARNING, NOTE)] + [f"{counts[OK]} fine"])
    return f"{'not fit to measure' if counts[PROBLEM] else 'fit to measure'}: {counted}"


def register(command):
    """Adds the sub-command by cli's `command(name, function, summary, description, epilog)`."""
    parser = command("doctor", run, "is this machine fit to measure? what to mend, what was left over", DESCRIPTION,
                     EPILOG)
    parser.add_argument("--all", action="store_true", help="show what is fine, too")
    parser.add_argument("--json", action="store_true", help="for machines: one object with fit, findings and removed")
    parser.add_argument("--clean", action="store_true",
                        help="remove the names in /dev/shm whose owners are dead, before looking")
    parser.add_argument("--build-dir", type=pathlib.Path, default=project.RELEASE_DIR, metavar="DIR",
                        help="the build whose programs count as ours (default: build/release)")


def run(options):
    machine = Machine()
    removed = [str(path) for path in leftovers.Names(machine.path("/dev/shm")).clean()] if options.clean else []
    findings = examine(options.build_dir, machine)
    fit = not any(finding.level == PROBLEM for finding in findings)
    if options.json:
        json.dump({"fit": fit, "findings": [finding.record() for finding in findings],
                   **({"removed": removed} if options.clean else {})}, sys.stdout, indent=1)
        print()
    else:
        for name in removed:
            print(f"removed {name}")
        if options.clean and not removed:
            print("nothing to remove: no name of a dead owner")
        for finding in findings:
            if options.all or finding.level != OK:
                print(_paragraph(finding))
        print(_verdict(findings))
    return project.OK if fit else project.FAILED
