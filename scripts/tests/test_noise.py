import json
import unittest

import support

from crucible_lib import noise

QUIET = ("--no-build", "--host", "tested")


class Noise(support.TreeCase):
    """The command that states a machine's noise floor, and the runs that carry it."""

    def measured(self, *options):
        done = self.crucible("noise", "--repeat", "3", *QUIET, "--out", "floor", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done, json.loads((self.root / "floor" / noise.FILE).read_text(encoding="utf-8"))

    def test_every_cell_is_measured_as_often_as_asked(self):
        done, document = self.measured()
        self.assertEqual(document["repeat"], 3)
        lengths = {len(values) for metrics in document["repetitions"].values() for values in metrics.values()}
        self.assertEqual(lengths, {3})
        for kinds in document["floors"].values():
            for entry in kinds.values():
                self.assertGreaterEqual(entry["worst"], entry["floor"])
                self.assertEqual(entry["pairs"], 3 * entry["cells"])
        self.assertIn("noise floor", done.stdout)

    def test_the_floors_follow_from_the_repetitions(self):
        _, document = self.measured()
        self.assertEqual(document["floors"], json.loads(json.dumps(noise.floors(document["repetitions"]))))

    def test_dry_run_measures_nothing(self):
        done = self.crucible("noise", "--repeat", "4", "--dry-run", "--out", "floor")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("4 x ", done.stdout)
        self.assertFalse((self.root / "floor").exists())

    def test_one_repetition_differs_from_nothing(self):
        done = self.crucible("noise", "--repeat", "1", *QUIET)
        self.assertEqual(done.returncode, 2)
        self.assertIn("at least 2 repetitions", done.stderr)

    def test_a_run_carries_the_floor_it_is_given(self):
        _, document = self.measured()
        done = self.run_with("floor")
        self.assertEqual(done.returncode, 0, done.stderr)
        results = json.loads((self.root / "out" / "results.json").read_text(encoding="utf-8"))
        self.assertEqual(results["noise"], noise.section(document))

    def test_a_floor_of_another_machine_is_refused(self):
        _, document = self.measured()
        document["environment"]["kernel"] = "another"
        (self.root / "floor" / noise.FILE).write_text(json.dumps(document), encoding="utf-8")
        done = self.run_with("floor")
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.stderr)
        self.assertIn("another machine or kernel", done.stderr)

    def test_what_is_no_noise_run_is_refused(self):
        (self.root / "floor.json").write_text("{}", encoding="utf-8")
        done = self.run_with("floor.json")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("floor.json is no noise run, at $", done.stderr)

    def run_with(self, path):
        return self.crucible("run", "smoke", *QUIET, "--only", "pipe/round_trip", "--noise", path, "--out", "out")


if __name__ == "__main__":
    unittest.main()
