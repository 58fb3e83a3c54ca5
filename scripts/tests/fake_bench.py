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
PIPE = ("round_trip", "one_way", "one_way_many", "loan")
DOOR = ("connect", "connect_key", "connect_10_clients", "connect_100_clients", "first_message", "echo_1_client",
        "echo_10_clients", "echo_100_clients")
WAITS = {"shm_ring": ("adaptive", "spin", "block")}
WAIT_FACTOR = {"kernel": 1.0, "block": 0.8, "adaptive": 0.02, "spin": 0.008}
UNSUPPORTED = {"boost_ipc": 1 << 22}  # a mechanism with a limit, so that unsupported cells are seen
FACTS = ("death", "system_calls", "system_calls_one_way")
QUEUE = ("one_way_1x1", "one_way_2x2", "one_way_4x4", "one_way_8x8", "fan_in_4x1", "fan_out_1x4", "one_way_many_1x1",
         "depth_1_1x1", "depth_1024_1x1", "round_trip", "versus_cpython_1x1", "versus_boost_1x1")
POOL = ("versus_cpython_chunk_1", "versus_cpython_chunk_default", "versus_executor_chunk_1", "workers_1", "workers_4",
        "workers_8", "workers_16", "workers_32", "tasks_0", "tasks_10us", "tasks_1ms", "tasks_mixed", "start", "stop")
POOL_PEERS = ("cpython", "cpython_executor")
NATIVE = ("posix_pipe", "unix_socket", "shm_ring", "boost_ipc")
PEERS = ("cpython", "boost_message_queue")
LOCKS = ("uncontended", "handoff", "contended_2", "contended_4", "contended_8")
WAKES = ("wake_2", "wake_4", "wake_8")
MEETS = ("meet_2", "meet_4", "meet_8", "meet_16", "meet_32")
SYNC = {"lock": LOCKS, "rlock": LOCKS, "semaphore": LOCKS, "condition": ("ping_pong",), "event": WAKES,
        "barrier": MEETS}
SYNC_PEERS = {**dict.fromkeys(("pthread_mutex", "pthread_mutex_robust", "boost_mutex", "sem_t", "boost_semaphore",
                               "cpython_lock", "cpython_rlock", "cpython_semaphore"), LOCKS),
              **dict.fromkeys(("pthread_cond", "boost_condition", "cpython_condition"), ("ping_pong",)),
              "cpython_event": WAKES, "pthread_barrier": MEETS, "cpython_barrier": MEETS}
DICTS = tuple(f"dict_{mix}_{clients}" for mix in ("get", "set", "mixed") for clients in (1, 2, 4, 8, 16))
PIPELINED = tuple(f"dict_{mix}_1_pipelined" for mix in ("get", "set", "mixed"))
LISTS = ("list_append_1", "list_append_4")
VERSUS = tuple(f"versus_{peer}_{what}" for peer in ("cpython", "redis") for what in ("get_1", "set_1", "get_2", "set_2"))
MANAGER = (*DICTS, *PIPELINED, *LISTS, *VERSUS, "versus_redis_get_1_pipelined", "lock_handoff", "dict_get_of_10000",
           "dict_get_of_100000", "dict_get_of_1000000")
MANAGER_PEERS = {"cpython": (*DICTS, *LISTS, "lock_handoff"), "redis": (*DICTS, *PIPELINED, *LISTS),
                 "private_map": ("dict_get_1", "dict_set_1", "dict_mixed_1")}
LIMITS = {"posix_pipe": "pipe_raw", "unix_socket": "unix_raw", "tcp_socket": "tcp_raw", "boost_ipc": "boost_raw",
          "zeromq_ipc": "zmq_raw", "zeromq_tcp": "zmq_raw"}
RING_LIMITS = {"round_trip": {"cross": "line_round_trip", "same": "futex_round_trip", "free": "yield_round_trip"},
               "one_way": {"cross": "ring_copy", "same": "ring_copy", "free": "ring_u64"}}


def cases(program, sizes):
    names = os.environ.get("FAKE_NAMES", "posix_pipe,unix_socket").split(",")
    series = [(name, wait) for name in names for wait in WAITS.get(name, ("kernel",))]
    if program == "load_bench":
        return [f"pipe/load/{name}/{size}/{placement}/{wait}/direct/native/iterations:1/manual_time"
                for name, wait in series for size in sizes for placement in PLACEMENT_NS] + [
                    f"pipe/harness/null/{size}/same/kernel/direct/native/manual_time" for size in sizes]
    if program == "facts_bench":
        found = [("pipe", workload, name, wait, "native") for workload in (*FACTS, "memory") for name, wait in series]
        found += [("queue", "memory", name, wait, "native") for name, wait in series if name in NATIVE]
        found += [(primitive, "memory", name, wait, "composed") for primitive in ("queue", "pool")
                  for name, wait in series]
        return [f"{primitive}/{workload}/{name}/64/free/{wait}/direct/{form}/iterations:1/manual_time"
                for primitive, workload, name, wait, form in found]
    if program == "process_bench":
        return ["process/start_join/fork/0/free/kernel/direct/native/manual_time"]
    if program == "queue_bench":
        forms = [(name, wait, form) for name in names for form in ("native", "composed")
                 if form == "composed" or name in NATIVE
                 for wait in (WAITS.get(name, ("kernel",)) if form == "native" else ("kernel",))]
        forms += [(peer, "kernel", "native") for peer in PEERS]
        return [f"queue/{workload}/{name}/{size}/{placement}/{wait}/direct/{form}/manual_time" for workload in QUEUE
                for name, wait, form in forms for size in sizes for placement in PLACEMENT_NS]
    if program == "pool_bench":
        pools = [(name, wait, "composed") for name, wait in series]
        peers = [(peer, "kernel", "native") for peer in POOL_PEERS]
        return ([f"pool/apply/{name}/{size}/{placement}/{wait}/direct/{form}/manual_time" for name, wait, form
                 in pools + peers for size in sizes for placement in PLACEMENT_NS]
                + [f"pool/{workload}/{name}/0/free/{wait}/direct/{form}/manual_time" for workload in POOL
                   for name, wait, form in pools + peers if form == "composed" or workload in ("start", "stop")])
    if program == "manager_bench":
        found = [(workload, name, wait, "composed") for workload in MANAGER for name, wait in series]
        found += [(workload, name, "kernel", "native") for name, workloads in MANAGER_PEERS.items()
                  for workload in workloads]
        return [f"manager/{workload}/{name}/{size}/{placement}/{wait}/direct/{form}/manual_time"
                for workload, name, wait, form in found for size in ([0] if workload == "lock_handoff" else sizes)
                for placement in PLACEMENT_NS]
    if program == "sync_bench":
        return [f"sync/{workload}/{name}/0/{placement}/kernel/direct/native/manual_time"
                for name, workloads in {**SYNC, **SYNC_PEERS}.items() for workload in workloads
                for placement in PLACEMENT_NS]
    if program == "door_bench":
        return [f"door/{workload}/{name}/{64 if 'echo' in workload or 'first' in workload else 0}/{placement}/{wait}/"
                "virtual/native/manual_time" for workload in DOOR for name, wait in series for placement in PLACEMENT_NS]
    found = [f"pipe/{workload}/{name}/{size}/{placement}/{wait}/direct/native/manual_time" for workload in PIPE
             for name, wait in series for size in sizes for placement in PLACEMENT_NS]
    found += [f"pipe/memcpy/{name}/{size}/same/kernel/direct/native/manual_time" for name in ("memcpy_hot", "memcpy_cold")
              for size in sizes]
    for workload, size, call in (("idle", 8, "direct"), ("paced", 48, "direct"), ("round_trip", 64, "virtual")):
        found += [f"pipe/{workload}/{name}/{size}/{placement}/{wait}/{call}/native/manual_time" for name, wait in series
                  for placement in PLACEMENT_NS]
    return found


def metrics(workload, size, per_operation, generator):
    cpu = {"cpu_s_per_million": per_operation / 1000 * 0.9, "cpu_user_s_per_million": per_operation / 4000,
           "cpu_system_s_per_million": per_operation / 1500, "context_switches_per_message": 2.0}
    if is_stream(workload):
        rate = 1e9 / per_operation
        if size == 0:
            return {"tasks_per_s": rate, "samples": 40000, **cpu}
        evenness = {"fairness_index": 0.9} if workload.endswith("x4") else {}
        return {"messages_per_s": rate, "bytes_per_s": size * rate, "samples": 40000, **evenness, **cpu}
    if workload == "uncontended":
        return {"pairs_per_s": 1e9 / per_operation, "samples": 60000, **cpu}
    if workload == "idle":
        return {"cpu_percent": per_operation / 1e6, "samples": 40}
    spread = 1.6 + generator.random()
    found = {"latency_p50_ns": per_operation, "latency_p90_ns": per_operation * 1.25,
             "latency_p99_ns": per_operation * spread, "latency_max_ns": per_operation * 12, "samples": 20000, **cpu}
    if workload.startswith("contended"):
        found.update(pairs_per_s=1e9 / per_operation, fairness_index=0.8)
    if workload == "paced":
        found.update(offered_per_s=1000.0, achieved_per_s=999.0, cpu_percent=per_operation / 1e4)
    if workload.startswith("connect_"):
        found.update(connections_per_s=1e9 / per_operation)
    if workload.startswith("echo"):
        found.update(messages_per_s=1e9 / per_operation, bytes_per_s=64e9 / per_operation)
    return found


def spectrum(figures):
    """As wide as the percentiles beside it."""
    if "latency_p50_ns" not in figures:
        return None
    p50, p99 = figures["latency_p50_ns"], figures["latency_p99_ns"]
    steps = {0: p50 * 0.8, 0.1: p50 * 0.9, 0.25: p50 * 0.95, 0.5: p50, 0.75: p50 * 1.1, 0.9: p50 * 1.25,
             0.95: p50 * 1.4, 0.99: p99, 0.995: p99 * 1.2, 0.999: p99 * 2, 0.9995: p99 * 3}
    return {"quantile": list(steps), "latency_ns": [round(value) for value in steps.values()]}


def study(workload, placement, per_operation):
    """What a case gives that is no row of blocks; None for another."""
    if workload == "death":
        return {"metrics": {"notice_p50_ns": per_operation * 100, "notice_max_ns": per_operation * 900,
                            "notice_sender_p50_ns": per_operation * 120, "sent": 90000, "received_after_death": 700,
                            "lost": 0, "left_over": 0, "stuck": 0, "samples": 60}}
    if workload.startswith("system_calls"):
        return {"metrics": {"system_calls_per_message": 2.0 if per_operation > 3000 else 0.0, "samples": 6000}}
    if workload == "memory":
        return {"metrics": {"memory_bytes_per_object": round(per_operation) * 4.0, "descriptors_per_object": 4.0,
                            "processes_per_object": 0.0, "samples": 32}}
    if workload != "load":
        return None
    if placement == "same":
        return {"unsupported": "who keeps the schedule needs a CPU of its own, or the schedule is what is measured"}
    capacity = 2e9 / per_operation
    curve = [{"offered_per_s": share * capacity, "achieved_per_s": min(share, 1.0) * capacity,
              "latency_p50_ns": round(per_operation / max(0.02, 1.02 - share)),
              "latency_p99_ns": round(3 * per_operation / max(0.01, 1.01 - share)) if share > 0.1 else None,
              "samples": 1250} for share in (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1)]
    return {"metrics": {"sustainable_per_s": 0.98 * capacity, "samples": 11250}, "load_curve": curve,
            "closed_loop": {"messages_per_s": 0.9e9 / per_operation, "latency_p50_ns": per_operation,
                            "latency_p99_ns": 2 * per_operation, "samples": 5000}}


def is_stream(workload):
    return workload.startswith(("one_way", "fan_", "depth_", "versus_", "workers_", "tasks_", "dict_",
                                "list_"))


def sync_limit(workload):
    if workload == "uncontended":
        return "mutex_pair"
    return "mutex_robust" if workload in LOCKS[2:] else "futex_wakes" if workload in WAKES + MEETS else "futex_round_trip"


def limit_name(workload, name, placement, form="native"):
    if name in SYNC or name in SYNC_PEERS:
        return sync_limit(workload)
    if workload in POOL:
        return ("cpython" if "cpython" in workload else "cpython_executor" if "executor" in workload
                else "own_2" if "workers" in workload else "bare_crew" if "tasks" in workload else "fork_exit_wait_3")
    if workload.startswith(("dict_", "list_", "lock_")):
        return "private_map" if "_of_" in workload else "own_1" if not workload.endswith("_1") else "futex_round_trip"
    if workload.startswith("versus_"):
        return workload.split("_")[1]
    if workload.endswith(("x1", "x2", "x4", "x8")):
        return "own_1x1" if form == "composed" or name == "shm_ring" else f"{LIMITS[name].split('_')[0]}_queue_raw"
    if workload == "start_join":
        return "fork_exit_wait"
    if workload in ("idle", "paced"):
        return "futex_pair"
    if workload in DOOR:
        return "unix_echo" if "echo" in workload else "unix_connect"
    if name == "shm_ring":
        return RING_LIMITS["one_way" if workload.startswith("one_way") else "round_trip"][placement]
    return LIMITS.get(name, "unix_raw")


def record(case):
    primitive, workload, name, size, placement, wait, call, form = (case.split("/") + ["native"])[:8]
    size = int(size)
    line = {"case": "/".join((case.split("/") + ["native"])[:8]), "primitive": primitive, "workload": workload,
            "role": "mechanism",
            "name": name, "wait": wait, "placement": placement, "bytes": size, "processes": 2, "call": call,
            "form": form}
    if name in PEERS or name in SYNC_PEERS or name in POOL_PEERS:
        line["role"] = "peer"
    if name in MANAGER_PEERS and primitive == "manager":
        line["role"] = "limit" if name == "private_map" else "peer"
        per_operation = {"cpython": 60000.0, "redis": 20000.0, "private_map": 90.0}[name]
        return {**line, "metrics": metrics(workload, size, per_operation, random.Random(7)),
                "blocks": {"operations": 100, "subject_ns": [100 * per_operation] * 30}}
    if workload == "memcpy":
        rate = (29e9 if name == "memcpy_hot" else 11e9) / (1 + 200 / size)
        return {**line, "role": "limit", "processes": 1, "metrics": {"bytes_per_s": rate, "samples": 4000},
                "blocks": {"operations": 20, "subject_ns": [20 * size / rate * 1e9] * 30}}
    if workload == "harness":
        return {**line, "role": "limit", "metrics": metrics(workload, size, 40.0, random.Random(7)),
                "blocks": {"operations": 1000, "subject_ns": [40000.0] * 30}}
    if size > UNSUPPORTED.get(name, size):
        return {**line, "unsupported": f"messages of at most {UNSUPPORTED[name]} bytes"}
    if workload == "loan" and name != "shm_ring":
        return {**line, "unsupported": "declares no zero_copy"}
    generator = random.Random(zlib.crc32(case.encode()))
    stream = is_stream(workload)
    base = (RATE_NS if stream else PLACEMENT_NS)[placement]
    base = {"uncontended": 15.0, "start_join": 95000.0}.get(workload, base)
    base *= 1.0 + 0.35 * (zlib.crc32(name.encode()) % 9)
    base *= 1 if stream and wait != "spin" else WAIT_FACTOR[wait]
    limit_ns = (base + size * (0.12 if stream else 0.25)) * (0.9 + 0.05 * (zlib.crc32(name.encode()) % 7))
    found = study(workload, placement, limit_ns)
    if found:
        return {**line, **found, "fairness": {"subject": {"kernel_buffer_bytes": 1 << 20}}}
    factor = 1.06 if wait == "kernel" else 1.9 if wait == "adaptive" else 1.3
    blocks = {"operations": 200, "subject_ns": [], "limit_ns": [], "order": []}
    if workload in ("idle", "paced"):
        blocks["quantity"] = "cpu"
    if name in PEERS and primitive == "queue":
        rate = 1.5e5 if name == "cpython" else 1e6
        return {**line, "metrics": {"messages_per_s": rate, "bytes_per_s": rate * size, "samples": 4000},
                "blocks": {"operations": 20, "subject_ns": [20e9 / rate] * 30}}
    for _ in range(30):
        noise = math.exp(generator.gauss(0, 0.03))
        blocks["limit_ns"].append(200 * limit_ns * noise)
        blocks["subject_ns"].append(200 * limit_ns * noise * (factor + generator.gauss(0, 0.02)))
        blocks["order"].append(generator.randrange(2))
    if workload == "idle":
        blocks["limit_cpu_ns"] = blocks.pop("limit_ns")  # both sides may have used none: no ratio
    subject, limit = (metrics(workload, size, ns, generator) for ns in (limit_ns * factor, limit_ns))
    spectra = {key: spectrum(figures) for key, figures in (("spectrum", subject), ("limit_spectrum", limit))
               if spectrum(figures)}
    return {**line, "metrics": subject, **spectra,
            "limit": limit_name(workload, name, placement, form), "limit_metrics": limit, "blocks": blocks,
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
