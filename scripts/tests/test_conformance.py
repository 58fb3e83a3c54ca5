import os
import pathlib
import tempfile
import textwrap
import unittest
import unittest.mock

import support
from crucible_lib import conformance, spec
from crucible_lib.conformance import Test

MECHANISMS = ["posix_pipe", "zeromq_ipc", "zeromq_ipc_ng"]

XML = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="Mechanisms/Pipe">
    <testcase name="P1_Arrives/posix_pipe" status="run" result="completed" classname="Mechanisms/Pipe"/>
    <testcase name="P1_Arrives/zeromq_ipc" status="run" result="completed" classname="Mechanisms/Pipe">
      <failure message="pipe_test.cc:7&#x0A;wrong &lt;bytes&gt;" type=""><![CDATA[...]]></failure>
      <failure message="pipe_test.cc:9&#x0A;and again" type=""/>
    </testcase>
    <testcase name="P2_Descriptors/posix_pipe" status="run" result="skipped" classname="Mechanisms/Pipe">
      <skipped message="pipe_test.cc:12&#x0A;MAY(passes_descriptors): bytes only&#x0A;"/>
    </testcase>
    <testcase name="P3_NotChosen/posix_pipe" status="notrun" result="suppressed" classname="Mechanisms/Pipe"/>
    <testcase name="P4_OfNobody" status="run" result="completed" classname="PipeTiming"/>
  </testsuite>
</testsuites>
"""

SPEC = """# Clauses
**P1** MUST — what is sent arrives,
in order.

**P2** MAY(passes_descriptors) — descriptors travel
- **P3** MUST — a third
- **P4** no counterpart — reason
"""


def known():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "SPEC.md"
        path.write_text(SPEC, encoding="utf-8")
        return spec.read(path)


class Spec(unittest.TestCase):
    def test_levels_capabilities_and_text_over_several_lines(self):
        self.assertEqual([(c.id, c.level, c.capability, c.text) for c in known()],
                         [("P1", "MUST", None, "what is sent arrives, in order."),
                          ("P2", "MAY", "passes_descriptors", "descriptors travel"), ("P3", "MUST", None, "a third"),
                          ("P4", "no counterpart", None, "reason")])


class Xml(unittest.TestCase):
    def setUp(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "pipe_test.xml"
            path.write_text(XML, encoding="utf-8")
            self.tests = {test.name: test for test in conformance.read_xml(path, "pipe_test", MECHANISMS)}

    def test_verdicts_and_subjects(self):
        self.assertEqual([(t.subject, t.clause, t.verdict) for t in self.tests.values()],
                         [("posix_pipe", "P1", "passed"), ("zeromq_ipc", "P1", "failed"),
                          ("posix_pipe", "P2", "skipped"), ("pipe", "P4", "passed")])

    def test_all_failures_of_a_test_are_kept(self):
        self.assertEqual(self.tests["Mechanisms/Pipe.P1_Arrives/zeromq_ipc"].message,
                         "pipe_test.cc:7\nwrong <bytes>\npipe_test.cc:9\nand again")

    def test_skip_reasons_are_kept(self):
        judged = conformance.judge(self.tests.values(), known())
        self.assertEqual(judged["posix_pipe"]["skipped"],
                         [{"clause": "P2", "capability": "passes_descriptors", "reason": "bytes only",
                           "variants": "default"}])


class Judging(unittest.TestCase):
    def judge(self, *tests):
        return conformance.judge([Test("posix_pipe", clause, f"Pipe.{clause}_{i}/posix_pipe", verdict, message)
                                  for i, (clause, verdict, message) in enumerate(tests)], known())["posix_pipe"]

    def test_one_failed_test_fails_its_clause(self):
        entry = self.judge(("P1", "passed", ""), ("P1", "failed", "no"), ("P1", "passed", ""))
        self.assertEqual((entry["must_passed"], entry["must_total"], entry["failed"]), (0, 1, ["P1"]))

    def test_what_is_only_listed_was_not_run(self):
        entry = self.judge(("P1", "not run", ""), ("P1", "passed", ""), ("P3", "not run", ""))
        self.assertEqual((entry["must_passed"], entry["must_total"], entry["not_run"]), (1, 2, ["P3"]))

    def test_a_may_clause_that_skips_does_no_harm(self):
        entry = self.judge(("P2", "skipped", "MAY(passes_descriptors): none"))
        self.assertEqual((entry["may_skipped"], entry["failed"]), (1, []))

    def test_a_must_clause_never_skips(self):
        entry = self.judge(("P1", "skipped", "x.cc:1\nno time"))
        self.assertEqual((entry["failed"], entry["must_passed"]), (["P1"], 0))
        self.assertIn("no time", entry["failures"][0]["message"])

    def test_what_needs_a_larger_machine_was_not_run(self):
        entry = self.judge(("P1", "skipped", "x.cc:1\nneeds 5 GiB of memory"))
        self.assertEqual((entry["failed"], entry["not_run"]), ([], ["P1"]))
        self.assertEqual((entry["must_passed"], entry["must_total"]), (0, 1))
        self.assertEqual(entry["skipped"][0]["reason"], "needs 5 GiB of memory")

    def test_one_skipped_test_of_a_proven_must_clause_is_only_told(self):
        entry = self.judge(("P1", "skipped", "x.cc:1\nneeds 5 GiB"), ("P1", "passed", ""))
        self.assertEqual((entry["failed"], entry["must_passed"]), ([], 1))
        self.assertEqual(entry["skipped"], [{"clause": "P1", "capability": None, "reason": "needs 5 GiB",
                                             "variants": "default"}])

    def test_a_failure_outside_of_the_clauses_counts_against_its_mechanism(self):
        entry = self.judge(("T6", "failed", "no end of file"))
        self.assertEqual(entry["failed"], ["Pipe.T6_0/posix_pipe"])

    def test_a_suite_that_dies_is_a_failure(self):
        judged = {}
        conformance.broken_suite(judged, "pipe_test", "no verdicts: signal 11")
        self.assertEqual(judged["pipe"]["failed"], ["pipe_test"])


class Variants(unittest.TestCase):
    """A mechanism is one subject, in however many ways its connections are made."""

    def judge(self, *tests):
        made = [conformance._test("pipe_test", MECHANISMS, "Pipe", f"{clause}_X/posix_pipe{suffix}", verdict, message)
                for clause, suffix, verdict, message in tests]
        return conformance.judge(made, known())["posix_pipe"]

    def test_the_suffix_names_the_variant(self):
        for suffix, expected in (("posix_pipe", ("posix_pipe", "default")),
                                 ("posix_pipe_named", ("posix_pipe", "named")),
                                 ("zeromq_ipc_spin", ("zeromq_ipc", "spin")),
                                 ("zeromq_ipc_ng", ("zeromq_ipc_ng", "default")),
                                 ("zeromq_ipc_ng_ahead", ("zeromq_ipc_ng", "ahead")), ("0", ("pipe", "default"))):
            test = conformance._test("pipe_test", MECHANISMS, "Pipe", f"P1_X/{suffix}")
            self.assertEqual((test.subject, test.variant), expected)

    def test_each_form_of_a_queue_is_a_subject(self):
        for suffix, expected in (("posix_pipe", ("posix_pipe, native queue", "default")),
                                 ("posix_pipe_spin", ("posix_pipe, native queue", "spin")),
                                 ("zeromq_ipc_composed", ("zeromq_ipc, composed queue", "default")),
                                 ("zeromq_ipc_ng_composed_named", ("zeromq_ipc_ng, composed queue", "named")),
                                 ("0", ("queue", "default"))):
            test = conformance._test("queue_test", MECHANISMS, "QueueBasic", f"Q1_X/{suffix}")
            self.assertEqual((test.subject, test.variant), expected)

    def test_the_worst_verdict_counts_and_its_variant_is_named(self):
        entry = self.judge(("P1", "", "passed", ""), ("P1", "_spin", "failed", "x"), ("P1", "_named", "passed", ""))
        self.assertEqual((entry["failed"], entry["must_passed"], entry["must_total"]), (["P1"], 0, 1))
        self.assertEqual(conformance.failed_clauses(entry), ["P1 (spin)"])

    def test_what_one_variant_may_skip_another_can_pass(self):
        entry = self.judge(("P2", "", "passed", ""), ("P2", "_ahead", "skipped", "MAY(passes_descriptors): no"))
        self.assertEqual((entry["may_passed"], entry["may_skipped"]), (1, 0))
        self.assertEqual(entry["skipped"][0]["variants"], "ahead")

    def test_one_reason_is_told_once_for_all_variants(self):
        entry = self.judge(*(("P2", suffix, "skipped", "MAY(passes_descriptors): no") for suffix in ("", "_named")))
        self.assertEqual([skip["variants"] for skip in entry["skipped"]], ["default, named"])

    def test_tests_are_counted_once_however_often_they_are_told_of(self):
        entry = self.judge(("P1", "", "not run", ""), ("P1", "_named", "not run", ""), ("P1", "", "passed", ""))
        self.assertEqual(entry["tests"], {"failed": 0, "passed": 1, "skipped": 0, "not run": 1})
        self.assertEqual((entry["variants"], entry["not_run"]), (["default", "named"], []))


class Filters(unittest.TestCase):
    def test_what_is_timed_or_spins_runs_alone(self):
        self.assertEqual(conformance._filters("*"), ("-*Timing.*:*_spin", "*Timing.*:*_spin"))

    def test_what_the_profile_leaves_out_stays_out(self):
        self.assertEqual(conformance._filters("-*Kill*"), ("-*Kill*:*Timing.*:*_spin", "*Timing.*:*_spin-*Kill*"))


class Standing(unittest.TestCase):
    RECORD = {"role": "mechanism", "primitive": "pipe", "name": "posix_pipe"}

    def standing(self, record=None, **entries):
        full = {name: {"failed": failed, "must_passed": passed} for name, (passed, failed) in entries.items()}
        return conformance.standing({"conformance": full}, record or self.RECORD)

    def test_numbers_need_a_conformance_that_passed(self):
        self.assertEqual(self.standing(posix_pipe=(9, [])), "passed")
        self.assertEqual(self.standing(posix_pipe=(9, ["P6"])), "failed")
        self.assertEqual(self.standing(posix_pipe=(9, []), pipe=(0, ["pipe_test"])), "failed")
        self.assertEqual(self.standing(unix_socket=(9, [])), "unchecked")

    def test_processes_stand_with_their_suite(self):
        record = {"role": "mechanism", "primitive": "process", "name": "fork"}
        self.assertEqual(self.standing(record, process=(20, [])), "passed")
        self.assertEqual(self.standing(record, process=(20, ["X8"])), "failed")

    def test_a_queue_needs_the_verdicts_on_its_form(self):
        native = {"role": "mechanism", "primitive": "queue", "name": "posix_pipe", "form": "native"}
        composed = {**native, "form": "composed"}
        own, other = ("posix_pipe, native queue", "posix_pipe, composed queue")
        self.assertEqual(self.standing(native, **{own: (9, [])}), "passed")
        self.assertEqual(self.standing(native, **{own: (9, ["Q9"])}), "failed")
        self.assertEqual(self.standing(native, **{own: (9, []), other: (8, ["Q9"])}), "passed")
        self.assertEqual(self.standing(native, posix_pipe=(60, [])), "unchecked")
        self.assertEqual(self.standing(native, **{own: (9, []), "posix_pipe": (60, ["P6"])}), "passed")
        self.assertEqual(self.standing(composed, **{other: (9, []), "posix_pipe": (60, ["P6"])}), "failed")
        self.assertEqual(self.standing(composed, **{other: (9, []), "queue": (0, ["queue_test"])}), "failed")

    def test_limits_answer_to_no_clause(self):
        self.assertEqual(self.standing({"role": "limit", "primitive": "pipe", "name": "pipe_raw"}), "passed")


class Shards(support.TreeCase):
    """The suites of the tree with fake binaries, as a run calls them."""

    def run_suites(self, gtest_filter, at_once, **environment):
        build = self.root / "build" / "release"
        with unittest.mock.patch.dict(os.environ, environment):
            parts = conformance.run(build, self.root / "raw", gtest_filter, 10, at_once=at_once)
            listed = {suite: conformance.listed(build, suite, ["posix_pipe", "unix_socket"]) for suite in parts}
        tests = [test for suite, found in parts.items() for part in found or ()
                 for test in conformance.read_xml(part.report, suite, ["posix_pipe", "unix_socket"])]
        return parts, tests, listed

    def test_every_test_runs_once_whatever_the_number_of_processes(self):
        names = ",".join(f"m{i}" for i in range(9))
        for at_once in (1, 4):
            parts, tests, listed = self.run_suites("*", at_once, FAKE_NAMES=names)
            self.assertEqual(len(parts["pipe_test"]), at_once)
            self.assertEqual(sorted(test.name for test in tests),
                             sorted(test.name for found in listed.values() for test in found))

    def test_timed_tests_have_a_process_of_their_own(self):
        parts, _, _ = self.run_suites("*", 4)
        self.assertEqual([part.report.name for part in parts["process_test"]],
                         ["process_test.xml", "process_test-alone.xml"])

    def test_a_missing_binary_is_told(self):
        (self.root / "build/release/conformance/codec_test").unlink()
        self.assertIsNone(self.run_suites("*", 2)[0]["codec_test"])


class Listing(unittest.TestCase):
    def test_is_read_as_googletest_writes_it(self):
        with tempfile.TemporaryDirectory() as folder:
            binary = pathlib.Path(folder) / "conformance" / "pipe_test"
            binary.parent.mkdir()
            binary.write_text(textwrap.dedent("""\
                #!/bin/sh
                echo 'Mechanisms/Pipe.'
                echo '  P1_Arrives/posix_pipe  # GetParam() = 0x55'
                echo 'PipeTiming.'
                echo '  P4_Soon'
                """), encoding="utf-8")
            binary.chmod(0o755)
            tests = conformance.listed(pathlib.Path(folder), "pipe_test", MECHANISMS)
        self.assertEqual([(t.subject, t.clause, t.name, t.verdict) for t in tests],
                         [("posix_pipe", "P1", "Mechanisms/Pipe.P1_Arrives/posix_pipe", "not run"),
                          ("pipe", "P4", "PipeTiming.P4_Soon", "not run")])


if __name__ == "__main__":
    unittest.main()
