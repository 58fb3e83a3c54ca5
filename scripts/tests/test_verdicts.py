import json
import os
import re
import unittest

import support

QUICK = ("--no-build", "--host", "tested", "--only", "pipe/round_trip/.*/64/cross")
CTEST = '''#!/bin/sh
exec python3 - "$@" <<'END'
import os, pathlib, re, subprocess, sys
from xml.sax.saxutils import escape, quoteattr
build = pathlib.Path("build/release/conformance")
left_out, fails = os.environ.get("FAKE_LEFT_OUT"), os.environ.get("FAKE_FAILS")
cases = []
for program in ("process_test", "pipe_test", "codec_test"):
    suite = ""
    for line in subprocess.run([build / program, "--gtest_list_tests"], text=True, capture_output=True).stdout.splitlines():
        if not line.startswith(" "):
            suite = line.strip()
            continue
        name = suite + line.split("#")[0].strip()
        if name == left_out:
            continue
        skip = "P19" in name and "posix_pipe" in name
        said = f"a.cc:1: Skipped\\nMAY(passes_descriptors): a byte stream carries none\\n\\n[  SKIPPED ] {name} (0 ms)\\n"
        status = "fail" if name == fails else "notrun" if skip else "run"
        cases.append(f"<testcase name={quoteattr(name)} status='{status}'>"
                     f"<system-out>{escape(said if skip else '')}</system-out></testcase>")
pathlib.Path(sys.argv[sys.argv.index("--output-junit") + 1]).write_text(f"<testsuite>{''.join(cases)}</testsuite>")
sys.exit(8 if fails else 0)
END
'''


class Verdicts(support.TreeCase):
    """What is known to conform is not checked again; whatever else is."""

    def setUp(self):
        super().setUp()
        tools = self.root / "tools"
        tools.mkdir()
        (tools / "ctest").write_text(CTEST)
        (tools / "ctest").chmod(0o755)
        self.tools = tools

    def check(self, *options, profile="quick", out="out", **environment):
        """Runs `test`, then `run`; the results of the latter, and whether it checked conformance itself."""
        self.tested = self.run_tests(**environment)
        return self.measure(*options, profile=profile, out=out)

    def run_tests(self, *options, **environment):
        return self.crucible("test", "--no-build", *options, PATH=f"{self.tools}:{os.environ['PATH']}", **environment)

    def measure(self, *options, profile="quick", out="out"):
        done = self.crucible("run", profile, *QUICK, "--out", out, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        results = json.loads((self.root / out / "results.json").read_text(encoding="utf-8"))
        itself = (self.root / out / "raw" / "conformance").exists()
        self.assertEqual("conformance_checked" in results["run"], not itself)
        return results, itself

    def test_what_test_has_passed_is_not_run_again_and_reads_the_same(self):
        first, itself = self.measure(out="first")
        self.assertTrue(itself)
        (self.root / "build/release/conformance-verdicts.json").unlink()
        second, itself = self.check(out="second")
        self.assertEqual(self.tested.returncode, 0, self.tested.stderr)
        self.assertFalse(itself)
        self.assertEqual(first["conformance"], second["conformance"])
        self.assertEqual(second["conformance"]["posix_pipe"]["skipped"][0]["capability"], "passes_descriptors")
        self.assertRegex((self.root / "second" / "report.html").read_text(encoding="utf-8"),
                         re.escape(second["run"]["conformance_checked"]))

    def test_a_second_run_does_not_repeat_the_first_ones_check(self):
        self.assertTrue(self.measure(out="first")[1])
        self.assertFalse(self.measure(out="second")[1])
        self.assertFalse(self.measure(profile="smoke", out="third")[1])
        self.assertIn("conformance, known since", self.crucible("run", *QUICK, "--dry-run").stdout)

    def test_recheck_checks_all_the_same(self):
        self.assertTrue(self.check("--recheck")[1])

    def test_another_program_is_checked(self):
        self.run_tests()
        with open(self.root / "build/release/conformance/codec_test", "a", encoding="utf-8") as program:
            program.write("\n")
        self.assertTrue(self.measure()[1])

    def test_a_failure_is_not_kept(self):
        self.assertTrue(self.check(FAKE_FAILS="Codec.C1_RoundTrip/0")[1])
        self.assertEqual(self.tested.returncode, 1)

    def test_a_suite_in_part_is_not_kept(self):
        self.assertTrue(self.check(FAKE_LEFT_OUT="Codec.C1_RoundTrip/0")[1])

    def test_some_tests_are_not_the_whole(self):
        self.run_tests("--", "-R", "Codec")
        self.assertTrue(self.measure()[1])

    def test_a_smoke_runs_check_is_not_the_whole(self):
        self.assertTrue(self.measure(profile="smoke", out="first")[1])
        self.assertTrue(self.measure(out="second")[1])

    def test_what_cannot_be_read_is_not_believed(self):
        self.run_tests()
        (self.root / "build/release/conformance-verdicts.json").write_text('{"digest": 1}')
        self.assertTrue(self.measure()[1])


if __name__ == "__main__":
    unittest.main()
