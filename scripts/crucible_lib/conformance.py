"""Runs the conformance binaries and turns their XML into verdicts per clause and subject.

A subject is a mechanism in all its variants (connections made by a named door, spinning, ...), one form of a
mechanism's queue in all of its own, or, for tests that concern no mechanism, what their binary tests: 'process',
'codec'.
"""
import dataclasses
import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree

from . import child, spec
from .project import ROOT, scrub

DEFAULT_SUITES = ["process_test", "pipe_test", "codec_test"]
LISTING_TIMEOUT_S = 60
DEFAULT_VARIANT = "default"
# Fewer tests than this are not worth a second process.
FEWEST_IN_A_SHARD = 10
_CLAUSE_OF_TEST = re.compile(r"([A-Z]+[0-9]+)_")
_SKIP = re.compile(r"MAY\((\w+)\):\s*(.*)", re.DOTALL)
# Of its tests each form of a mechanism is a subject of its own.
_QUEUES = "queue_test"
_COMPOSED = "composed"
# How a test says that this machine, and not the mechanism, is why it did not run.
_NEEDS = "needs "
_WORST_FIRST = ("failed", "passed", "skipped", "not run")
# Tests that have the machine to themselves: those with upper time limits, and spinners, who would take it from others.
_ALONE = "*Timing.*:*_spin"


@dataclasses.dataclass(frozen=True)
class Test:
    subject: str
    clause: str             # None where the name begins with no clause
    name: str
    verdict: str = "not run"
    message: str = ""
    variant: str = DEFAULT_VARIANT  # of a mechanism: how its connections were made


@dataclasses.dataclass(frozen=True)
class Part:
    """What one process ran of a suite."""
    report: object          # the XML file, which need not be there
    ended: child.Ended


def suites(build_dir):
    """The names of the conformance binaries of a build."""
    listing = build_dir / "conformance" / "suites.txt"
    return listing.read_text(encoding="utf-8").split() if listing.exists() else DEFAULT_SUITES


def clauses(root=ROOT):
    path = root / "conformance" / "SPEC.md"
    return spec.read(path) if path.exists() else []


def _filters(gtest_filter):
    """(of what may run side by side, of what runs alone) for "*", or "-" and what is left out."""
    left_out = gtest_filter.partition("-")[2]
    return (f"-{left_out}:{_ALONE}", f"{_ALONE}-{left_out}") if left_out else (f"-{_ALONE}", _ALONE)


def _names(binary, gtest_filter):
    """Of the tests that a filter chooses, as (suite, test)."""
    try:
        lines = subprocess.run([str(binary), f"--gtest_filter={gtest_filter}", "--gtest_list_tests"], check=False,
                               text=True, capture_output=True, timeout=LISTING_TIMEOUT_S).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return []
    names, suite = [], ""
    for line in lines:
        words = line.split("#")[0].strip()
        if line.startswith("  "):
            names.append((suite, words))
        else:
            suite = words.rstrip(".")
    return names


def _commands(build_dir, raw_dir, names, gtest_filter, at_once):
    """(suite, XML file, command) of every process that this filter needs, the largest first."""
    found = []
    for name in names:
        binary = build_dir / "conformance" / name
        count = len(_names(binary, gtest_filter))
        shards = max(1, min(at_once, count // FEWEST_IN_A_SHARD))
        for shard in range(shards if count else 0):
            stem = raw_dir / (name + (f"-{shard + 1}of{shards}" if shards > 1 else "")
                              + ("-alone" if gtest_filter.startswith(_ALONE) else ""))
            report = stem.with_name(stem.name + ".xml")
            argv = [str(binary), f"--gtest_filter={gtest_filter}", f"--gtest_output=xml:{report}"]
            environment = {"GTEST_TOTAL_SHARDS": str(shards), "GTEST_SHARD_INDEX": str(shard)}
            found.append((count / shards, (name, report, child.Command(argv, stem.with_name(stem.name + ".log"),
                                                                       environment))))
    return [entry for _, entry in sorted(found, key=lambda pair: -pair[0])]


def run(build_dir, raw_dir, gtest_filter, planned_s, tick=None, at_once=None):
    """Runs every suite, each in `at_once` processes; what they left per suite, None for a missing binary.

    What has upper time limits, or spins, runs after that, alone.
    """
    raw_dir.mkdir(parents=True, exist_ok=True)
    at_once = at_once or min(16, 2 * len(os.sched_getaffinity(0)))  # most tests wait most of the time
    names = suites(build_dir)
    there = [name for name in names if (build_dir / "conformance" / name).exists()]
    parts = {name: [] if name in there else None for name in names}
    for chosen, processes in zip(_filters(gtest_filter), (at_once, 1)):
        commands = _commands(build_dir, raw_dir, there, chosen, processes)
        ended = child.run_all([command for _, _, command in commands], processes, 60 + 10 * planned_s, tick)
        for (name, report, _), end in zip(commands, ended):
            parts[name].append(Part(report, end))
    return parts


def queue_subject(mechanism, form):
    return f"{mechanism}, {form} queue"


def _test(binary, mechanisms, suite, test, verdict="not run", message=""):
    """`Pipe.P6_.../unix_socket_named` is about unix_socket, its variant `named`; `QueueBasic.Q1_.../
    unix_socket_composed_named` about its composed queue, in the same variant."""
    suffix = test.rpartition("/")[2] if "/" in test else ""
    about = [name for name in mechanisms if suffix == name or suffix.startswith(name + "_")]
    mechanism = max(about, key=len, default=None)
    clause = _CLAUSE_OF_TEST.match(test)
    subject, variant = mechanism or binary.removesuffix("_test"), suffix[len(mechanism) + 1:] if mechanism else ""
    if mechanism and binary == _QUEUES:
        composed = variant.split("_")[0] == _COMPOSED
        subject = queue_subject(mechanism, _COMPOSED if composed else "native")
        variant = variant[len(_COMPOSED) + 1:] if composed else variant
    return Test(subject, clause and clause[1], f"{suite}.{test}", verdict, message, variant or DEFAULT_VARIANT)


def listed(build_dir, binary, mechanisms):
    """All tests of a suite, whatever the filter of this run, so that what was not run is known."""
    return [_test(binary, mechanisms, *name) for name in _names(build_dir / "conformance" / binary, "*")]


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
    """Of 'file:line\nMAY(capability): reason' the part that a reader wants."""
    match = _SKIP.search(test.message)
    capability, reason = (match[1], match[2]) if match else (None, test.message.split("\n", 1)[-1])
    return {"clause": test.clause or test.name, "capability": capability, "reason": " ".join(reason.split())}


def _grouped(skips):
    """One entry per reason, with the variants that it holds for."""
    variants = {}
    for skip, variant in skips:
        variants.setdefault(tuple(skip.items()), {})[variant] = None
    return [{**dict(key), "variants": ", ".join(found)} for key, found in variants.items()]


def judge(tests, known):
    """The `conformance` object of results.json, from tests, run or listed only, and the clauses of SPEC.md.

    The variants of a mechanism are one subject: the worst verdict counts, and one that cannot do what a MAY clause asks
    does not outweigh another that can. A test is told of once: as it ended, or as not run.
    """
    levels = {clause.id: clause.level for clause in known}
    subjects = {}
    for test in _once(tests):
        if levels and test.clause not in levels:
            test = dataclasses.replace(test, clause=None)
        if test.clause is None and test.verdict not in ("failed", "skipped"):
            continue  # proves no clause
        entry = subjects.setdefault(test.subject, {"clauses": {}, "failures": [], "skipped": [], "variants": {},
                                                   "tests": dict.fromkeys(_WORST_FIRST, 0)})
        if test.verdict == "skipped":
            skip = _skip(test)
            entry["skipped"].append((skip, test.variant))
            if skip["reason"].startswith(_NEEDS):
                test = dataclasses.replace(test, verdict="not run")
        if test.verdict == "failed":
            entry["failures"].append({"clause": test.clause or test.name, "test": test.name, "message": test.message,
                                      "variant": test.variant})
        if test.clause:
            before = entry["clauses"].get(test.clause, "not run")
            entry["clauses"][test.clause] = min(before, test.verdict, key=_WORST_FIRST.index)
        entry["tests"][test.verdict] += 1
        entry["variants"][test.variant] = None
    for entry in subjects.values():
        entry["skipped"], entry["variants"] = _grouped(entry["skipped"]), list(entry["variants"])
        _fail_skipped_musts(entry, levels)
    return {subject: _summary(entry, levels) for subject, entry in sorted(subjects.items())}


def _once(tests):
    """Of a test that is both listed and was run, the run."""
    found = {}
    for test in tests:
        if test.verdict != "not run" or (test.subject, test.name) not in found:
            found[test.subject, test.name] = test
    return found.values()


def _fail_skipped_musts(entry, levels):
    """DESIGN's rule that a MUST clause never skips: one of which no test ran to its end counts as failed."""
    for clause, verdict in entry["clauses"].items():
        if verdict == "skipped" and levels.get(clause, "MUST") == "MUST":
            entry["clauses"][clause] = "failed"
            reasons = "; ".join(skip["reason"] for skip in entry["skipped"] if skip["clause"] == clause)
            entry["failures"].append({"clause": clause, "test": clause, "variant": DEFAULT_VARIANT,
                                      "message": f"skipped, which only a MAY clause may be: {reasons}"})


def _summary(entry, levels):
    def count(level, *verdicts):
        return sum(levels.get(c, "MUST") == level and v in verdicts for c, v in entry["clauses"].items())

    return {"must_passed": count("MUST", "passed"), "must_total": count("MUST", "passed", "failed", "not run"),
            "may_passed": count("MAY", "passed"), "may_skipped": count("MAY", "skipped"),
            "failed": sorted({failure["clause"] for failure in entry["failures"]}),
            "not_run": [clause for clause, verdict in entry["clauses"].items() if verdict == "not run"], **entry}


def failed_clauses(entry):
    """'P6', or 'P6 (named, spin)' where a mechanism has variants and the plain one did not fail."""
    variants = {clause: {} for clause in entry["failed"]}
    for failure in entry["failures"]:
        # Runs from before there were variants do not name any.
        variants.setdefault(failure["clause"], {})[failure.get("variant", DEFAULT_VARIANT)] = None
    return [clause if not found or list(found) == [DEFAULT_VARIANT] else f"{clause} ({', '.join(found)})"
            for clause, found in variants.items()]


def broken_suite(conformance, binary, reason):
    """Records that a whole suite gave no verdicts, as a failure of its own."""
    entry = conformance.setdefault(binary.removesuffix("_test"),
                                   _summary({"clauses": {}, "failures": [], "skipped": [], "variants": [],
                                             "tests": dict.fromkeys(_WORST_FIRST, 0)}, {}))
    entry["failed"].append(binary)
    entry["failures"].append({"clause": binary, "test": binary, "variant": DEFAULT_VARIANT, "message": reason})


# What a suite of its own has; what else is of the primitive "sync" is in the suite of that name.
_LOCKS = ("lock", "rlock", "semaphore")


def entry_of(results, record):
    """The verdicts on the subject that a mechanism's record is about; None where it was not checked."""
    of_queue = record["primitive"] == "queue"
    subject = queue_subject(record["name"], record.get("form", "native")) if of_queue else record["name"]
    return results["conformance"].get(subject)


def standing(results, record):
    """'passed', 'failed' or 'unchecked': whether the numbers of this record may be shown as valid.

    A limit or a peer answers to no clause. A record of Process stands with its suite; one of a mechanism needs that
    mechanism's verdicts, and that the suite of its primitive came to an end; one of a queue those of its form, and of
    the connections that it is composed of.
    """
    if record["role"] != "mechanism":
        return "passed"
    if record["primitive"] == "queue":
        own = entry_of(results, record)
        below = [record["name"]] if record.get("form") == _COMPOSED else []
        others = (results["conformance"].get(key) for key in (*below, "queue"))
        if any(entry and entry["failed"] for entry in (own, *others)):
            return "failed"
        return "passed" if own and own["must_passed"] else "unchecked"
    keys = (record["name"], record["primitive"])
    if record["primitive"] == "sync":
        keys = ("lock" if record["name"] in _LOCKS else "sync",)
    relevant = [results["conformance"].get(key) for key in keys]
    if any(entry and entry["failed"] for entry in relevant):
        return "failed"
    return "passed" if any(entry and entry["must_passed"] for entry in relevant) else "unchecked"
