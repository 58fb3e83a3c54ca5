"""Runs a benchmark program briefly, as a user would, and checks its exit status and the records it writes.

usage: check_program.py PROGRAM sound|repetitions|unsupported|one_cpu|usage [OPTION...]
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

FEWEST_BLOCKS = 20
FEWEST_BEYOND = 10
PERCENTILES = {"latency_p50_ns": 0.5, "latency_p90_ns": 0.9, "latency_p99_ns": 0.99, "latency_p999_ns": 0.999}
COSTS = {"cpu_s_per_million", "cpu_user_s_per_million", "cpu_system_s_per_million", "context_switches_per_message"}
IDENTITY = {"case", "primitive", "workload", "role", "name", "wait", "placement", "bytes", "processes", "call", "form",
            "limit"}


def listed(program, options):
    """The names of the cases, as Google Benchmark lists them."""
    names = subprocess.run([program, "--benchmark_list_tests", *options], check=True, capture_output=True,
                           text=True).stdout.split()
    assert names, "no case matches"
    return [name.removesuffix("/manual_time") for name in names]


def run(program, options, cpus=None):
    """The records and the results of Google Benchmark's own file."""
    with tempfile.TemporaryDirectory() as folder:
        records, report = pathlib.Path(folder, "records"), pathlib.Path(folder, "report")
        subprocess.run([program, "--benchmark_min_time=0.001", f"--crucible_records={records}",
                        f"--benchmark_out={report}", "--benchmark_out_format=json", *options], check=True,
                       preexec_fn=cpus and (lambda: os.sched_setaffinity(0, cpus)))
        return ([json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()],
                json.loads(report.read_text(encoding="utf-8"))["benchmarks"])


def check_metrics(metrics, operations):
    assert COSTS <= metrics.keys(), f"costs are missing in {metrics}"
    assert metrics["samples"] == operations
    if "messages_per_s" in metrics:
        assert metrics["messages_per_s"] > 0 and metrics["bytes_per_s"] > 0
        return
    for key, quantile in PERCENTILES.items():
        enough = operations * (1 - quantile) >= FEWEST_BEYOND - 1e-6
        assert (key in metrics) == enough, f"{key} of {operations} samples"
    shown = [metrics[key] for key in PERCENTILES if key in metrics] + [metrics["latency_max_ns"]]
    assert shown == sorted(shown) and shown[0] > 0, f"percentiles out of order: {shown}"


def check_record(record):
    assert IDENTITY <= record.keys(), f"incomplete: {record}"
    assert record["case"].split("/") == [record["primitive"], record["workload"], record["name"], str(record["bytes"]),
                                         record["placement"], record["wait"], record["call"]]
    assert "unsupported" not in record, record
    blocks = record["blocks"]
    count = len(blocks["subject_ns"])
    assert count >= FEWEST_BLOCKS and count == len(blocks["limit_ns"]) == len(blocks["order"])
    assert min(blocks["subject_ns"]) > 0 and min(blocks["limit_ns"]) > 0
    assert set(blocks["order"]) == {0, 1}, "the order of the blocks is not random"
    for side in ("metrics", "limit_metrics"):
        check_metrics(record[side], blocks["operations"] * count)
    assert record["fairness"]["subject"] and record["fairness"]["limit"]


def sound(program, options):
    names = listed(program, options)
    records, report = run(program, options)
    assert [record["case"] for record in records] == names
    assert [entry["name"].removesuffix("/manual_time") for entry in report] == names
    for record, entry in zip(records, report):
        check_record(record)
        assert entry["iterations"] == record["metrics"]["samples"]
        assert abs(entry["real_time"] * entry["iterations"] / sum(record["blocks"]["subject_ns"]) - 1) < 0.01


def repetitions(program, options):
    names = listed(program, options)
    records, _ = run(program, ["--benchmark_repetitions=3", "--benchmark_report_aggregates_only=true", *options])
    cases = [name.partition("/repeats:")[0] for name in names]
    assert [record["case"] for record in records] == [case for case in cases for _ in range(3)]
    for record in records:
        check_record(record)


def check_unsupported(program, options, word, cpus=None):
    records, report = run(program, options, cpus)
    assert [record["case"] for record in records] == listed(program, options)
    for record in records:
        assert word in record["unsupported"] and "metrics" not in record, record
    assert all(entry["error_occurred"] for entry in report)


def unsupported(program, options):
    check_unsupported(program, options, "sequence number")


def one_cpu(program, options):
    check_unsupported(program, options, "two CPUs", {min(os.sched_getaffinity(0))})


def usage(program, _options):
    for wrong in ("--crucible_sizes=many", "--no_such_option"):
        assert subprocess.run([program, wrong], check=False).returncode == 2, wrong
    for flag in ("--benchmark_min_time", "--crucible_records"):
        assert flag in subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout, flag


if __name__ == "__main__":
    {check.__name__: check for check in (sound, repetitions, unsupported, one_cpu, usage)}[sys.argv[2]](
        sys.argv[1], sys.argv[3:])
