#!/usr/bin/env python3
"""Plants one fault of the tables *.toml here in a copy of a source and checks that its clause catches it.

The mutated source is compiled and linked as the build directory's own, in place of the library's, into a copy of
the test binary. Exit code 0: the clause's tests failed, as they must, in one of ten runs, each with random values of
its own. 1: the mutant survived, or no longer applies.
"""

import argparse
import ctypes
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
IMPL = ROOT / "impl"
WATCHDOG_SECONDS = 10
RUNS = 10  # where the mutant must show is for some clauses left to chance, and to what else the machine does
RUN_SECONDS = 60  # a binary that outlives its own watchdog so long proves nothing
PR_SET_CHILD_SUBREAPER = 36


class Defect(Exception):
    """The mutant itself is at fault, or the build directory."""


def load() -> dict:
    entries = [entry for path in sorted(HERE.glob("*.toml"))
               for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]]
    mutants = {entry["name"]: entry for entry in entries}
    if len(mutants) != len(entries):
        raise Defect("a name stands twice")
    return mutants


def runs_alone(mutant: dict) -> bool:
    """As the tests that are to catch it do: those of suites named Timing are decided by times, or by what other
    programs would do meanwhile."""
    return "Timing." in mutant["tests"]


def mutated(mutant: dict) -> str:
    """The text of the mutated file."""
    text = (IMPL / mutant["file"]).read_text()
    count = text.count(mutant["find"])
    if count != 1:
        raise Defect(f"no longer applies: impl/{mutant['file']} holds the text to replace {count} times, not once")
    return text.replace(mutant["find"], mutant["replace"])


def mutate(mutant: dict, overlay: Path) -> None:
    """Puts the mutated file into `overlay`, under its path below impl/."""
    file = overlay / mutant["file"]
    file.parent.mkdir(parents=True)
    file.write_text(mutated(mutant))


def check(mutants: dict) -> bool:
    """Prints which mutants no longer apply; true if all do."""
    good = True
    for mutant in mutants.values():
        try:
            mutated(mutant)
        except (Defect, OSError) as error:
            print(f"{mutant['name']}: {error}")
            good = False
    return good


def run_tool(arguments: list[str], build: Path, what: str) -> str:
    done = subprocess.run(arguments, cwd=build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise Defect(f"{what} failed: {shlex.join(arguments)}\n{done.stdout}")
    return done.stdout


def compile_object(source: Path, overlay: Path, build: Path, to: Path) -> None:
    commands = json.loads((build / "compile_commands.json").read_text())
    entry = next((entry for entry in commands if Path(entry["file"]) == source), None)
    if entry is None:
        raise Defect(f"{source} is not compiled in {build}")
    mutated = overlay / source.relative_to(IMPL)
    arguments = shlex.split(entry["command"])
    arguments[arguments.index("-o") + 1] = str(to)
    arguments[arguments.index(entry["file"])] = str(mutated if mutated.exists() else source)
    # The overlay first, so that a mutated header hides the true one; warnings are the ordinary build's affair.
    arguments[1:1] = ["-I", str(overlay)]
    run_tool([*arguments, "-O0", "-w"], Path(entry["directory"]), "compiling")


def link(binary: str, objects: list[Path], build: Path, to: Path) -> None:
    """As the build links it, the mutated objects first, so that their originals stay in the archive."""
    cache = (build / "CMakeCache.txt").read_text()
    ninja = re.search(r"^CMAKE_MAKE_PROGRAM:\w+=(.*)$", cache, re.MULTILINE).group(1)
    target = f"conformance/{binary}"
    commands = run_tool([ninja, "-t", "commands", target], build, "asking for the link command")
    steps = commands.strip().splitlines()[-1].split(" && ")
    arguments = next((words for words in map(shlex.split, steps) if target in words), None)
    if arguments is None:
        raise Defect(f"no link command for {target}")
    output = arguments.index(target)
    arguments[output] = str(to)
    arguments[output - 1 : output - 1] = map(str, objects)
    run_tool(arguments, build, "linking")


def end_descendants() -> None:
    """What a mutant leaves running has become a child of this process, and so on until none is left."""
    while True:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        if not children:
            return
        for child in children:
            os.kill(int(child), signal.SIGKILL)
            os.waitpid(int(child), 0)


def run_tests(binary: Path, mutant: dict, log: Path) -> tuple[int, str]:
    environment = os.environ | {"CRUCIBLE_WATCHDOG_SECONDS": str(mutant.get("watchdog", WATCHDOG_SECONDS))}
    environment.pop("GTEST_FILTER", None)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Into a file: what a mutant leaves running would hold a pipe open.
    with open(log, "wb") as output:
        child = subprocess.Popen(
            [binary, f"--gtest_filter={mutant['tests']}", "--gtest_fail_fast", "--gtest_color=no"],
            cwd=log.parent, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            code = child.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Defect(f"the tests outlived their watchdog; they ran for {RUN_SECONDS} s") from error
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            end_descendants()
    return code, log.read_text(errors="replace")


def first_failure(code: int, output: str) -> str:
    lines = output.splitlines()
    for number, line in enumerate(lines):
        if line.endswith(": Failure") or line.startswith("unknown file: Failure"):
            return " ".join([Path(line).name, *(text.strip() for text in lines[number + 1 : number + 4])])[:160]
        if line.startswith("WATCHDOG: "):
            return "the watchdog ended it"
    return f"ended by signal {-code}" if code < 0 else f"ended with {code}"


def verdict(mutant: dict, code: int, output: str) -> bool:
    """Prints what came of it; true if the mutant was caught."""
    ran = re.findall(r"^\[ RUN      \] (\S+)", output, re.MULTILINE)
    if not ran:
        raise Defect(f"no test ran for {mutant['tests']}:\n{output}")
    stray = [test for test in ran if not re.search(rf"\.{mutant['clause']}_", test)]
    if stray:
        raise Defect(f"{mutant['tests']} runs tests of other clauses than {mutant['clause']}: {stray}")
    if code == 0:
        print(f"SURVIVED {mutant['clause']} ({mutant['why']}); passed: {', '.join(ran)}")
        return False
    # Failed by its own account or, where the mutant took the whole binary down, the last one that ran.
    failed = re.search(r"^\[  FAILED  \] ([^\s,]+)", output, re.MULTILINE)
    print(f"caught by {mutant['clause']}: {failed.group(1) if failed else ran[-1]}: {first_failure(code, output)}")
    return True


def run(mutant: dict, build: Path) -> bool:
    # Not in /tmp: the suite looks there for what the library leaves behind.
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=build / "conformance") as name:
        directory = Path(name)
        overlay = directory / "impl"
        mutate(mutant, overlay)
        objects = []
        for number, source in enumerate(mutant.get("recompile", [mutant["file"]])):
            objects.append(directory / f"{number}.o")
            compile_object(IMPL / source, overlay, build, objects[-1])
        binary = directory / mutant["binary"]
        link(mutant["binary"], objects, build, binary)
        return any(verdict(mutant, *run_tests(binary, mutant, directory / "output")) for _ in range(RUNS))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="the mutant, as --list shows it")
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="a complete Ninja build directory")
    parser.add_argument("--list", action="store_true", help="list all mutants")
    parser.add_argument("--check", action="store_true", help="only see whether all mutants still apply")
    parser.add_argument("--names", choices=("together", "alone"),
                        help="with --list: only the names of those that may run beside others, or must not")
    arguments = parser.parse_args()
    # A time limit's signal must not leave the temporary directory or processes behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(f"ended by signal {number}"))
    try:
        mutants = load()
        if arguments.list:
            for mutant in mutants.values():
                if not arguments.names:
                    print(f"{mutant['name']:34} {mutant['clause']:4} {mutant['why']}")
                elif runs_alone(mutant) == (arguments.names == "alone"):
                    print(mutant["name"])
            return 0
        if arguments.check:
            return 0 if check(mutants) else 1
        if arguments.name not in mutants:
            parser.error(f"no mutant named {arguments.name}")
        start = time.monotonic()
        caught = run(mutants[arguments.name], arguments.build.resolve())
        print(f"{time.monotonic() - start:.1f} s")
        return 0 if caught else 1
    except Defect as defect:
        print(f"DEFECT: {defect}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
