import contextlib
import io
import json
import random
import unittest
from unittest import mock

import support  # noqa: F401  (sets the path and the interpreter)
from crucible_lib import cli, crosscheck, markdown, project, stalls


def record(p99, longest):
    return {"primitive": "pipe", "workload": "round_trip", "name": "unix_socket", "wait": "kernel", "form": "native",
            "placement": "free", "bytes": 64,
            "metrics": {"samples": 10_000, "latency_p99_ns": p99, "latency_max_ns": longest}}


class Stalls(unittest.TestCase):
    def test_a_stall_is_long_and_far_from_what_nearly_all_take(self):
        self.assertEqual(stalls.stall(record(2e4, 2e8)), 2e8)

    def test_a_busy_machine_or_a_slow_mechanism_is_none(self):
        self.assertIsNone(stalls.stall(record(2e4, 3e7)))  # a time slice or two
        self.assertIsNone(stalls.stall(record(5e6, 2e8)))  # always slow

    def test_too_few_samples_tell_nothing(self):
        few = record(2e4, 2e8)
        del few["metrics"]["latency_p99_ns"]
        self.assertIsNone(stalls.stall(few))
        self.assertIsNone(stalls.stall({"unsupported": "a reason"}))

    def test_the_summary_names_it(self):
        document = json.loads((support.EXAMPLE / "results.json").read_text(encoding="utf-8"))
        self.assertNotIn("stalls:", markdown.render(document))
        document["records"].append({**document["records"][0], **record(2e4, 2e8)})
        self.assertIn("pipe/round_trip by unix_socket, 64 B, free stalls: the longest of 10000 took 200 ms",
                      markdown.render(document))


def noisy(ratio):
    source = random.Random(1)
    tool = [source.uniform(9e3, 11e3) for _ in range(crosscheck.PAIRS)]
    return [ratio * ns * source.uniform(0.98, 1.02) for ns in tool], tool


class Crosscheck(unittest.TestCase):
    def test_what_the_tools_print_becomes_a_round_trip(self):
        self.assertAlmostEqual(crosscheck.parse_perf("0.272\n", 20_000), 13_600)
        self.assertAlmostEqual(crosscheck.parse_sockperf("x\nsockperf: Summary: Latency is 6.750 usec\n"), 13_500)
        self.assertAlmostEqual(crosscheck.parse_qperf("tcp_lat:\n    latency  =  6.7512 us\n"), 13_502.4)
        self.assertAlmostEqual(crosscheck.parse_qperf("tcp_lat:\n    latency  =  1.5 ms\n"), 3e6)
        for parse in (crosscheck.parse_sockperf, crosscheck.parse_qperf):
            with self.assertRaises(ValueError):
                parse("failed to connect")

    def test_the_mean_of_all_operations_is_compared(self):
        self.assertEqual(crosscheck.mean_ns({"operations": 10, "limit_ns": [100, 300]}, "limit"), 20)

    def test_a_verdict_needs_the_whole_interval(self):
        words = {ratio: crosscheck._row("pipe_raw", *noisy(ratio))["verdict"] for ratio in (1.0, 1.3, 0.7)}
        self.assertEqual(words, {1.0: "within 10 %", 1.3: "differs by more than 10 %",
                                 0.7: "differs by more than 10 %"})
        astride = crosscheck._row("pipe_raw", [1.05, 1.15] * 10, [1.0] * 20)
        self.assertEqual(astride["verdict"], "not decided")
        self.assertIn("takes 20 pairs", crosscheck._row("pipe_raw", [1.0], [1.0])["verdict"])


class CrosscheckCommand(support.TreeCase):
    def run_command(self, ours, installed=True):
        bench = self.root / "build"
        (bench / "bench").mkdir(parents=True, exist_ok=True)
        (bench / "bench" / "pipe_bench").touch()
        (bench / "CMakeCache.txt").write_text("CMAKE_BUILD_TYPE:STRING=Release\n", encoding="utf-8")
        check = crosscheck.Check("true", "coreutils", "posix_pipe", 8, lambda cpu: 1e4, ["true"], "a note")
        said = io.StringIO()
        with (mock.patch.object(crosscheck, "CHECKS", [check]),
              mock.patch.object(crosscheck, "_version", lambda _: "true 1.0"),
              mock.patch.object(crosscheck, "_ours", lambda *_: (ours, 2 * ours, "pipe_raw")),
              mock.patch.object(crosscheck.shutil, "which", lambda _: "/bin/true" if installed else None),
              contextlib.redirect_stdout(said)):
            status = cli.main(["crosscheck", "--build-dir", str(bench), "--json", str(self.root / "out.json")])
        return status, said.getvalue()

    def test_only_the_raw_loop_decides(self):
        status, said = self.run_command(1e4)
        self.assertEqual(status, project.OK, said)
        self.assertRegex(said, r"pipe_raw .* 1\.000 .*within 10 %")
        self.assertRegex(said, r"posix_pipe .* 2\.000 .*differs by more than 10 %")
        self.assertEqual(json.loads((self.root / "out.json").read_text())[0]["rows"][0]["ratio"]["median"], 1.0)
        self.assertEqual(self.run_command(1.2e4)[0], project.FAILED)

    def test_a_missing_tool_is_named(self):
        status, said = self.run_command(1e4, installed=False)
        self.assertEqual((status, said), (project.MISSING, "true is not installed: apt-get install coreutils\n"))


if __name__ == "__main__":
    unittest.main()
