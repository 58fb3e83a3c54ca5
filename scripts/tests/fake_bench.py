"""Stands in for a benchmark binary: same options, same files, made-up numbers. For the scripts' tests only.

FAKE_SLOW makes every case take this many seconds, FAKE_BREAK fails the cases that contain it, and FAKE_NAMES
lists the mechanisms it pretends to have.
"""
import json
import math
import os
import random
import re
import sys
import time
import zlib

PLACEMENT_NS = {"cross": 52000.0, "same": 2300.0, "free": 9000.0}
RATE_NS = {"cross": 420.0, "same": 900.0, "free": 500.0}
WORKLOADS = ("round_trip", "one_way", "one_way_many")
UNSUPPORTED = {"boost_ipc": 1 << 22}  # a mechanism with a limit, so that unsupported cells are seen


def cases(program, sizes):
    names = os.environ.get("FAKE_NAMES", "posix_pipe,unix_socket").split(",")
    if program == "process_bench":
        return ["process/start_join/fork/0/free/direct/manual_time"]
    found = [f"pipe/{workload}/{name}/{size}/{placement}/direct/manual_time" for workload in WORKLOADS
             for name in names for size in sizes for placement in PLACEMENT_NS]
    return found + [f"pipe/round_trip/{name}/64/{placement}/virtual/manual_time" for name in names
                    for placement in PLACEMENT_NS]


def metrics(workload, size, per_operation, generator):
    cpu = {"cpu_s_per_million": per_operation / 1000 * 0.9, "cpu_user_s_per_million": per_operation / 4000,
           "cpu_system_s_per_million": per_operation / 1500, "context_switches_per_message": 2.0}
    if workload.startswith("one_way"):
        rate = 1e9 / per_operation
        return {"messages_per_s": rate, "bytes_per_s": size * rate, "samples": 40000, **cpu}
    spread = 1.6 + generator.random()
    return {"latency_p50_ns": per_operation, "latency_p90_ns": per_operation * 1.25,
            "latency_p99_ns": per_operation * spread, "latency_max_ns": per_operation * 12, "samples": 20000, **cpu}


def record(case):
    primitive, workload, name, size, placement, call = case.split("/")[:6]
    size = int(size)
    line = {"case": "/".join(case.split("/")[:6]), "primitive": primitive, "workload": workload, "role": "mechanism",
            "name": name, "wait": "spin" if name == "shm_ring" else "kernel", "placement": placement, "bytes": size,
            "processes": 2, "call": call, "form": "native"}
    if size > UNSUPPORTED.get(name, size):
        return {**line, "unsupported": f"messages of at most {UNSUPPORTED[name]} bytes"}
    generator = random.Random(zlib.crc32(case.encode()))
    stream = workload.startswith("one_way")
    base = 95000.0 if workload == "start_join" else (RATE_NS if stream else PLACEMENT_NS)[placement]
    limit_ns = (base + size * (0.12 if stream else 0.25)) * (0.9 + 0.05 * (zlib.crc32(name.encode()) % 7))
    if name == "shm_ring":
        limit_ns /= 12
    blocks = {"operations": 200, "subject_ns": [], "limit_ns": [], "order": []}
    for _ in range(60):
        noise = math.exp(generator.gauss(0, 0.03))
        blocks["limit_ns"].append(200 * limit_ns * noise)
        blocks["subject_ns"].append(200 * limit_ns * noise * (1.06 + generator.gauss(0, 0.02)))
        blocks["order"].append(generator.randrange(2))
    limit = {"start_join": "fork_exit_wait"}.get(workload, name.split("_")[0] + "_raw")
    return {**line, "metrics": metrics(workload, size, limit_ns * 1.06, generator), "limit": limit,
            "limit_metrics": metrics(workload, size, limit_ns, generator), "blocks": blocks,
            "fairness": {"messages_per_operation": 2 if workload == "round_trip" else 1, "cpus": [0, 1],
                         "subject": {"kernel_buffer_bytes": 1 << 20, "sender_may_reuse_buffer": "at return"},
                         "limit": {"kernel_buffer_bytes": 1 << 16}}}


def main(program, arguments):
    options = dict(word.lstrip("-").split("=", 1) for word in arguments if "=" in word)
    sizes = [int(size) for size in options.get("crucible_sizes", "64,4096,1048576").split(",")]
    known = cases(program, sizes)
    if "--benchmark_list_tests" in arguments:
        print("\n".join(known))
        return 0
    for case in known:
        if not re.search(options["benchmark_filter"], case):
            continue
        time.sleep(float(os.environ.get("FAKE_SLOW", "0")))
        if os.environ.get("FAKE_BREAK", "\0") in case:
            print(f"{os.path.abspath(sys.argv[0])}: message 7 arrived changed")
            return 1
        with open(options["crucible_records"], "a", encoding="utf-8") as sink:
            sink.write(json.dumps(record(case)) + "\n")
    with open(options["benchmark_out"], "w", encoding="utf-8") as sink:
        json.dump({"context": {"host_name": "secret", "executable": "/somewhere/pipe_bench"}, "benchmarks": []}, sink)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
