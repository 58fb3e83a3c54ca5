#!/usr/bin/env python3
"""Runs the suite, or a benchmark, on a mechanism with a known fault and checks that the fault is seen.

usage: run_liar.py LIE PROGRAM

Exit status 0: every test named for the lie failed, saying what it must say, and all of them passed on the honest wrapper
round the same mechanism. 1: the lie went unseen, or the wrapper itself is at fault. 2: wrong usage.
"""
import ctypes
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import typing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from crucible_lib import stalls  # noqa: E402  (the path must be set first)

RUN_SECONDS = 50
WATCHDOG_SECONDS = 10
WRONG_BYTES = 3  # exit status of a benchmark program; bench/support/payload.h
PR_SET_CHILD_SUBREAPER = 36

# By lie: the tests that must fail, each with what its output must say.
CLAUSES = {
    "drops": {"PipeFaults.P45_AHundredThousandMessagesArriveInOrderAndLeaveNothingBehind": "instead of message 49996"},
    "truncates": {"Pipe.P33_EveryLengthArrivesExactly": "4096 bytes instead of",
                  "Pipe.P3_LargeMessagesAreEchoedUnchanged": "4096 bytes instead of"},
    "swaps": {"PipeFaults.P45_AHundredThousandMessagesArriveInOrderAndLeaveNothingBehind": r"instead of message \d*998\b"},
    "invents": {"PipeTiming.P49_WhatDoesNotWaitReturnsAtOnce": r"Ok\n +Status::kTimeout"},
    "discards": {"Pipe.P37_CloseLosesNothingThoughTheReceiverIsFarBehind": r"0 bytes instead of \d+"},
}
# What is measured to see it: workload, bytes, at least how many seconds.
WORKLOADS = {
    "drops_measured": ("one_way", 64, 2.0),
    "truncates_measured": ("one_way", 65536, 0.1),
    "stalls_measured": ("round_trip", 64, 12.0),
}


class Unseen(Exception):
    """The check has found no fault where there is one, or one where there is none."""


class Ran(typing.NamedTuple):
    status: int
    output: str


def expect(condition, why, ran):
    if not condition:
        raise Unseen(f"{why}; exit status {ran.status}:\n{ran.output[-3000:]}")


def end_descendants():
    """What a liar leaves running has become a child of this process."""
    while children := pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split():
        for child in map(int, children):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def run(program, *arguments):
    environment = {**os.environ, "CRUCIBLE_WATCHDOG_SECONDS": str(WATCHDOG_SECONDS)}
    environment.pop("GTEST_FILTER", None)
    # Into a file: what is left running would hold a pipe open.
    with tempfile.TemporaryFile() as sink:
        child = subprocess.Popen([program, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=sink,
                                 stderr=subprocess.STDOUT)
        try:
            status = child.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired:
            raise Unseen(f"{arguments} ran for more than {RUN_SECONDS} s") from None
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            end_descendants()
        sink.seek(0)
        return Ran(status, sink.read().decode(errors="replace"))


def run_test(program, test, mechanism):
    ran = run(program, f"--gtest_filter={test}/{mechanism}", "--gtest_color=no")
    expect(f"[ RUN      ] {test}/{mechanism}\n" in ran.output, f"{test} does not exist", ran)
    return ran


def check_clauses(program, lie):
    for test, message in CLAUSES[lie].items():
        honest = run_test(program, test, "honest")
        expect(honest.status == 0 and "[  PASSED  ] 1 test" in honest.output, f"{test} fails without a fault", honest)
        liar = run_test(program, test, f"liar_{lie}")
        expect(liar.status != 0, f"{test} passed though it {lie}", liar)
        said = re.search(f".*{message}.*", liar.output)
        expect(said, f"{test} failed without saying '{message}'", liar)
        print(f"{test}: {said.group().strip()}")


def measure(program, mechanism, workload, size, seconds):
    """How it ended, and the record that it wrote, None without one."""
    with tempfile.TemporaryDirectory() as folder:
        records = pathlib.Path(folder, "records")
        ran = run(program, f"--benchmark_min_time={seconds}", f"--crucible_sizes={size}",
                  f"--crucible_records={records}", f"--benchmark_filter=/{workload}/{mechanism}/")
        lines = records.read_text(encoding="utf-8").splitlines() if records.exists() else []
    return ran, json.loads(lines[0]) if lines else None


def check_measurement(program, lie):
    kind = lie.removesuffix("_measured")
    workload, size, seconds = WORKLOADS[lie]
    honest, record = measure(program, "honest", workload, size, min(seconds, 2.0))
    expect(honest.status == 0 and record, "the measurement fails without a fault", honest)
    expect(stalls.stall(record) is None, "a stall is reported where there is none", honest)
    liar, record = measure(program, f"liar_{kind}", workload, size, seconds)
    if kind == "stalls":
        expect(liar.status == 0 and record, "the measurement of the stalls failed", liar)
        expect(stalls.stall(record), f"the stalls are not reported: {record['metrics']}", liar)
        print(stalls.sentence(record))
        return
    expect(liar.status == WRONG_BYTES and record is None, f"measured though it {kind}", liar)
    wrong = r"message 50000 of 64 bytes came as 64 bytes with sequence number 50001" if kind == "drops" else \
        r"of 65536 bytes came as 4096 bytes"
    said = re.search(f"verification failed: .*{wrong}.*", liar.output)
    expect(said, "the verification does not say what is wrong", liar)
    print(said.group())


def main(arguments):
    if len(arguments) != 2 or arguments[0] not in {*CLAUSES, *WORKLOADS}:
        print(__doc__, file=sys.stderr)
        return 2
    lie, program = arguments
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(f"ended by signal {number}"))
    try:
        (check_clauses if lie in CLAUSES else check_measurement)(program, lie)
    except Unseen as unseen:
        print(f"UNSEEN: {unseen}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
