"""Runs a benchmark program briefly, as a user would, and checks its exit status and the records it writes.

usage: check_program.py PROGRAM sound|studies|repetitions|unsupported|no_schedule|one_cpu|usage [OPTION...]
       check_program.py PROGRAM remote SCHEME [OPTION...]
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

FEWEST_BLOCKS = 20
FEWEST_BEYOND = 10
PERCENTILES = {"latency_p50_ns": 0.5, "latency_p90_ns": 0.9, "latency_p99_ns": 0.99, "latency_p999_ns": 0.999}
COSTS = {"cpu_s_per_million", "cpu_user_s_per_million", "cpu_system_s_per_million", "context_switches_per_message"}
IDENTITY = {"case", "primitive", "workload", "role", "name", "wait", "placement", "bytes", "processes", "call", "form"}
RATES = {"messages_per_s", "bytes_per_s", "connections_per_s", "achieved_per_s", "pairs_per_s", "tasks_per_s"}
# Peers that are programs of their own have no figure where something is missing here.
PEER_REASONS = ("there is no python3 here", "python3 here cannot do this; its message is on stderr",
                "built without hiredis", "there is no redis-server here", "redis-server here does not start")


def listed(program, options):
    """The names of the cases, as Google Benchmark lists them."""
    names = subprocess.run([program, "--benchmark_list_tests", *options], check=True, capture_output=True,
                           text=True).stdout.split()
    assert names, "no case matches"
    return [name.removesuffix("/manual_time").removesuffix("/iterations:1") for name in names]


def run(program, options, cpus=None):
    """The records and the results of Google Benchmark's own file."""
    with tempfile.TemporaryDirectory() as folder:
        records, report = pathlib.Path(folder, "records"), pathlib.Path(folder, "report")
        subprocess.run([program, "--benchmark_min_time=0.001", f"--crucible_records={records}",
                        f"--benchmark_out={report}", "--benchmark_out_format=json", *options], check=True,
                       preexec_fn=cpus and (lambda: os.sched_setaffinity(0, cpus)))
        return ([json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()],
                json.loads(report.read_text(encoding="utf-8"))["benchmarks"])


def check_metrics(record, metrics, operations):
    blocks = record["blocks"]
    samples = operations * len(blocks["subject_ns"]) * blocks["samples_per_operation"]
    assert metrics["samples"] == samples
    assert record["workload"] == "idle" or COSTS <= metrics.keys(), f"costs are missing in {metrics}"
    assert ("cpu_percent" in metrics) == (blocks["quantity"] == "cpu")
    rates = RATES & metrics.keys()
    assert all(metrics[rate] > 0 for rate in rates)
    if "fairness_index" in metrics:
        assert 0 < metrics["fairness_index"] <= 1, metrics
    if "latency_max_ns" not in metrics:
        assert rates or record["workload"] == "idle", metrics
        return
    for key, quantile in PERCENTILES.items():
        enough = samples * (1 - quantile) >= FEWEST_BEYOND - 1e-6
        assert (key in metrics) == enough, f"{key} of {samples} samples"
    shown = [metrics[key] for key in PERCENTILES if key in metrics] + [metrics["latency_max_ns"]]
    assert shown == sorted(shown) and shown[0] > 0, f"percentiles out of order: {shown}"


def check_spectrum(spectrum, metrics):
    """Present where there are latencies, ascending, and of the same distribution."""
    assert (spectrum is not None) == ("latency_p50_ns" in metrics), metrics
    if spectrum is None:
        return
    quantiles, values = spectrum["quantile"], spectrum["latency_ns"]
    assert len(quantiles) == len(values) and quantiles == sorted(quantiles) and values == sorted(values), spectrum
    for key, quantile in PERCENTILES.items():
        assert (key in metrics) == (quantile in quantiles), f"{key} beside {quantiles}"
        assert key not in metrics or abs(values[quantiles.index(quantile)] - metrics[key]) <= 0.5, (key, spectrum)


def check_pairs(record):
    """What subject and limit share: blocks in random order, figures and a fairness sheet each."""
    blocks = record["blocks"]
    limit_ns = blocks["limit_cpu_ns" if record["workload"] == "idle" else "limit_ns"]
    assert len(limit_ns) == len(blocks["order"]) == len(blocks["subject_ns"])
    assert record["workload"] == "idle" or min(limit_ns) > 0
    assert set(blocks["order"]) == {0, 1}, "the order of the blocks is not random"
    check_metrics(record, record["limit_metrics"], blocks["limit_operations"])
    check_spectrum(record.get("limit_spectrum"), record["limit_metrics"])
    assert record["fairness"]["limit"]


def check_record(record):
    assert IDENTITY <= record.keys(), f"incomplete: {record}"
    assert record["case"].split("/") == [record["primitive"], record["workload"], record["name"], str(record["bytes"]),
                                         record["placement"], record["wait"], record["call"], record["form"]]
    assert "unsupported" not in record, record
    blocks = record["blocks"]
    assert len(blocks["subject_ns"]) >= FEWEST_BLOCKS
    assert record["workload"] == "idle" or min(blocks["subject_ns"]) > 0
    check_metrics(record, record["metrics"], blocks["operations"])
    check_spectrum(record.get("spectrum"), record["metrics"])
    assert record["fairness"]["subject"]
    if "limit" in record:
        check_pairs(record)
    else:
        assert record["role"] in ("limit", "peer") or record["placement"] == "remote", record
        assert not {"limit_ns", "order"} & blocks.keys() and "limit_metrics" not in record


def sound(program, options):
    names = listed(program, options)
    records, report = run(program, options)
    assert [record["case"] for record in records] == names
    assert [entry["name"].removesuffix("/manual_time") for entry in report] == names
    for record, entry in zip(records, report):
        if record["workload"] == "loan" and "unsupported" in record:
            assert record["unsupported"] == "declares no zero_copy", record
            continue
        if re.search("cpython|redis", record["case"]) and record.get("unsupported") in PEER_REASONS:
            continue
        check_record(record)
        blocks = record["blocks"]
        assert entry["iterations"] * blocks["samples_per_operation"] == record["metrics"]["samples"]
        if blocks["quantity"] == "time":
            assert abs(entry["real_time"] * entry["iterations"] / sum(blocks["subject_ns"]) - 1) < 0.01


def check_load(record):
    """Rates ascend, none is achieved that was not offered, and the sustainable one is among them."""
    curve, closed = record["load_curve"], record["closed_loop"]
    offered = [step["offered_per_s"] for step in curve]
    assert len(curve) >= 9 and offered == sorted(set(offered)) and offered[0] > 0, offered
    for step in [*curve, closed]:
        p50, p99 = step["latency_p50_ns"], step["latency_p99_ns"]
        assert p50 is None or p50 > 0
        assert (p99 is not None) == (step["samples"] >= 1000) and (p99 is None or p99 >= p50), step
    assert all(0 < step["achieved_per_s"] <= 1.01 * step["offered_per_s"] for step in curve), curve
    assert closed["messages_per_s"] > 0
    assert record["metrics"].get("sustainable_per_s", offered[0]) in offered
    assert record["metrics"]["samples"] == sum(step["samples"] for step in curve)


def check_death(record):
    metrics = record["metrics"]
    assert metrics["samples"] == 60 and metrics["sent"] > 0 and metrics["lost"] <= metrics["sent"], metrics
    assert 0 < metrics["notice_p50_ns"] <= metrics["notice_max_ns"], metrics


def check_calls(record):
    """A message through the kernel takes a call to send it and, sooner or later, one to receive it."""
    calls = record["metrics"]["system_calls_per_message"]
    assert calls >= 0
    if record["workload"] == "system_calls" and record["name"] in ("posix_pipe", "unix_socket", "tcp_socket"):
        assert 1.9 < calls < 4.1, record["metrics"]


def check_memory(record):
    metrics = record["metrics"]
    assert 0 < metrics["memory_bytes_per_object"] < 1 << 26, metrics
    assert metrics["descriptors_per_object"] >= 0, metrics
    assert metrics["processes_per_object"] == 1 or record["primitive"] != "pool", metrics


def studies(program, options):
    """Cases that are no blocks beside a limit."""
    checks = {"load": check_load, "death": check_death, "system_calls": check_calls,
              "system_calls_one_way": check_calls, "memory": check_memory}
    names = listed(program, options)
    records, _ = run(program, options)
    assert [record["case"] for record in records] == names
    for record in records:
        assert IDENTITY <= record.keys() and "unsupported" not in record and record["fairness"], record
        checks[record["workload"]](record)


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


def no_schedule(program, options):
    check_unsupported(program, options, "keeps the schedule")


def one_cpu(program, options):
    check_unsupported(program, options, "two CPUs", {min(os.sched_getaffinity(0))})


def usage(program, _options):
    for wrong in ("--crucible_sizes=many", "--no_such_option"):
        assert subprocess.run([program, wrong], check=False).returncode == 2, wrong
    for flag in ("--benchmark_min_time", "--crucible_records"):
        assert flag in subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout, flag


def remote(program, options):
    """Two programs of which one knows the other's address only, as two hosts would run them."""
    scheme, *others = options
    with subprocess.Popen([program, f"--crucible_listen={scheme}:", "--crucible_key=secret"], stdout=subprocess.PIPE,
                          text=True) as server:
        try:
            address = server.stdout.readline().strip()
            assert address.startswith(scheme + ":"), f"no address: {address}"
            there = [f"--crucible_connect={address}", *others]
            sound(program, [*there, "--crucible_key=secret"])
            stranger = subprocess.run([program, *there, "--crucible_key=guess"], check=False, capture_output=True)
            assert stranger.returncode == 1, stranger
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait() == 0


if __name__ == "__main__":
    {check.__name__: check for check in (sound, studies, repetitions, unsupported, no_schedule, one_cpu, usage,
                                           remote)}[sys.argv[2]](
        sys.argv[1], sys.argv[3:])
