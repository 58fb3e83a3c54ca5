"""What a build's conformance was found to be, kept beside the build, so that `run` after `test`, or a second run, need
not spend a quarter of an hour on finding the same again.

Kept is only what passed. It holds for the programs of the suite, byte for byte, on the kernel that it was found on.
"""
import dataclasses
import hashlib
import json
import os
import re
import time
import xml.etree.ElementTree as ElementTree

from . import conformance
from .project import scrub

FILE = "conformance-verdicts.json"
JUNIT = "ctest.xml"
_BLOCK = 1 << 20
_SKIPPED = re.compile(r": Skipped\n(.*?)\n*(?:\n\[  SKIPPED|\Z)", re.DOTALL)


def digest(build_dir):
    """Of every program of the suite, and of the kernel."""
    found = hashlib.sha256(os.uname().release.encode())
    folder = build_dir / "conformance"
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not path.is_file() or not os.access(path, os.X_OK):
            continue
        found.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as program:
            while block := program.read(_BLOCK):
                found.update(block)
    return found.hexdigest()


def store(build_dir, tests):
    """`tests`: of all suites, whole."""
    if any(test.verdict == "failed" for test in tests) or not any(test.verdict == "passed" for test in tests):
        return
    document = {"digest": digest(build_dir), "checked": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "tests": [dataclasses.astuple(test) for test in tests]}
    path = build_dir / FILE
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document), encoding="utf-8")
    fresh.replace(path)


def load(build_dir):
    """(tests, when they had been run) of this very build; None if it is not known to conform."""
    try:
        document = json.loads((build_dir / FILE).read_text(encoding="utf-8"))
        if document["digest"] != digest(build_dir):
            return None
        return [conformance.Test(*test) for test in document["tests"]], document["checked"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_junit(path, build_dir, mechanisms):
    """The tests of the suites, with their verdicts, from what `ctest --output-junit` wrote; None where a test of a
    suite is not in it."""
    cases = {case.get("name"): case for case in ElementTree.parse(path).iter("testcase")}
    tests = []
    for binary in conformance.suites(build_dir):
        for test in conformance.listed(build_dir, binary, mechanisms):
            case = cases.get(test.name)
            if case is None:
                return None
            tests.append(dataclasses.replace(test, **_outcome(case)))
    return tests


def _outcome(case):
    if case.get("status") == "run":
        return {"verdict": "passed"}
    skipped = _SKIPPED.search(case.findtext("system-out") or "")
    if case.get("status") == "notrun" and skipped:
        return {"verdict": "skipped", "message": scrub("Skipped\n" + skipped[1].strip())}
    return {"verdict": "failed"}
