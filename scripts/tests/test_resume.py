import json
import os
import pathlib
import re
import signal
import subprocess
import unittest

import support

QUIET = ("--no-build", "--host", "tested")
ONLY = ("--only", "pipe/round_trip|sync")


class Resume(support.TreeCase):
    """A run that ended early is continued as if it had not."""

    def end_early(self, number):
        process = subprocess.Popen(support.command(self.root, "run", "smoke", *QUIET, *ONLY, "--out", "out"),
                                   cwd=self.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**os.environ, "FAKE_SLOW": "0.3"})
        for line in process.stderr:
            if line.startswith("[ 3/") or line.startswith("[3/"):
                break
        process.send_signal(number)
        process.communicate(timeout=60)

    def resume(self, *options, **environment):
        return self.crucible("run", "smoke", *QUIET, *ONLY, "--resume", "out", *options, **environment)

    def check(self, number):
        self.end_early(number)
        done = self.resume(FAKE_BREAK=self.first_case())
        self.assertEqual(done.returncode, 0, done.stderr)
        measured = int(re.search(r"resuming: ([1-9]\d*) cases are measured already", done.stderr)[1])
        # The suite counts as one.
        self.assertEqual(int(re.search(r"^\[ *(\d+)/", done.stderr, re.MULTILINE)[1]), measured + 2)
        self.assertNotIn("conformance of this build", done.stderr)
        results = json.loads((self.root / "out" / "results.json").read_text(encoding="utf-8"))
        cells = [r for r in results["records"] if r["role"] == "mechanism" and "left out" not in
                 r.get("not_measured", "")]
        self.assertEqual([r["case"] for r in cells if "metrics" not in r], [])
        self.assertEqual(len({r["case"] for r in cells}), len(cells))
        self.assertEqual(len(results["environment"]["resumed"]), 1)
        self.assertFalse(results["run"]["interrupted"])
        self.assertTrue(results["conformance"]["unix_socket"]["clauses"])
        self.assertEqual(self.crucible("report", "--check", "out").returncode, 0)

    def first_case(self):
        """What was measured first: broken from then on, so that measuring it again would fail the run."""
        path = self.root / "out" / "raw" / "records.jsonl"
        packed = pathlib.Path(f"{path}.gz")
        content = subprocess.run(["gzip", "-dc", str(packed)], check=True, capture_output=True, text=True).stdout \
            if packed.exists() else path.read_text(encoding="utf-8")
        return "/".join(json.loads(content.splitlines()[0])["case"].split("/")[:7])

    def test_after_an_interrupt(self):
        self.check(signal.SIGINT)

    def test_after_a_kill(self):
        self.check(signal.SIGKILL)

    def test_a_line_cut_off_is_measured_again(self):
        self.end_early(signal.SIGKILL)
        path = self.root / "out" / "raw" / "records.jsonl"
        path.write_text(path.read_text(encoding="utf-8") + '{"case": "pipe/rou', encoding="utf-8")
        self.assertEqual(self.resume().returncode, 0)

    def test_another_plan_or_build_is_refused_and_harms_nothing(self):
        self.end_early(signal.SIGINT)
        other = self.resume("--sizes", "128")
        self.assertEqual(other.returncode, 2)
        self.assertIn("its options differ", other.stderr)
        bench = self.root / "build" / "release" / "bench" / "pipe_bench"
        content = bench.read_text(encoding="utf-8")
        bench.write_text(content + "# changed\n", encoding="utf-8")
        refused = self.resume()
        self.assertEqual(refused.returncode, 2)
        self.assertIn("now other pipe_bench", refused.stderr)
        bench.write_text(content, encoding="utf-8")
        self.assertEqual(self.resume().returncode, 0)

    def test_there_must_be_a_run(self):
        done = self.crucible("run", "smoke", *QUIET, "--resume", "nowhere")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no run to resume", done.stderr)
        self.assertFalse((self.root / "nowhere").exists())

    def test_it_stays_in_its_folder(self):
        done = self.crucible("run", "smoke", *QUIET, "--resume", "one", "--out", "another")
        self.assertEqual(done.returncode, 2)
        self.assertIn("not allowed with argument", done.stderr)


if __name__ == "__main__":
    unittest.main()
