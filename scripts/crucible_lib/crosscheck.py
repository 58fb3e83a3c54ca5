"""Our round trips beside the same by independent programs, in turns, on one CPU."""
import dataclasses
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

from . import project, text

WITHIN = 0.10
PAIRS = 20  # the fewest that give an interval
RUN_SECONDS = 30
SETTLE_SECONDS = 5.0
_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "sec": 1e9}


@dataclasses.dataclass(frozen=True)
class Check:
    """One tool, the cell of ours that does the same, and what a reader must know of the difference."""
    tool: str
    package: str
    mechanism: str
    size: int
    measure: object  # ns of one round trip, by the tool on a CPU
    version: list
    note: str


def _output(argv, cpu):
    return subprocess.run(["taskset", "-c", str(cpu), *argv], check=True, stdin=subprocess.DEVNULL, timeout=RUN_SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def parse_perf(output, loops):
    """perf bench -f simple prints the seconds of the whole run."""
    return float(output.split()[-1]) / loops * 1e9


def parse_sockperf(output):
    """It prints half a round trip in microseconds."""
    found = re.search(r"Summary: Latency is ([\d.]+) usec", output)
    if not found:
        raise ValueError(f"sockperf printed no latency:\n{output}")
    return float(found.group(1)) * 2e3


def parse_qperf(output):
    """It prints half a round trip, with its unit."""
    found = re.search(r"latency\s*=\s*([\d.]+)\s*(ns|us|ms|sec)\b", output)
    if not found:
        raise ValueError(f"qperf printed no latency:\n{output}")
    return float(found.group(1)) * _NS[found.group(2)] * 2


def _perf(cpu, loops=40_000):
    return parse_perf(_output(["perf", "bench", "-f", "simple", "sched", "pipe", "-l", str(loops)], cpu), loops)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _listens(port):
    """Looks where the kernel lists sockets: a connection to try it would be the server's first client."""
    local = f"0100007F:{int(port):04X}", f"00000000:{int(port):04X}", f"{'0' * 32}:{int(port):04X}"
    lines = [line.split() for name in ("tcp", "tcp6")
             for line in pathlib.Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]]
    return any(line[1] in local and line[3] == "0A" for line in lines)


def _with_server(server, client, port, cpu):
    with subprocess.Popen(["taskset", "-c", str(cpu), *server], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as running:
        try:
            until = time.monotonic() + SETTLE_SECONDS
            while not _listens(port):
                if running.poll() is not None or time.monotonic() > until:
                    raise ValueError(f"{server[0]} does not listen")
                time.sleep(0.02)
            return _output(client, cpu)
        finally:
            running.kill()


def _sockperf(cpu):
    port = _free_port()
    where = ["--tcp", "-i", "127.0.0.1", "-p", port]
    return parse_sockperf(_with_server(["sockperf", "server", *where],
                                       ["sockperf", "ping-pong", *where, "-m", "64", "-t", "1"], port, cpu))


def _qperf(cpu):
    port = _free_port()
    return parse_qperf(_with_server(["qperf", "-lp", port],
                                    ["qperf", "-lp", port, "-t", "1", "-m", "64", "-e", "5", "127.0.0.1", "tcp_lat"], port, cpu))


CHECKS = [
    Check("perf", "linux-perf", "posix_pipe", 8, _perf, ["perf", "--version"],
          "two processes, one write and one read of 4 bytes each way; ours carries 8"),
    Check("sockperf", "sockperf", "tcp_socket", 64, _sockperf, ["sockperf", "--version"],
          "TCP over loopback, messages of 64 bytes"),
    Check("qperf", "qperf", "tcp_socket", 64, _qperf, ["qperf", "--version"],
          "tcp_lat: TCP over loopback, messages of 64 bytes"),
]


def mean_ns(blocks, side):
    """Of all operations: the tools print means, so a median of ours would be compared with something else."""
    return sum(blocks[side + "_ns"]) / (len(blocks[side + "_ns"]) * blocks.get(side + "_operations", blocks["operations"]))


def _ours(build_dir, check, cpu):
    """ns of one round trip by the raw loop and by the mechanism, and the raw loop's name."""
    binary = build_dir / "bench" / "pipe_bench"
    with tempfile.TemporaryDirectory() as folder:
        records = pathlib.Path(folder, "records")
        _output([str(binary), "--benchmark_min_time=0.3", f"--crucible_sizes={check.size}",
                 f"--crucible_records={records}",
                 f"--benchmark_filter=^pipe/round_trip/{check.mechanism}/{check.size}/same/kernel/direct/"], cpu)
        line = json.loads(records.read_text(encoding="utf-8").splitlines()[0])
    return mean_ns(line["blocks"], "limit"), mean_ns(line["blocks"], "subject"), line["limit"]


def verdict(entry):
    """In words: a claim only if the interval as a whole bears it out."""
    if entry["low"] is None:
        return f"not decided: an interval takes {PAIRS} pairs"
    if 1 - WITHIN <= entry["low"] and entry["high"] <= 1 + WITHIN:
        return "within 10 %"
    if entry["high"] < 1 - WITHIN or entry["low"] > 1 + WITHIN:
        return "differs by more than 10 %"
    return "not decided"


def _run_check(check, build_dir, cpu, pairs):
    raw, mechanism, tool, name = [], [], [], ""
    for number in range(pairs):
        if number % 2:  # who goes first must not matter
            tool.append(check.measure(cpu))
        raw_ns, mechanism_ns, name = _ours(build_dir, check, cpu)
        raw.append(raw_ns)
        mechanism.append(mechanism_ns)
        if not number % 2:
            tool.append(check.measure(cpu))
    return {"tool": check.tool, "version": _version(check), "bytes": check.size, "note": check.note,
            "tool_ns": tool, "rows": [_row(name, raw, tool), _row(check.mechanism, mechanism, tool)]}


def _version(check):
    return _output(check.version, min(os.sched_getaffinity(0))).splitlines()[0].strip()


def _row(name, ours, tool):
    from . import ratios  # whose modules an interpreter must be found for first
    entry = ratios.median_with_interval([a / b for a, b in zip(ours, tool)])
    return {"name": name, "ns": ours, "ratio": entry, "verdict": verdict(entry)}


def _shown(result):
    middle = sorted(result["tool_ns"])[len(result["tool_ns"]) // 2]
    print(f"{result['version']}: {text.nanoseconds(middle)} ({result['note']})")
    for row in result["rows"]:
        entry = row["ratio"]
        interval = f" [{entry['low']:.3f}, {entry['high']:.3f}]" if entry["low"] is not None else ""
        print(f"  {row['name']:11} {text.nanoseconds(sorted(row['ns'])[len(row['ns']) // 2])}, "
              f"{entry['median']:.3f}{interval} times the tool's: {row['verdict']}")


def add_options(parser):
    parser.add_argument("--pairs", type=int, default=PAIRS, metavar="N",
                        help="runs of each side (default: %(default)s, the fewest for an interval)")
    parser.add_argument("--build-dir", type=pathlib.Path, default=project.RELEASE_DIR, metavar="DIR",
                        help="the build to measure (default: build/release)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every figure there as well")


DESCRIPTION = """Measures round trips with independent, packaged programs and with ours, in turns, on one CPU.
The raw loop does what the tool does, so its row checks our clocks and our harness; the mechanism's
row adds what its guarantees cost. No packaged tool of Debian 12 measures Unix sockets in round trips."""
EPILOG = ("Exit status: 0 no raw loop differs by more than 10 %, 1 one does, or a tool failed, 2 wrong usage, 3 no tool is "
          "installed.")


def command(options):
    if options.pairs < 1:
        raise project.Stop("--pairs must be at least 1", project.USAGE)
    if not (options.build_dir / "bench" / "pipe_bench").exists():
        raise project.Stop(f"{options.build_dir} holds no bench/pipe_bench; build first", project.MISSING)
    project.refuse_debug_build(options.build_dir)
    results = []
    for check in CHECKS:
        if shutil.which(check.tool) is None:
            print(f"{check.tool} is not installed: apt-get install {check.package}")
            continue
        try:
            results.append(_run_check(check, options.build_dir, min(os.sched_getaffinity(0)), options.pairs))
        except (subprocess.SubprocessError, ValueError, OSError) as error:
            raise project.Stop(f"the check against {check.tool} failed: {error}", project.FAILED) from None
        _shown(results[-1])
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if not results:
        return project.MISSING
    differs = any(result["rows"][0]["verdict"].startswith("differs") for result in results)
    return project.FAILED if differs else project.OK
