"""The measuring part of a run: conformance of the same build, then every cell, into one run folder."""
import contextlib
import dataclasses
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time

from . import child, conformance, environment, project, text, verdicts
from .progress import Progress

LISTING_TIMEOUT_S = 60
CASE_PARTS = 8  # primitive/workload/name/bytes/placement/wait/call/form


@dataclasses.dataclass
class Run:
    """What was found so far; complete enough for a results file at any moment."""
    conformance: dict = dataclasses.field(default_factory=dict)
    lines: list = dataclasses.field(default_factory=list)
    missing: list = dataclasses.field(default_factory=list)
    failed: bool = False
    interrupted: bool = False
    elapsed_s: float = 0.0
    conformance_checked: str | None = None  # when, if not in this run
    load: dict = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def _signals_as_interrupt():
    """A closed terminal and a polite kill leave a report as Ctrl-C does."""
    def interrupt(*_):
        raise KeyboardInterrupt
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def registered_cases(binary, sizes):
    """The cases that a benchmark binary knows with these sizes; None if it cannot be asked."""
    argument = [f"--crucible_sizes={','.join(map(str, sizes))}"] if sizes else []
    try:
        listed = subprocess.run([str(binary), "--benchmark_list_tests", *argument], check=True, capture_output=True,
                                text=True, timeout=LISTING_TIMEOUT_S).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    # Google Benchmark appends how it took the time, e.g. /manual_time.
    return {"/".join(line.split("/")[:CASE_PARTS]) for line in listed.split()}


class Measurement:
    def __init__(self, plan, build_dir, run_dir, progress=None, journal=None, before=None, checked=None):
        """`before`: what a journal gives of a run that is resumed. `checked`: what verdicts.load() gives."""
        self.plan, self.build_dir = plan, build_dir
        self.raw = run_dir / "raw"
        self.raw.mkdir(parents=True, exist_ok=True)
        self.progress = progress or Progress(len(plan.cells) + 1, plan.total_s)
        self.run = Run()
        self._journal, self._before, self._checked = journal, before, checked
        if before:
            self.run.lines, self.run.failed = list(before.lines), before.failed
            self.run.conformance = before.conformance or {}
            self.run.conformance_checked = before.conformance_checked
        self._mechanisms = project.mechanism_names(build_dir)
        self._built = project.mechanism_table(build_dir)
        self._off = project.switched_off(build_dir)

    def execute(self):
        """Everything, or, after an interrupt, what there was until then."""
        done = {line["case"] for line in self.run.lines}
        todo = [cell for cell in self.plan.cells if cell.case not in done]
        self._skip_done(todo)
        start, watch = time.monotonic(), environment.LoadWatch()
        try:
            with _signals_as_interrupt():
                if self.plan.gtest_filter is not None and not (self._before and self._before.conformance):
                    self._conformance()
                known = self._known_cases()
                while todo:
                    self._case(todo[0], known)
                    todo.pop(0)
        except KeyboardInterrupt:
            self.run.interrupted = True
            self.progress.close()
            print("interrupted: writing what was measured until now", file=sys.stderr)
        self.progress.close()
        self.run.missing += [(cell, "interrupted") for cell in todo]
        self.run.missing += [(cell, "left out by --only") for cell in self.plan.left_out]
        self.run.elapsed_s, self.run.load = time.monotonic() - start, watch.read()
        if self._before:
            self.run.elapsed_s += self._before.elapsed_s
        if self._journal:
            self._journal.part_done(self.run.elapsed_s)
        return self.run

    def _skip_done(self, todo):
        left, count = set(todo), 0
        planned_s = sum(self.plan.case_s[cell] for cell in self.plan.cells if cell not in left)
        if self._before and self._before.conformance:
            count, planned_s = 1, planned_s + self.plan.conformance_s
        self.progress.skip(count + len(self.plan.cells) - len(todo), planned_s)

    def _conformance(self):
        self.progress.begin("conformance of this build", self.plan.conformance_s)
        if self._checked:
            tests, self.run.conformance_checked = self._checked
            self._judge(tests, [])
            return
        tests, broken = [], []
        suites = conformance.run(self.build_dir, self.raw / "conformance", self.plan.gtest_filter,
                                 self.plan.conformance_s, self.progress.tick)
        for binary, parts in suites.items():
            if parts is None:
                broken.append((binary, "the binary is not there"))
                continue
            tests += conformance.listed(self.build_dir, binary, self._mechanisms)
            for part in parts:
                if not part.report.exists():
                    broken.append((binary, f"no verdicts: {part.ended.describe()}"))
                    continue
                found = conformance.read_xml(part.report, binary, self._mechanisms)
                tests += found
                if part.ended.status != 0 and not any(test.verdict == "failed" for test in found):
                    broken.append((binary, f"no test failed, yet: {part.ended.describe()}"))
        if not broken and self.plan.gtest_filter == "*":
            verdicts.store(self.build_dir, tests)
        self._judge(tests, broken)

    def _judge(self, tests, broken):
        self.run.conformance = conformance.judge(tests, conformance.clauses())
        for binary, reason in broken:
            conformance.broken_suite(self.run.conformance, binary, reason)
        failed = [f"{subject} {words}" for subject, entry in self.run.conformance.items()
                  for words in conformance.failed_clauses(entry)]
        self.run.failed |= bool(failed)
        if self._journal:
            self._journal.conformance_done(self.run.conformance, self.run.failed, self.run.conformance_checked)
        when = f" when it was run at {self.run.conformance_checked}" if self.run.conformance_checked else ""
        self.progress.end("failed: " + ", ".join(failed) if failed else f"nothing failed{when}")

    def _known_cases(self):
        """The listed cases per binary, asked once with all the sizes of the plan."""
        known = {}
        for binary in {cell.binary for cell in self.plan.cells}:
            sizes = sorted({cell.bytes for cell in self.plan.cells if cell.binary == binary} - {0})
            known[binary] = registered_cases(self.build_dir / "bench" / binary, sizes)
        return known

    def _case(self, cell, known):
        size = [text.size(cell.bytes)] if cell.bytes else []
        self.progress.begin(" ".join([cell.workload, cell.name, *size, cell.placement, cell.wait, cell.call, cell.form]),
                            self.plan.case_s[cell])
        if known[cell.binary] is None:
            reason, failed = f"the benchmark program {cell.binary} is missing or does not start", True
        elif cell.case not in known[cell.binary]:
            off = next((why for folder, why in self._off.items() if f"{cell.name}_".startswith(folder + "_")), None)
            reason = f"not built: {off}" if off else f"{cell.binary} has no such case"
            failed = cell.name in self._built
        else:
            reason, failed = self._measure(cell)
        self.run.failed |= failed
        if reason:
            self.run.missing.append((cell, reason))
        self.progress.end(f"not measured: {reason}" if reason else outcome(self.run.lines[-1]))

    def _measure(self, cell):
        """Runs one case as a process of its own; (reason, failed) with reason None when there is a record."""
        fresh, log, report = (self.raw / f"case.{kind}" for kind in ("records", "log", "json"))
        for leftover in (fresh, log, report):
            leftover.unlink(missing_ok=True)
        argv = [str(self.build_dir / "bench" / cell.binary), f"--benchmark_filter=^{re.escape(cell.case)}(/|$)",
                f"--benchmark_min_time={self.plan.min_time_s(cell):.3g}", f"--benchmark_out={report}",
                "--benchmark_out_format=json", f"--crucible_records={fresh}"]
        if cell.bytes:
            argv.append(f"--crucible_sizes={cell.bytes}")
        try:
            ended = child.run(argv, log, self.plan.timeout_s(cell), self.progress.tick)
            found = fresh.read_text(encoding="utf-8").splitlines() if fresh.exists() else []
            if ended.timed_out or ended.status != 0:
                last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
                return ": ".join([f"the benchmark failed, {ended.describe()}", *map(project.scrub, last)]), True
            if not found:
                return "the benchmark wrote no record", True
            line = json.loads(found[-1])
            if line["case"] != cell.case:
                return f"the benchmark wrote a record of another case, {line['case']}", True
            self.run.lines.append(line)
            self._keep(cell, line, report)
            return None, False
        finally:
            for leftover in (fresh, log, report):
                leftover.unlink(missing_ok=True)

    def _keep(self, cell, line, report):
        """Appended case by case, so that not even a power failure takes what was measured."""
        with open(self.raw / "records.jsonl", "a", encoding="utf-8") as kept:
            kept.write(json.dumps(line) + "\n")
        if report.exists():
            content = json.loads(report.read_text(encoding="utf-8"))
            # Folder and host name stay out of what is published; the environment record has what matters.
            content["context"].update(executable=os.path.basename(content["context"].get("executable", cell.binary)),
                                      host_name="")
            with open(self.raw / "google_benchmark.jsonl", "a", encoding="utf-8") as kept:
                kept.write(json.dumps(content) + "\n")


def outcome(line):
    """One case in a few words, for the log."""
    if "unsupported" in line:
        return f"unsupported: {line['unsupported']}"
    metrics = line["metrics"]
    if "notice_p50_ns" in metrics:
        return f"death noticed in {text.nanoseconds(metrics['notice_p50_ns'])}, {metrics['lost']} lost"
    if "system_calls_per_message" in metrics:
        return f"{metrics['system_calls_per_message']:.3g} system calls per message"
    if "memory_bytes_per_object" in metrics:
        return f"{text.size(round(metrics['memory_bytes_per_object']))} each"
    if "sustainable_per_s" in metrics:
        return text.rate(metrics["sustainable_per_s"], " messages/s sustained")
    if "latency_p50_ns" in metrics:
        return f"p50 {text.nanoseconds(metrics['latency_p50_ns'])}"
    for key, words in (("messages_per_s", " messages/s"), ("connections_per_s", " connections/s"),
                       ("pairs_per_s", " pairs/s"), ("tasks_per_s", " tasks/s")):
        if key in metrics:
            return text.rate(metrics[key], words)
    if "cpu_percent" in metrics:
        return f"{metrics['cpu_percent']:.3g} % CPU"
    if "bytes_per_s" in metrics:
        return text.gib_per_s(metrics["bytes_per_s"])
    return f"{metrics.get('samples', 0):.0f} samples"


def compress(raw):
    """gzip -9 of every raw file, without time stamps or folders of this machine."""
    for path in [path for path in raw.rglob("*") if path.is_file() and path.suffix != ".gz"]:
        content = project.scrub(path.read_text(encoding="utf-8", errors="replace"))
        with open(path.with_name(path.name + ".gz"), "wb") as sink:
            with gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0) as packed:
                packed.write(content.encode())
        path.unlink()
