import io
import json
import unittest

import support
from crucible_lib import plan, text
from crucible_lib.progress import Progress


class Sizes(unittest.TestCase):
    def test_units_are_powers_of_1024(self):
        self.assertEqual([text.parse_size(s) for s in ("8", "4K", "4KiB", "1m", "2 GiB", "64B")],
                         [8, 4096, 4096, 1 << 20, 2 << 30, 64])

    def test_what_is_no_size_is_refused(self):
        for wrong in ("", "K", "-1", "4X", "1.5K", "4KK"):
            with self.assertRaises(ValueError, msg=wrong):
                text.parse_size(wrong)

    def test_lists_are_sorted_and_without_repeats(self):
        self.assertEqual(text.parse_sizes("1M,8,4096,4K"), [8, 4096, 1 << 20])

    def test_sizes_are_written_plainly(self):
        self.assertEqual([text.size(n) for n in (0, 64, 1000, 1024, 4096, 1 << 20, 3 << 30)],
                         ["0 B", "64 B", "1000 B", "1 KiB", "4 KiB", "1 MiB", "3 GiB"])


class Words(unittest.TestCase):
    def test_durations(self):
        self.assertEqual([text.seconds(s) for s in (0.4, 59.4, 59.6, 245, 3720)],
                         ["0 s", "59 s", "1 min 00 s", "4 min 05 s", "1 h 02 min"])

    def test_latencies_and_rates(self):
        self.assertEqual([text.nanoseconds(n) for n in (283, 2310, 55_000, 1.2e9)],
                         ["283 ns", "2.31 µs", "55.0 µs", "1.20 s"])
        self.assertEqual([text.rate(r) for r in (950, 2_345_808)], ["950 /s", "2.35 M/s"])

    def test_a_ratio_without_interval_says_why(self):
        self.assertEqual(text.ratio({"median": 1.0512, "low": None, "high": None, "blocks": 7}),
                         "1.05 (no interval: 7 blocks)")


class Plans(unittest.TestCase):
    MECHANISMS = {"posix_pipe": {}, "unix_socket": {}}
    SEVEN = {name: support.mechanism_row(name) for name in ("posix_pipe", "unix_socket", "tcp_socket", "shm_ring",
                                                            "boost_ipc", "zeromq_ipc", "zeromq_tcp")}

    def test_the_parts_add_up_to_the_total(self):
        for name in plan.load_profiles()["profiles"]:
            made = plan.make(name, self.SEVEN)
            self.assertAlmostEqual(made.total_s, made.conformance_s + sum(made.case_s[cell] for cell in made.cells))

    def test_profiles_keep_their_promised_durations(self):
        totals = {name: plan.make(name, self.SEVEN).total_s for name in ("smoke", "quick", "full")}
        self.assertLess(totals["smoke"], 60)
        self.assertTrue(1200 <= totals["quick"] <= 1600, totals)  # the suite is most of it
        self.assertTrue(3600 <= totals["full"] <= 4500, totals)

    def test_more_mechanisms_share_the_same_time(self):
        two, seven = plan.make("quick", self.MECHANISMS), plan.make("quick", self.SEVEN)
        self.assertGreater(len(seven.cells), 2.5 * len(two.cells))
        self.assertLessEqual(seven.measuring_s, 1.5 * two.measuring_s)

    def test_mechanisms_are_measured_side_by_side(self):
        cells = plan.make("quick", self.MECHANISMS).cells
        self.assertEqual([cell.name for cell in cells[:4]], list(self.MECHANISMS) * 2)

    def test_a_mechanism_has_a_cell_per_strategy_that_it_offers(self):
        waits = {name: [c.wait for c in plan.make("quick", self.SEVEN).cells
                        if (c.workload, c.name, c.bytes, c.placement, c.call)
                        == ("round_trip", name, 64, "cross", "direct")] for name in ("unix_socket", "shm_ring")}
        self.assertEqual(waits, {"unix_socket": ["kernel"], "shm_ring": ["adaptive", "spin", "block"]})

    def test_a_group_may_ask_for_the_default_strategy_alone(self):
        waits = {cell.wait for cell in plan.make("quick", self.SEVEN).cells
                 if (cell.workload, cell.name) == ("one_way_many", "shm_ring")}
        self.assertEqual(waits, {"adaptive"})

    def test_a_queue_is_measured_in_every_form_and_each_by_its_own_strategies(self):
        cells = [c for c in plan.make("quick", self.SEVEN).cells if c.workload == "one_way_4x4" and c.bytes == 64]
        found = [(c.name, c.form, c.wait) for c in cells if c.role == "mechanism"]
        self.assertEqual(len(found), 11)
        self.assertIn(("shm_ring", "native", "adaptive"), found)
        self.assertIn(("shm_ring", "composed", "kernel"), found)
        self.assertEqual([form for name, form, _ in found if name == "tcp_socket"], ["composed"])

    def test_a_pool_is_measured_by_the_strategies_of_its_own_form(self):
        cells = [c for c in plan.make("quick", self.SEVEN).cells if c.workload == "apply" and c.name == "shm_ring"]
        self.assertEqual({(c.placement, c.wait) for c in cells if c.bytes == 8},
                         {("same", "adaptive"), ("cross", "spin"), ("same", "block")})
        self.assertEqual({c.form for c in cells}, {"composed"})

    def test_a_manager_is_measured_in_its_form_and_by_its_strategies(self):
        cells = [c for c in plan.make("quick", self.SEVEN).cells if c.primitive == "manager"]
        gets = {(c.name, c.form, c.wait) for c in cells if c.workload == "dict_get_1" and c.role == "mechanism"}
        self.assertLessEqual({("shm_ring", "composed", wait) for wait in ("adaptive", "spin", "block")}, gets)
        self.assertEqual({form for _, form, _ in gets}, {"composed"})
        self.assertEqual({name for name, _, _ in gets}, set(self.SEVEN))
        self.assertEqual({c.name for c in cells if c.role == "peer"}, {"cpython", "redis"})

    def test_a_group_may_name_several_workloads(self):
        meets = {c.workload for c in plan.make("quick", self.SEVEN).cells if c.name == "barrier"}
        self.assertEqual(meets, {f"meet_{n}" for n in (2, 4, 8, 16, 32)})

    def test_a_mechanism_that_was_not_built_is_told_of_once(self):
        cells = plan.make("smoke", {"nng": {}}).cells
        self.assertEqual([c.form for c in cells if c.workload == "one_way_1x1"], ["native"])

    def test_what_will_be_refused_takes_no_ones_time(self):
        made = plan.make("quick", self.SEVEN)
        loans = {cell.name: made.case_s[cell] for cell in made.cells if cell.workload == "loan"}
        self.assertEqual(len(loans), 7)
        self.assertEqual(loans["unix_socket"], plan.START_S)
        self.assertGreater(loans["shm_ring"], plan.START_S)

    def test_what_needs_longer_gets_it_from_the_others(self):
        made = plan.make("quick", self.SEVEN)
        paced = {made.case_s[cell] for cell in made.cells if cell.workload == "paced"}
        trips = {made.case_s[cell] for cell in made.cells if cell.workload == "round_trip"}
        self.assertEqual(paced, {3.0})
        self.assertLess(max(trips), 3.0)

    def test_every_case_is_told_by_all_that_makes_it(self):
        cell = plan.Cell("pipe_bench", "pipe", "one_way", "shm_ring", 8, "free", "adaptive", "direct")
        self.assertEqual(cell.case, "pipe/one_way/shm_ring/8/free/adaptive/direct/native")

    def test_only_leaves_the_rest_named_and_gives_it_their_time(self):
        everything = plan.make("quick", self.MECHANISMS)
        some = plan.make("quick", self.MECHANISMS, only="one_way/.*/cross")
        self.assertEqual(len(some.cells) + len(some.left_out), len(everything.cells))
        self.assertTrue(all("one_way" in cell.case and "/cross/" in cell.case for cell in some.cells))
        self.assertGreater(some.case_s[some.cells[0]], everything.case_s[some.cells[0]])

    def test_sizes_replace_those_of_messages_only(self):
        cells = plan.make("smoke", self.MECHANISMS, sizes=[8, 4096]).cells
        messages = {cell.bytes for cell in cells if cell.primitive == "pipe" and cell.binary != "facts_bench"}
        self.assertEqual(messages, {8, 4096})
        self.assertEqual({cell.bytes for cell in cells if cell.primitive == "process"}, {0})

    def test_no_cell_is_planned_twice(self):
        for name in plan.load_profiles()["profiles"]:
            cases = [cell.case for cell in plan.make(name, self.MECHANISMS, sizes=[64]).cells]
            self.assertEqual(len(cases), len(set(cases)))


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TimeLeft(unittest.TestCase):
    def setUp(self):
        self.now = 0.0

    def progress(self, stream):
        return Progress(4, 40.0, stream=stream, clock=lambda: self.now)

    def case(self, progress, name, real_s):
        progress.begin(name, 10.0)
        self.now += real_s
        progress.end("p50 2.31 µs")

    def test_a_log_gets_one_plain_line_per_case(self):
        log = io.StringIO()
        progress = self.progress(log)
        self.case(progress, "round_trip posix_pipe", 10)
        self.assertEqual(log.getvalue(), "[1/4] round_trip posix_pipe: p50 2.31 µs; about 30 s left\n")

    def test_a_terminal_gets_one_line_that_is_redrawn_and_removed(self):
        terminal = Terminal()
        progress = self.progress(terminal)
        progress.begin("one_way unix_socket", 10.0)
        self.now = 4.0
        progress.tick()
        progress.close()
        self.assertNotIn("\n", terminal.getvalue())
        self.assertTrue(terminal.getvalue().endswith(
            "\r\x1b[K[1/4] one_way unix_socket  4 s gone, about 36 s left\r\x1b[K"), repr(terminal.getvalue()))

    def test_the_plan_is_corrected_by_the_pace_seen(self):
        progress = self.progress(io.StringIO())
        for _ in range(3):
            self.case(progress, "slow", 20)
        self.assertEqual(progress.left_s(), 20.0)

    def test_what_a_run_did_before_it_was_resumed_counts_but_sets_no_pace(self):
        log = io.StringIO()
        progress = self.progress(log)
        progress.skip(2, 20.0)
        self.case(progress, "round_trip posix_pipe", 20)
        self.assertEqual(log.getvalue(), "[3/4] round_trip posix_pipe: p50 2.31 µs; about 10 s left\n")

    def test_a_case_that_overruns_does_not_go_below_zero(self):
        progress = self.progress(io.StringIO())
        for _ in range(3):
            self.case(progress, "case", 10)
        progress.begin("last", 10.0)
        self.now += 100
        self.assertEqual(progress.left_s(), 0.0)


class ProfileFile(unittest.TestCase):
    def test_names_only_what_the_schema_knows(self):
        schema = json.loads((support.SCRIPTS / "results.schema.json").read_text(encoding="utf-8"))
        record = schema["$defs"]["record"]["properties"]
        for profile in plan.load_profiles()["profiles"].values():
            for group in profile["groups"]:
                self.assertLessEqual(set(group["placements"]), set(record["placement"]["enum"]))
                self.assertLessEqual(set(group.get("calls", ())), set(record["call"]["enum"]))
                waits = group.get("waits", "all")
                self.assertLessEqual({waits} - {"all", "default"} if isinstance(waits, str) else set(waits),
                                     set(record["wait"]["enum"]))


if __name__ == "__main__":
    unittest.main()
