import copy
import pathlib
import statistics
import tempfile
import unittest

import fake_bench
import support
from crucible_lib import plan, project, ratios, records, results, summary


def line(case="pipe/round_trip/posix_pipe/64/cross/direct"):
    return fake_bench.record(case)


class Ratios(unittest.TestCase):
    def test_latency_is_compared_as_times_and_streams_as_rates(self):
        blocks = {"operations": 10, "subject_ns": [200.0] * 20, "limit_ns": [100.0] * 20, "order": [0] * 20}
        self.assertEqual(ratios.ratio_to_limit(blocks, "round_trip")["median"], 2.0)
        self.assertEqual(ratios.ratio_to_limit(blocks, "start_join")["median"], 2.0)
        self.assertEqual(ratios.ratio_to_limit(blocks, "one_way")["median"], 0.5)
        self.assertEqual(ratios.ratio_to_limit(blocks, "one_way_many")["median"], 0.5)

    def test_the_ratio_is_formed_inside_each_block(self):
        blocks = {"operations": 1, "subject_ns": [10, 2000, 30] * 10, "limit_ns": [10, 1000, 10] * 10}
        self.assertEqual(ratios.ratio_to_limit(blocks, "round_trip")["median"], 2.0)

    def test_the_interval_holds_the_median_and_repeats_exactly(self):
        blocks = line()["blocks"]
        entry = ratios.ratio_to_limit(blocks, "round_trip")
        pairs = zip(blocks["subject_ns"], blocks["limit_ns"])
        self.assertEqual(entry["median"], statistics.median(subject / limit for subject, limit in pairs))
        self.assertTrue(entry["low"] <= entry["median"] <= entry["high"])
        self.assertLess(entry["high"] - entry["low"], 0.05)
        self.assertEqual(entry, ratios.ratio_to_limit(blocks, "round_trip"))

    def test_fewer_than_twenty_blocks_give_no_interval(self):
        blocks = {"operations": 1, "subject_ns": [3.0] * 19, "limit_ns": [2.0] * 19}
        entry = ratios.ratio_to_limit(blocks, "round_trip")
        self.assertEqual((entry["median"], entry["low"], entry["high"], entry["blocks"]), (1.5, None, None, 19))

    def test_blocks_in_which_the_limit_drifted_are_counted(self):
        blocks = {"operations": 1, "subject_ns": [100.0] * 30, "limit_ns": [100.0] * 26 + [104.0, 106.0, 94.0, 500.0]}
        self.assertEqual(ratios.ratio_to_limit(blocks, "round_trip")["drifted"], 3)


class Records(unittest.TestCase):
    CELL = plan.Cell("pipe_bench", "pipe", "round_trip", "tcp_socket", 64, "cross", "direct")

    def test_a_line_becomes_a_record_and_its_limit_another(self):
        record, limit = records.assemble([line()], [])
        self.assertEqual((record["role"], record["name"], record["limit"]), ("mechanism", "posix_pipe", "posix_raw"))
        self.assertEqual((limit["role"], limit["name"], limit["paired_with"]), ("limit", "posix_raw", record["case"]))
        self.assertEqual(limit["metrics"], line()["limit_metrics"])
        self.assertNotIn("blocks", record)

    def test_each_side_has_its_own_fairness_sheet(self):
        record, limit = records.assemble([line()], [])
        self.assertEqual(record["fairness"]["kernel_buffer_bytes"], 1 << 20)
        self.assertEqual(limit["fairness"]["kernel_buffer_bytes"], 1 << 16)
        self.assertEqual(record["fairness"]["cpus"], "0, 1")

    def test_of_a_limit_measured_twice_the_larger_sample_is_kept(self):
        first, second = line(), line("pipe/round_trip/posix_pipe/64/cross/virtual")
        second["limit_metrics"]["samples"] += 1
        limits = [r for r in records.assemble([first, second], []) if r["role"] == "limit"]
        self.assertEqual([limit["paired_with"] for limit in limits], [second["case"]])

    def test_what_was_not_measured_is_a_record_with_its_reason(self):
        (record,) = records.assemble([], [(self.CELL, "interrupted")])
        self.assertEqual((record["case"], record["not_measured"]), (self.CELL.case, "interrupted"))

    def test_an_unsupported_cell_has_no_numbers(self):
        (record,) = records.assemble([line(f"pipe/round_trip/boost_ipc/{1 << 24}/cross/direct")], [])
        self.assertIn("unsupported", record)
        self.assertNotIn("metrics", record)


class Example(unittest.TestCase):
    def setUp(self):
        self.example = results.read(support.EXAMPLE)  # also checks it against the schema

    def test_says_that_it_is_no_measurement(self):
        self.assertIn("example", self.example["run"])

    def test_its_ratios_follow_from_its_raw_blocks(self):
        count, wrong = results.recomputed(self.example, support.EXAMPLE)
        self.assertGreater(count, 10)
        self.assertEqual(wrong, [])

    def test_a_changed_ratio_is_noticed(self):
        changed = next(r for r in self.example["records"] if "ratio_to_limit" in r)
        changed["ratio_to_limit"]["median"] *= 1.001
        self.assertEqual(results.recomputed(self.example, support.EXAMPLE)[1], [changed["case"]])

    def test_every_metric_has_a_unit_and_a_direction(self):
        spoilt = copy.deepcopy(self.example)
        next(r for r in spoilt["records"] if "metrics" in r)["metrics"]["latency_p50"] = 1.0
        self.refused(spoilt)

    def test_a_cell_has_numbers_or_a_reason(self):
        spoilt = copy.deepcopy(self.example)
        del next(r for r in spoilt["records"] if "metrics" in r)["metrics"]
        self.refused(spoilt)
        spoilt = copy.deepcopy(self.example)
        next(r for r in spoilt["records"] if "metrics" in r)["not_measured"] = "and yet it has numbers"
        self.refused(spoilt)

    def refused(self, spoilt):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(project.Stop, "schema"):
            results.write(spoilt, pathlib.Path(folder))

    def test_targets_are_met_or_missed_only_by_the_whole_interval(self):
        target = {"must": 1.15}
        record = {"workload": "round_trip", "ratio_to_limit": {"median": 1.1, "low": 1.08, "high": 1.12, "blocks": 50}}
        self.assertEqual(summary.verdict(record, target), "met")
        record["ratio_to_limit"].update(high=1.2)
        self.assertIn("open", summary.verdict(record, target))
        record["ratio_to_limit"].update(low=1.16)
        self.assertEqual(summary.verdict(record, target), "missed")
        record["workload"] = "one_way"
        self.assertEqual(summary.verdict(record, target), "met")

    def test_small_and_large_streams_have_targets_of_their_own(self):
        record = {"primitive": "pipe", "workload": "one_way", "name": "posix_pipe", "call": "direct",
                  "placement": "same"}
        found = {size: summary.target_of({**record, "bytes": size}, summary.targets()) for size in (64, 16384, 1 << 20)}
        self.assertEqual({size: t and t["id"] for size, t in found.items()}, {64: "K3", 16384: None, 1 << 20: "K2"})


if __name__ == "__main__":
    unittest.main()
