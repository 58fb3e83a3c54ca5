import unittest

import support  # noqa: F401  (sets the path)
from crucible_lib import intervals, results, sentences
from made_up import KEPT, cell, failed, limit, results as made


def said(document, question=None):
    """All sentences, or those of one question, as one text."""
    return "\n".join(f.sentence for f in sentences.findings(document) if question in (None, f.question))


class Intervals(unittest.TestCase):
    @staticmethod
    def ranked(*cells, noise=0.1):
        return intervals.rank([intervals.estimate(c) for c in cells], noise)

    def test_one_is_first_only_where_it_clears_both_intervals_and_the_floor(self):
        self.assertEqual(len(self.ranked(cell("a", 100), cell("b", 200)).first), 1)
        self.assertEqual(len(self.ranked(cell("a", 100, 0.2), cell("b", 130, 0.2)).first), 2)
        self.assertEqual(len(self.ranked(cell("a", 100), cell("b", 109), noise=0.1).first), 2)
        self.assertEqual(len(self.ranked(cell("a", 100), cell("b", 109), noise=0.0).first), 1)

    def test_a_factor_reaches_from_far_end_to_far_end(self):
        ahead, behind = (intervals.estimate(c) for c in (cell("a", 100, 0.1), cell("b", 500, 0.1)))
        low, high = intervals.factor(ahead, behind, 0)
        self.assertAlmostEqual(low, 450 / 110)
        self.assertAlmostEqual(high, 550 / 90)
        wider = intervals.factor(ahead, behind, 0.5)
        self.assertAlmostEqual(wider[0], low / 1.5)
        self.assertAlmostEqual(wider[1], high * 1.5)

    def test_who_is_behind_is_behind_all_of_the_first(self):
        wide = self.ranked(cell("a", 50, 0.3), cell("b", 52, 0.001), cell("c", 65, 0.001), noise=0)
        self.assertEqual((len(wide.first), wide.level), (3, False))  # b and c can be told apart
        self.assertTrue(self.ranked(cell("a", 100), cell("b", 101)).level)
        ranking = self.ranked(cell("a", 100, 0.01), cell("b", 104, 0.3), cell("c", 130), cell("d", 200), noise=0)
        self.assertEqual([c.record["name"] for c in ranking.first], ["a", "b"])
        self.assertEqual(ranking.behind.record["name"], "d")  # c is not clear of b

    def test_rounding_never_claims_more(self):
        self.assertEqual(intervals.times(5.19, 5.51), "5.1 to 5.6 times")
        self.assertEqual(intervals.times(1.019, 1.981), "1.01 to 1.99 times")
        self.assertEqual(intervals.times(12.9, 99.1), "12 to 100 times")
        self.assertEqual(intervals.times(1.004, 1.2), "up to 1.20 times")
        self.assertEqual(intervals.times(1239, 1241), "1,200 to 1,300 times")

    def test_many_that_are_level_are_counted(self):
        text = said(made([cell(f"m{n}", 100) for n in range(9)]), "answers")
        self.assertIn("m0, m1, m2, m3, m4, m5 and 3 more cannot be told apart", text)

    def test_few_blocks_give_no_estimate(self):
        self.assertIsNone(intervals.estimate(cell("a", 100, None)))

    def test_the_floor_is_what_raw_code_measured_again_shows(self):
        one, other = cell("a", 100), cell("b", 100)
        document = made([one, other, limit(one, 50), limit(other, 60)])
        relative, source = intervals.floor(document, "ns_per_operation", "round_trip")
        self.assertAlmostEqual(relative, 0.2)
        self.assertIn("of this workload", source)
        self.assertEqual(intervals.floor(made([one]), "ns_per_operation", "round_trip")[0], intervals.ASSUMED_FLOOR)

    def test_what_is_called_own_is_no_repetition(self):
        one, other = cell("a", 100), cell("b", 100)
        own = [{**limit(c, time), "name": "own_1"} for c, time in ((one, 50), (other, 500))]
        self.assertEqual(intervals.floor(made([one, other, *own]), "x", "round_trip")[0], intervals.ASSUMED_FLOOR)


class Answers(unittest.TestCase):
    def test_a_clear_winner_is_named_with_its_factor(self):
        text = said(made([cell("a", 100), cell("b", 550)]), "answers")
        self.assertIn("a answers in 99.0 to 101 ns, 4.9 to 6.2 times faster than b, the next", text)

    def test_overlapping_intervals_give_no_winner(self):
        text = said(made([cell("a", 100, 0.2), cell("b", 120, 0.2)]), "answers")
        self.assertIn("a and b cannot be told apart", text)
        self.assertNotIn("faster", text)

    def test_who_failed_is_never_named_a_winner(self):
        document = made([cell("a", 1), cell("b", 100), cell("c", 550)], a=failed())
        self.assertIn("b answers", said(document, "answers"))
        self.assertIn("a failed P6: no figure that depends on it is ranked", said(document, "contract"))
        for question in sentences.QUESTIONS:
            if question != "contract":
                self.assertNotRegex(said(document, question), r"\ba (answers|is|carries)\b|\ba,|\band a\b")

    def test_who_was_not_checked_is_not_ranked(self):
        document = made([cell("a", 1), cell("b", 100), cell("c", 550)])
        del document["conformance"]["a"]
        self.assertIn("b answers", said(document, "answers"))
        self.assertIn("Of a something was not checked", said(document, "contract"))

    def test_without_any_conformance_nothing_is_claimed(self):
        document = made([cell("a", 1), cell("b", 100)])
        document["conformance"] = {}
        self.assertEqual(said(document, "answers"), "")
        self.assertIn("no figure of it can be believed", said(document, "contract"))

    def test_few_blocks_give_no_winner_and_are_told_of(self):
        document = made([cell("a", 1, None), cell("b", 100, None)])
        self.assertEqual(said(document, "answers"), "")
        self.assertIn("2 of 2 valid cells have no interval", said(document, "trust"))

    def test_a_spinner_does_not_stand_among_those_that_sleep(self):
        document = made([cell("ring", 1, wait="spin"), cell("a", 100), cell("b", 550)])
        sleepers, every = said(document, "answers").splitlines()
        self.assertIn("of those that sleep while they wait: a answers", sleepers)
        self.assertIn("ring (spin) answers", every)

    def test_unpinned_nothing_is_said_of_who_sleeps_but_what_the_scheduler_decides(self):
        free, same = {"placement": "free"}, {"placement": "same"}
        pinned = [cell("a", 6000), cell("a", 200, **same), cell("b", 7000), cell("b", 300, **same)]
        document = made([*pinned, cell("a", 6000, **free), cell("b", 300, **free),
                         cell("ring", 10, wait="spin", **free), cell("shelf", 50, wait="adaptive", **free)])
        unpinned = [line for line in said(document, "answers").splitlines() if "unpinned" in line]
        self.assertEqual(len(unpinned), 2)
        self.assertRegex(unpinned[0], r"no order is claimed.* a, for one, is 29 to 31 times faster on one CPU than across")
        self.assertRegex(unpinned[1], r"of those that look .*: ring \(spin\) answers .* faster than shelf \(adaptive\)")
        self.assertNotIn("unpinned", said(document, "order"))
        alone = made([cell("a", 6000, **free), cell("b", 300, **free)])
        self.assertEqual(said(alone, "answers"), "")

    def test_busy_cpus_follow_from_the_cell(self):
        busy = {"latency_p50_ns": 1000, "samples": 9, "cpu_s_per_million": 1.0}
        document = made([cell("ring", 1000, wait="spin", metrics=busy, fairness={"messages_per_operation": 2.0}),
                         cell("a", 10000), cell("b", 20000)])
        self.assertIn("meanwhile 2.0 CPUs are busy", said(document, "answers"))

    def test_every_claim_lists_its_cells(self):
        document = made([cell("a", 100), cell("b", 550), cell("c", 600)])
        finding = next(f for f in sentences.findings(document) if f.question == "answers")
        self.assertEqual([r["name"] for r in finding.cells], ["a", "b"])
        self.assertEqual(sentences.figure(finding.cells[0])[1], "99.0 to 101 ns per operation")


class Order(unittest.TestCase):
    def test_a_turn_needs_both_to_be_clearly_ahead_somewhere(self):
        small, large = {"bytes": 64}, {"bytes": 1 << 20}
        turned = made([cell("a", 100, **small), cell("b", 200, **small),
                       cell("a", 900, **large), cell("b", 400, **large)])
        self.assertRegex(said(turned, "order"), r"the order turns with the size: at 64 B a is .* faster than b, "
                                                r"at 1 MiB b is .* faster than a")
        level = made([cell("a", 100, **small), cell("b", 200, **small),
                      cell("a", 405, **large), cell("b", 400, **large)])
        self.assertNotIn("turns", said(level, "order"))

    def test_it_turns_with_the_placement_too(self):
        same = {"placement": "same"}
        document = made([cell("a", 100), cell("b", 200), cell("a", 90, **same), cell("b", 30, **same)])
        self.assertIn("64 B, the order turns with the placement: across two CPUs a is", said(document, "order"))

    def test_sizes_with_the_same_first_are_joined(self):
        document = made([cell(name, time, bytes=size) for name, time in (("a", 100), ("b", 500))
                         for size in (8, 64, 4096)])
        self.assertIn("First across two CPUs, by size: 8 B to 4 KiB: a.", said(document, "order"))


class Others(unittest.TestCase):
    @staticmethod
    def paired(name, low, high, **more):
        ratio = {"median": (low + high) / 2, "low": low, "high": high, "blocks": 40, "drifted": 0}
        return cell(name, 100, limit="cpython", ratio_to_limit=ratio, primitive="queue",
                    workload="versus_cpython_1x1", **more)

    def queues(self, *records):
        document = made(list(records))
        document["conformance"].update({f"{r['name']}, native queue": KEPT for r in records}, queue=KEPT)
        return document

    def test_a_peer_is_beaten_only_where_the_paired_interval_clears_one(self):
        text = said(self.queues(self.paired("a", 5, 6), self.paired("b", 0.9, 1.2), self.paired("c", 0.2, 0.3)),
                    "queues")
        self.assertIn("Rate over that of CPython, one producer, one consumer: a 5.0 to 6.0 times, b level, "
                      "c 0.20 to 0.30 times", text)

    def test_the_first_screen_names_the_best_and_the_worst(self):
        self.assertIn("a 5.0 to 6.0 times down to c 0.20 to 0.30 times",
                      said(self.queues(self.paired("a", 5, 6), self.paired("c", 0.2, 0.3)), "peers"))

    def test_a_failed_queue_is_not_compared(self):
        document = self.queues(self.paired("a", 5, 6), self.paired("c", 0.2, 0.3))
        document["conformance"]["a, native queue"] = failed()
        self.assertNotIn("a 5.0", said(document))

    def test_death_tells_of_what_was_lost(self):
        record = cell("a", 100, workload="death", metrics={"notice_p50_ns": 1e6, "notice_max_ns": 3e6, "sent": 1000,
                                                           "lost": 7, "left_over": 0, "samples": 20})
        text = said(made([record]), "death")
        self.assertIn("within 3.00 ms", text)
        self.assertIn("a 7 of 1,000", text)
        record["metrics"]["lost"] = 0
        self.assertIn("No message that send() had returned for was lost in 20 kills", said(made([record]), "death"))

    def test_an_idle_spinner_is_told_of(self):
        def idle(name, share, wait="kernel"):
            return cell(name, 100, workload="idle", placement="free", bytes=8, wait=wait,
                        metrics={"cpu_percent": share, "samples": 5})
        self.assertIn("ring (spin) keeps 99 % of a CPU busy; the other 1 use at most 0.02 %",
                      said(made([idle("ring", 99.3, "spin"), idle("a", 0.02)]), "cpu"))

    def test_a_whole_example_is_told_of(self):
        found = sentences.findings(results.read(support.EXAMPLE))
        self.assertLessEqual({"contract", "answers", "order", "carries", "cpu", "limits", "queues", "pools", "managers",
                              "locks", "trust"}, {f.question for f in found})
        self.assertTrue(all(f.sentence.endswith((".", ".)")) for f in found), [f.sentence[-20:] for f in found])


if __name__ == "__main__":
    unittest.main()
