import argparse
import copy
import gzip
import json
import math
import os
import pathlib
import random
import tempfile
import unittest

import numpy
import support
from crucible_lib import change, compare, comparison, differences, noise, records, results

EXAMPLE = json.loads((support.EXAMPLE / results.FILE).read_text(encoding="utf-8"))
COUNT = 40


def blocks_of(generator, factor=1.0, drift=1.0, count=60):
    """Made-up blocks whose ratio to the limit is 1.2 times `factor`, on a machine slower by `drift`."""
    limit = 1e6 * drift * numpy.exp(generator.normal(0, 0.05, count))
    return {"operations": 100, "limit_ns": limit.tolist(),
            "subject_ns": (limit * 1.2 * factor * numpy.exp(generator.normal(0, 0.03, count))).tolist()}


def run_of(seed, factors=None, drift=1.0):
    """(results, raw lines) of COUNT made-up cells; `factors`: by number, how much slower a cell is than usual."""
    generator = numpy.random.default_rng(seed)
    lines = {}
    for number in range(COUNT):
        case = f"pipe/round_trip/m{number}/64/cross/kernel/direct/native"
        lines[case] = {"case": case, "primitive": "pipe", "workload": "round_trip", "role": "mechanism",
                       "name": f"m{number}", "wait": "kernel", "placement": "cross", "bytes": 64, "processes": 2,
                       "call": "direct", "form": "native", "metrics": {"samples": 6000}, "limit": "pipe_raw",
                       "blocks": blocks_of(generator, (factors or {}).get(number, 1.0), drift)}
    document = {**copy.deepcopy({k: v for k, v in EXAMPLE.items() if k != "records"}),
                "records": [records.from_line(line) for line in lines.values()]}
    return document, lines


def verdicts(found):
    return {row["case"].split("/")[2]: row["verdict"] for row in found["cells"]}


class Planted(unittest.TestCase):
    """What was planted is found, and nothing else."""

    @classmethod
    def setUpClass(cls):
        cls.before = run_of(1)
        cls.after = run_of(2, {3: 1.10, 7: 0.85}, drift=1.3)
        cls.found = comparison.compare(cls.before, cls.after, threshold=0.02)

    def test_ten_percent_is_found_though_the_machine_is_slower_by_thirty(self):
        found = verdicts(self.found)
        self.assertEqual({name: word for name, word in found.items() if word in ("regression", "improvement")},
                         {"m3": "regression", "m7": "improvement"})
        self.assertEqual(self.found["cells"][0]["case"].split("/")[2], "m3")

    def test_the_change_is_near_the_truth_and_the_time_shows_the_drift(self):
        worst = self.found["cells"][0]
        self.assertAlmostEqual(worst["change"].ratio, 1.10, delta=0.02)
        self.assertAlmostEqual(worst["time"].ratio, 1.43, delta=0.06)

    def test_stored_intervals_find_it_too_and_say_so(self):
        found = comparison.compare((self.before[0], None), (self.after[0], None), threshold=0.02)
        self.assertEqual(verdicts(found)["m3"], "regression")
        self.assertIn(f"{COUNT} cells without the raw blocks", compare.render(found))

    def test_a_least_effect_above_it_hides_it(self):
        found = comparison.compare(self.before, self.after, threshold=0.25)
        self.assertEqual(set(verdicts(found).values()), {"no difference shown"})
        self.assertFalse(comparison.failed(found))

    def test_only(self):
        found = comparison.compare(self.before, self.after, only="/m3/", threshold=0.02)
        self.assertEqual(list(verdicts(found)), ["m3"])

    def test_cells_of_one_run_are_named(self):
        fewer = {**self.after[0], "records": self.after[0]["records"][1:]}
        found = comparison.compare(self.before, (fewer, self.after[1]), threshold=0.02)
        self.assertEqual([case.split("/")[2] for case in found["only_a"]], ["m0"])

    def test_a_limit_of_its_own_does_not_decide(self):
        runs = []
        for document, lines in (run_of(1), run_of(2, drift=1.3)):
            for record in document["records"]:
                record["limit"] = "own_1x1"
            runs.append((document, lines))
        found = comparison.compare(*runs, threshold=0.05)
        self.assertEqual({row["metric"] for row in found["cells"]}, {"ns_per_operation"})
        self.assertEqual(set(verdicts(found).values()), {"regression"})


class ByChance(unittest.TestCase):
    def test_equal_runs_rarely_differ(self):
        """Without a least effect and with 10 cells a pair of equal runs is called different about 5 times in 100; were
        each interval believed alone, it would be in 40."""
        pairs = 12
        failed = alone = 0
        for seed in range(pairs):
            found = comparison.compare(run_of(1000 + seed), run_of(5000 + seed), only="/m[0-9]/", threshold=0.0)
            failed += any(row["verdict"] in ("regression", "improvement") for row in found["cells"])
            alone += sum(not row["change"].low < 1 < row["change"].high for row in found["cells"])
        self.assertLessEqual(failed, 3)
        self.assertTrue(0.02 <= alone / (10 * pairs) <= 0.09, alone)

    def test_adjusted_as_by_hand(self):
        self.assertEqual([round(q, 4) for q in change.adjusted([0.01, 0.04, 0.03, 0.5])],
                         [0.04, 0.0533, 0.0533, 0.5])

    def test_too_few_blocks_cannot_be_told(self):
        found = change.of_blocks([1.0] * 19, [2.0] * 50)
        self.assertEqual((found.ratio, change.verdict(found, 0.05, None, True)), (2.0, "cannot be told"))

    def test_a_wide_interval_is_no_proof_of_sameness(self):
        wide = change.Change(1.0, 1.0, 0.8, 1.25, 0.1)
        self.assertEqual(change.verdict(wide, 0.05, 1.0, True), "cannot be told")

    def test_a_share_of_a_rate_that_falls_is_worse(self):
        less = change.Change(1.0, 0.8, 0.79, 0.81, 0.01)
        self.assertEqual(change.verdict(less, 0.05, 0.0, False), "regression")

    def test_a_share(self):
        self.assertEqual([compare._threshold(word) for word in ("5%", "0.05", "0")], [0.05, 0.05, 0.0])
        for word in ("-1%", "nan", "five"):
            self.assertRaises(argparse.ArgumentTypeError, compare._threshold, word)


class Differences(unittest.TestCase):
    def test_what_makes_runs_incomparable_comes_first(self):
        other = copy.deepcopy(EXAMPLE)
        other["environment"]["commit"] = "another"
        other["environment"]["cpu"]["governor"] = "powersave"
        other["environment"]["load"]["load_before"] = "9 9 9"
        found = differences.environment(EXAMPLE, other)
        self.assertEqual([(key, gravity) for key, *_, gravity in found],
                         [("cpu.governor", "incomparable"), ("commit", "differs"),
                          ("load.load_before", "of every run")])
        self.assertEqual(differences.environment(EXAMPLE, EXAMPLE), [])

    def test_a_clause_that_newly_fails_fails_the_comparison(self):
        before = run_of(1)
        after = copy.deepcopy(before)
        subject, entry = next((name, e) for name, e in after[0]["conformance"].items() if e["clauses"])
        clause = next(c for c, verdict in entry["clauses"].items() if verdict == "passed")
        entry["clauses"][clause] = "failed"
        found = comparison.compare(before, after, only="/m0/", threshold=0.05)
        self.assertEqual(found["clauses"], [(subject, clause, "passed", "failed")])
        self.assertTrue(comparison.failed(found))
        self.assertIn(f"NEWLY FAILS: {subject} {clause}", compare.render(found))
        self.assertFalse(comparison.failed(comparison.compare(after, before, only="/m0/", threshold=0.05)))


class Floor(unittest.TestCase):
    def test_the_known_spread_of_made_up_repetitions(self):
        generator = random.Random(5)
        cells = {f"pipe/round_trip/m{n}/64": {"latency_p50_ns": [math.exp(generator.gauss(0, 0.05)) for _ in range(20)]}
                 for n in range(60)}
        entry = noise.floors(cells)["latency_p50_ns"]["latency"]
        # Normal on the log scale: 1.96 times the square root of 2 times 0.05.
        self.assertAlmostEqual(math.log1p(entry["floor"]), 1.96 * math.sqrt(2) * 0.05, delta=0.01)
        self.assertEqual((entry["cells"], entry["pairs"]), (60, 60 * 190))

    def test_its_own(self):
        own = {"noise": {"started": "T", "floors": {"rate": {"stream": {"floor": 0.07}}}}}
        self.assertEqual(noise.floor(own, "messages_per_s", "one_way"), (0.07, "measured on this machine, T"))


class Command(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name, factor in (("a", 1.0), ("b", 1.1)):
            document, lines = run_of(ord(name), {0: factor})
            (self.root / name / "raw").mkdir(parents=True)
            (self.root / name / results.FILE).write_text(json.dumps(document))
            with gzip.open(self.root / name / comparison.RAW, "wt") as packed:
                packed.writelines(json.dumps(line) + "\n" for line in lines.values())

    def compare(self, *words):
        return support.crucible(support.SCRIPTS.parent, "compare", *words)

    def test_statuses(self):
        a, b = (str(self.root / name) for name in "ab")
        worse = self.compare("--threshold", "3%", "--only", "/m[01]/", a, b)
        self.assertEqual(worse.returncode, 1, worse.stderr)
        self.assertRegex(worse.stdout, r"regression  pipe/round_trip/m0/")
        same = self.compare("--threshold", "3%", a, os.path.join(a, results.FILE))
        self.assertEqual(same.returncode, 0, same.stderr)
        self.assertIn("nothing recorded differs", same.stdout)
        for words in ((a, str(self.root / "nowhere")), (a, b, "--only", "none such"), (a,), (a, b, "--threshold", "x")):
            self.assertEqual(self.compare(*words).returncode, 2, words)

    def test_json_and_markdown(self):
        a, b = (str(self.root / name) for name in "ab")
        found = json.loads(self.compare("--json", "--threshold", "3%", "--only", "/m0/", a, b).stdout)
        self.assertEqual(found["cells"][0]["verdict"], "regression")
        self.assertIn("| regression |", self.compare("--markdown", "--threshold", "3%", "--only", "/m0/", a, b).stdout)


if __name__ == "__main__":
    unittest.main()
