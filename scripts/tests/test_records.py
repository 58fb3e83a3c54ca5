import copy
import pathlib
import statistics
import tempfile
import unittest

import fake_bench
import support
from crucible_lib import plan, project, ratios, records, results, targets


def line(case="pipe/round_trip/posix_pipe/64/cross/kernel/direct"):
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

    def test_sides_that_did_different_numbers_of_operations_are_compared_by_operation(self):
        blocks = {"operations": 100, "limit_operations": 10, "subject_ns": [200.0] * 20, "limit_ns": [100.0] * 20}
        self.assertEqual(ratios.ratio_to_limit(blocks, "round_trip")["median"], 0.2)
        self.assertEqual(ratios.ratio_to_limit(blocks, "one_way")["median"], 5.0)
        self.assertEqual(ratios.ns_per_operation(blocks, "subject")["median"], 2.0)
        self.assertEqual(ratios.ns_per_operation(blocks, "limit")["median"], 10.0)

    def test_the_interval_holds_the_median_and_repeats_exactly(self):
        blocks = line()["blocks"]
        entry = ratios.ratio_to_limit(blocks, "round_trip")
        pairs = zip(blocks["subject_ns"], blocks["limit_ns"])
        self.assertEqual(entry["median"], statistics.median(subject / limit for subject, limit in pairs))
        self.assertTrue(entry["low"] <= entry["median"] <= entry["high"])
        self.assertLess(entry["high"] - entry["low"], 0.05)
        self.assertEqual(entry, ratios.ratio_to_limit(blocks, "round_trip"))

    def test_what_moves_messages_is_compared_as_rates(self):
        rates = ("one_way_4x4", "fan_in_4x1", "depth_1_1x1", "versus_cpython_1x1")
        self.assertFalse(any(ratios.lower_is_better(workload) for workload in rates))
        self.assertTrue(all(ratios.lower_is_better(workload) for workload in ("handoff", "meet_8", "contended_4")))

    def test_fewer_than_twenty_blocks_give_no_interval(self):
        blocks = {"operations": 1, "subject_ns": [3.0] * 19, "limit_ns": [2.0] * 19}
        entry = ratios.ratio_to_limit(blocks, "round_trip")
        self.assertEqual((entry["median"], entry["low"], entry["high"], entry["blocks"]), (1.5, None, None, 19))

    def test_blocks_in_which_the_limit_drifted_are_counted(self):
        blocks = {"operations": 1, "subject_ns": [100.0] * 30, "limit_ns": [100.0] * 26 + [104.0, 106.0, 94.0, 500.0]}
        self.assertEqual(ratios.ratio_to_limit(blocks, "round_trip")["drifted"], 3)


class Records(unittest.TestCase):
    CELL = plan.Cell("pipe_bench", "pipe", "round_trip", "tcp_socket", 64, "cross", "kernel", "direct")

    def test_a_line_becomes_a_record_and_its_limit_another(self):
        record, limit = records.assemble([line()], [])
        self.assertEqual((record["role"], record["name"], record["limit"]), ("mechanism", "posix_pipe", "pipe_raw"))
        self.assertEqual((limit["role"], limit["name"], limit["paired_with"]), ("limit", "pipe_raw", record["case"]))
        self.assertEqual(limit["metrics"], line()["limit_metrics"])
        self.assertEqual(record["spectrum"], line()["spectrum"])
        self.assertEqual(limit["spectrum"], line()["limit_spectrum"])
        self.assertNotIn("blocks", record)

    def test_each_side_has_its_own_fairness_sheet(self):
        record, limit = records.assemble([line()], [])
        self.assertEqual(record["fairness"]["kernel_buffer_bytes"], 1 << 20)
        self.assertEqual(limit["fairness"]["kernel_buffer_bytes"], 1 << 16)
        self.assertEqual(record["fairness"]["cpus"], "0, 1")

    def test_of_a_limit_measured_twice_the_larger_sample_is_kept(self):
        first, second = line(), line("pipe/round_trip/posix_pipe/64/cross/kernel/virtual")
        second["limit_metrics"]["samples"] += 1
        limits = [r for r in records.assemble([first, second], []) if r["role"] == "limit"]
        self.assertEqual([limit["paired_with"] for limit in limits], [second["case"]])

    def test_a_limit_of_one_name_is_kept_beside_each_mechanism(self):
        lines = [line(f"pipe/round_trip/{name}/64/cross/kernel/direct") for name in ("zeromq_ipc", "zeromq_tcp")]
        limits = [r for r in records.assemble(lines, []) if r["role"] == "limit"]
        self.assertEqual([(r["name"], records.subject_of(r)) for r in limits],
                         [("zmq_raw", "zeromq_ipc"), ("zmq_raw", "zeromq_tcp")])

    def test_a_limit_of_one_name_is_kept_beside_each_form(self):
        lines = [line(f"queue/one_way_4x4/shm_ring/64/free/{wait}/direct/{form}")
                 for wait, form in (("adaptive", "native"), ("kernel", "native"), ("kernel", "composed"))]
        limits = [r for r in records.assemble(lines, []) if r["role"] == "limit"]
        self.assertEqual([(r["wait"], records.form_beside(r)) for r in limits],
                         [("adaptive", "native"), ("kernel", "native"), ("kernel", "composed")])

    def test_a_peer_stands_by_itself(self):
        (record,) = records.assemble([line("queue/one_way_4x4/cpython/64/free/kernel/direct/native")], [])
        self.assertEqual((record["role"], "ratio_to_limit" in record), ("peer", False))

    def test_a_roof_is_a_limit_without_a_subject(self):
        (record,) = records.assemble([line("pipe/memcpy/memcpy_hot/1024/same/kernel/direct")], [])
        self.assertEqual((record["role"], "ratio_to_limit" in record), ("limit", False))

    def test_blocks_of_cpu_time_are_told_apart(self):
        record, limit = records.assemble([line("pipe/paced/shm_ring/48/free/adaptive/direct")], [])
        self.assertEqual((record["quantity"], limit["quantity"]), ("cpu", "cpu"))

    def test_a_share_of_cpu_has_the_interval_of_its_blocks(self):
        idle = line("pipe/idle/shm_ring/8/free/adaptive/direct")
        share = idle["metrics"]["cpu_percent"]
        found = records.from_line(idle)["intervals"]["cpu_percent"]
        self.assertTrue(found["low"] < share < found["high"] < 1.2 * share, (share, found))
        idle["blocks"]["subject_ns"], idle["metrics"]["cpu_percent"] = [0] * 30, 0.0
        self.assertEqual(records.from_line(idle)["intervals"]["cpu_percent"], {"low": 0, "high": 0, "blocks": 30})

    def test_a_limit_that_took_nothing_gives_no_ratio(self):
        idle = line("pipe/idle/shm_ring/8/free/adaptive/direct")
        idle["blocks"]["limit_ns"] = idle["blocks"].pop("limit_cpu_ns")
        idle["blocks"]["limit_ns"][3] = 0
        self.assertNotIn("ratio_to_limit", records.from_line(idle))

    def test_what_was_not_measured_is_a_record_with_its_reason(self):
        (record,) = records.assemble([], [(self.CELL, "interrupted")])
        self.assertEqual((record["case"], record["not_measured"]), (self.CELL.case, "interrupted"))

    def test_an_unsupported_cell_has_no_numbers(self):
        (record,) = records.assemble([line(f"pipe/round_trip/boost_ipc/{1 << 24}/cross/kernel/direct")], [])
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


class Targets(unittest.TestCase):
    RECORD = {"primitive": "pipe", "workload": "round_trip", "role": "mechanism", "name": "posix_pipe",
              "call": "direct", "placement": "same", "wait": "kernel", "bytes": 64}

    def verdict(self, median, low, high, workload="round_trip", **target):
        ratio = {"median": median, "low": low, "high": high, "blocks": 50}
        return targets.verdict({**self.RECORD, "workload": workload, "ratio_to_limit": ratio}, {"must": 1.15, **target})

    def test_reached_or_missed_only_by_the_whole_interval(self):
        self.assertEqual(self.verdict(1.1, 1.08, 1.12), "reached")
        self.assertIn("open", self.verdict(1.1, 1.08, 1.2))
        self.assertEqual(self.verdict(1.18, 1.16, 1.2), "missed")
        self.assertEqual(self.verdict(1.18, 1.16, 1.2, workload="one_way"), "reached")
        self.assertIn("open", self.verdict(1.1, None, None))

    def test_a_metric_can_be_what_is_held(self):
        record = {**self.RECORD, "workload": "idle", "metrics": {"cpu_percent": 0.04},
                  "intervals": {"cpu_percent": {"low": 0.03, "high": 0.06, "blocks": 30}}}
        target = targets.of(record, targets.load())
        self.assertEqual((target["id"], targets.verdict(record, target)), ("B1", "reached"))
        self.assertEqual(targets.value_of(record, target)["high"], 0.06)
        record["intervals"]["cpu_percent"].update(low=0.11, high=0.2)
        self.assertEqual(targets.verdict(record, target), "missed")

    def target(self, **changed):
        found = targets.of({**self.RECORD, **changed}, targets.load())
        return found and found["id"]

    def test_small_and_large_streams_have_targets_of_their_own(self):
        found = {size: self.target(workload="one_way", bytes=size) for size in (64, 16384, 1 << 20)}
        self.assertEqual(found, {64: "K3", 16384: None, 1 << 20: "K2"})

    def test_strategy_and_placement_choose_the_target(self):
        ring = {"name": "shm_ring", "bytes": 8}
        self.assertEqual([self.target(**ring, wait=wait, placement=placement) for wait, placement in
                          (("spin", "cross"), ("adaptive", "free"), ("block", "same"), ("spin", "same"))],
                         ["R1", "R3", "R4", None])
        self.assertIsNone(self.target(name="shm_ring", bytes=64, wait="spin", placement="cross"))

    def test_a_spinner_is_not_held_to_the_cpu_of_a_sleeper(self):
        self.assertEqual([self.target(workload="idle", name="shm_ring", bytes=8, wait=wait) for wait in
                          ("block", "adaptive", "spin")], ["B1", "B1", None])

    def test_queues_and_locks_have_targets_of_their_own(self):
        queue = {"primitive": "queue", "name": "shm_ring", "wait": "adaptive", "placement": "free", "form": "native"}
        found = [self.target(**queue, workload=workload, bytes=size) for workload, size in
                 (("one_way_1x1", 8), ("one_way_4x4", 64), ("versus_cpython_1x1", 64), ("versus_boost_1x1", 64))]
        self.assertEqual(found, ["Q1", "Q3", "Q4", "Q5"])
        kernel = {**queue, "name": "unix_socket", "wait": "kernel"}
        self.assertEqual([self.target(**{**kernel, "form": form}, workload="one_way_8x8") for form in
                          ("native", "composed")], ["Q2", None])
        sync = {"primitive": "sync", "bytes": 0}
        self.assertEqual([self.target(**sync, name=name, workload=workload) for name, workload in
                          (("lock", "uncontended"), ("lock", "handoff"), ("condition", "ping_pong"),
                           ("barrier", "meet_32"))], ["S1", "S2", "S2", "S2"])
        self.assertIsNone(self.target(**sync, name="pthread_mutex", role="peer", workload="handoff"))

    def test_a_pool_has_targets_per_way_of_waiting(self):
        pool = {"primitive": "pool", "name": "shm_ring", "form": "composed"}
        self.assertEqual([self.target(**pool, workload="apply", bytes=8, wait=wait, placement=place) for wait, place in
                          (("spin", "cross"), ("block", "same"), ("spin", "same"))], ["P1", "P1", None])
        self.assertEqual([self.target(**pool, workload=workload, bytes=0, wait="adaptive", placement="free")
                          for workload in ("versus_cpython_chunk_1", "workers_8", "workers_4")], ["P2", "P3", None])

    def test_managers_have_targets_of_their_own(self):
        manager = {"primitive": "manager", "name": "shm_ring", "form": "composed", "bytes": 8}
        self.assertEqual([self.target(**manager, workload=workload, wait=wait, placement=placement)
                          for workload, wait, placement in
                          (("dict_get_1", "spin", "cross"), ("dict_get_1", "block", "same"),
                           ("dict_get_1", "adaptive", "free"), ("versus_cpython_set_2", "adaptive", "free"),
                           ("versus_redis_get_1", "adaptive", "free"))], ["M1", "M1", None, "M3", "M4"])

    def test_every_row_of_the_issue_is_there(self):
        self.assertLessEqual({"M1", "M3", "M4", "R1", "R3", "R4", "T1", "T4", "T5", "K1", "K2", "K3", "K4", "B1", "B2", "Q1",
                              "Q3", "Q4", "Q5", "P1", "P2", "P3", "S1", "S2"},
                             {target["id"] for target in targets.load()})

    def test_the_worst_cell_speaks_for_its_mechanism(self):
        example = results.read(support.EXAMPLE)
        rows = {(row["id"], row["label"]): row for row in targets.by_mechanism(example)}
        row = rows["K1", "posix_pipe"]
        worst = max(r["ratio_to_limit"]["median"] for r in example["records"] if r["name"] == "posix_pipe"
                    and r["workload"] == "round_trip" and r["call"] == "direct" and "ratio_to_limit" in r
                    and r["primitive"] == "pipe" and r["placement"] != "free")
        self.assertTrue(row["text"].startswith(f"{worst:.3g} "), row)
        self.assertIn(row["verdict"], ("reached", "open: within the interval"))


if __name__ == "__main__":
    unittest.main()
