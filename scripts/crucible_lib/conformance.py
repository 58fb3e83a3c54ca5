"""Runs the conformance binaries and turns their XML into verdicts per clause and subject.

A subject is a mechanism, or, for tests that concern no mechanism, what their binary tests: 'process', 'codec'.
"""
import dataclasses
import re
import subprocess
import xml.etree.ElementTree as ElementTree

from . import child, spec
from .project import ROOT, scrub

DEFAULT_SUITES = ["process_test", "pipe_test", "codec_test"]
LISTING_TIMEOUT_S = 60
_CLAUSE_OF_TEST = re.compile(r"([A-Z]+[0-9]+)_")
_SKIP = re.compile(r"MAY\((\w+)\):\s*(.*)", re.DOTALL)
# How a test says that this machine, and not the mechanism, is why it did not run.
_NEEDS = "needs "
_WORST_FIRST = ("failed", "passed", "skipped", "not run")


@dataclasses.dataclass(frozen=True)
class Test:
    subject: str
    clause: str             # None where the name begins with no clause
    name: str
    verdict: str = "not run"
    message: str = ""


def suites(build_dir):
    """The names of the conformance binaries of a build."""
    listing = build_dir / "conformance" / "suites.txt"
    return listing.read_text(encoding="utf-8").split() if listing.exists() else DEFAULT_SUITES


def clauses(root=ROOT):
    path = root / "conformance" / "SPEC.md"
    return spec.read(path) if path.exists() else []


def run(build_dir, raw_dir, gtest_filter, planned_s, tick=None):
    """Runs every suite; yields (its name, its XML file, how it ended), the last None for a missing binary."""
    raw_dir.mkdir(parents=True, exist_ok=True)
    for name in suites(build_dir):
        binary, report = build_dir / "conformance" / name, raw_dir / f"{name}.xml"
        ended = None
        if binary.exists():
            ended = child.run([str(binary), f"--gtest_filter={gtest_filter}", f"--gtest_output=xml:{report}"],
                              raw_dir / f"{name}.log", 60 + 10 * planned_s, tick)
        yield name, report, ended


def _test(binary, mechanisms, suite, test, verdict="not run", message=""):
    """`Pipe.P6_.../unix_socket` is about unix_socket; a folder such as zeromq may bring zeromq_ipc and more."""
    suffix = test.rpartition("/")[2] if "/" in test else ""
    about_mechanism = any(suffix == name or suffix.startswith(name + "_") for name in mechanisms)
    clause = _CLAUSE_OF_TEST.match(test)
    return Test(suffix if about_mechanism else binary.removesuffix("_test"), clause and clause[1], f"{suite}.{test}",
                verdict, message)


def listed(build_dir, binary, mechanisms):
    """All tests of a suite, whatever the filter of this run, so that what was not run is known."""
    lines = subprocess.run([str(build_dir / "conformance" / binary), "--gtest_list_tests"], check=False, text=True,
                           capture_output=True, timeout=LISTING_TIMEOUT_S).stdout.splitlines()
    tests, suite = [], ""
    for line in lines:
        words = line.split("#")[0].strip()
        if line.startswith("  "):
            tests.append(_test(binary, mechanisms, suite, words))
        else:
            suite = words.rstrip(".")
    return tests


def read_xml(path, binary, mechanisms):
    """The tests that were run, with their verdicts."""
    tests = []
    for case in ElementTree.parse(path).iter("testcase"):
        if case.get("status") == "notrun":
            continue
        failures = [failure.get("message", "") for failure in case.findall("failure")]
        skipped = case.find("skipped")
        if failures:
            verdict, message = "failed", "\n".join(failures)
        elif skipped is not None or case.get("result") == "skipped":
            verdict, message = "skipped", "" if skipped is None else skipped.get("message", "")
        else:
            verdict, message = "passed", ""
        tests.append(_test(binary, mechanisms, case.get("classname"), case.get("name"), verdict,
                           scrub(message.strip())))
    return tests


def _skip(test):
    """Of 'file:line\\nMAY(capability): reason' the part that a reader wants."""
    match = _SKIP.search(test.message)
    capability, reason = (match[1], match[2]) if match else (None, test.message.split("\n", 1)[-1])
    return {"clause": test.clause or test.name, "capability": capability, "reason": " ".join(reason.split())}


def judge(tests, known):
    """The `conformance` object of results.json, from tests, run or listed only, and the clauses of SPEC.md."""
    levels = {clause.id: clause.level for clause in known}
    subjects = {}
    for test in tests:
        if levels and test.clause not in levels:
            test = dataclasses.replace(test, clause=None)
        if test.clause is None and test.verdict not in ("failed", "skipped"):
            continue  # proves no clause
        entry = subjects.setdefault(test.subject, {"clauses": {}, "failures": [], "skipped": []})
        if test.verdict == "skipped":
            skip = _skip(test)
            entry["skipped"].append(skip)
            if skip["reason"].startswith(_NEEDS):
                test = dataclasses.replace(test, verdict="not run")
        if test.verdict == "failed":
            entry["failures"].append({"clause": test.clause or test.name, "test": test.name, "message": test.message})
        if test.clause:
            before = entry["clauses"].get(test.clause, "not run")
            entry["clauses"][test.clause] = min(before, test.verdict, key=_WORST_FIRST.index)
    for entry in subjects.values():
        _fail_skipped_musts(entry, levels)
    return {subject: _summary(entry, levels) for subject, entry in sorted(subjects.items())}


def _fail_skipped_musts(entry, levels):
    """DESIGN's rule that a MUST clause never skips: one of which no test ran to its end counts as failed."""
    for clause, verdict in entry["clauses"].items():
        if verdict == "skipped" and levels.get(clause, "MUST") == "MUST":
            entry["clauses"][clause] = "failed"
            reasons = "; ".join(skip["reason"] for skip in entry["skipped"] if skip["clause"] == clause)
            entry["failures"].append({"clause": clause, "test": clause,
                                      "message": f"skipped, which only a MAY clause may be: {reasons}"})


def _summary(entry, levels):
    def count(level, *verdicts):
        return sum(levels.get(c, "MUST") == level and v in verdicts for c, v in entry["clauses"].items())

    return {"must_passed": count("MUST", "passed"), "must_total": count("MUST", "passed", "failed", "not run"),
            "may_passed": count("MAY", "passed"), "may_skipped": count("MAY", "skipped"),
            "failed": sorted({failure["clause"] for failure in entry["failures"]}),
            "not_run": [clause for clause, verdict in entry["clauses"].items() if verdict == "not run"], **entry}


def broken_suite(conformance, binary, reason):
    """Records that a whole suite gave no verdicts, as a failure of its own."""
    entry = conformance.setdefault(binary.removesuffix("_test"),
                                   _summary({"clauses": {}, "failures": [], "skipped": []}, {}))
    entry["failed"].append(binary)
    entry["failures"].append({"clause": binary, "test": binary, "message": reason})


def standing(results, record):
    """'passed', 'failed' or 'unchecked': whether the numbers of this record may be shown as valid.

    A limit or a peer answers to no clause. A record of Process stands with its suite; one of a mechanism needs that
    mechanism's verdicts, and that the suite of its primitive came to an end.
    """
    if record["role"] != "mechanism":
        return "passed"
    relevant = [results["conformance"].get(key) for key in (record["name"], record["primitive"])]
    if any(entry and entry["failed"] for entry in relevant):
        return "failed"
    return "passed" if any(entry and entry["must_passed"] for entry in relevant) else "unchecked"
