#!/usr/bin/env python3
"""Checks that every clause of conformance/SPEC.md has a test, and every test that names a clause an existing one.

A MUST or MAY clause needs at least one test in conformance/*_test.cc whose name begins with its id; a clause without
counterpart must have none; no id may be given twice. Prints file:line for each fault.
"""
import argparse
import pathlib
import re
import sys

from crucible_lib import spec
from crucible_lib.project import FAILED, OK, USAGE

_TEST = re.compile(r"^\s*(?:TYPED_)?TEST(?:_[FP])?\(\s*(\w+),\s*(\w+?)\s*\)", re.MULTILINE)
_ID = re.compile(r"([A-Z]+[0-9]+)_")
# Compares the code with the reviewed table of capabilities, which is no clause.
_UNNUMBERED = "Capabilities"


def tests(folder):
    """Yields (file name, line number, clause id or None, suite, full name) of every test of the contract."""
    for path in sorted(folder.glob("*_test.cc")):
        content = path.read_text(encoding="utf-8")
        if path.name == "support_test.cc":
            continue  # tests the suite's own tools
        for match in _TEST.finditer(content):
            identifier = _ID.match(match[2])
            line = content.count("\n", 0, match.start(1)) + 1
            yield path.name, line, identifier and identifier[1], match[1], f"{match[1]}.{match[2]}"


def faults(folder):
    """Yields one 'file:line: sentence' per fault."""
    clauses = {}
    for clause in spec.read(folder / "SPEC.md"):
        if clause.id in clauses:
            yield f"SPEC.md:{clause.line}: {clause.id} was given before, in line {clauses[clause.id].line}"
        clauses.setdefault(clause.id, clause)
    if not clauses:
        yield "SPEC.md:1: there is no clause in it"
    tested = set()
    for name, line, identifier, suite, test in tests(folder):
        if suite == _UNNUMBERED:
            continue
        if identifier is None:
            yield f"{name}:{line}: {test} does not begin with the id of a clause"
        elif identifier not in clauses:
            yield f"{name}:{line}: {test} belongs to {identifier}, which SPEC.md does not have"
        elif clauses[identifier].level == "no counterpart":
            yield f"{name}:{line}: {test} belongs to {identifier}, which has no counterpart"
        tested.add(identifier)
    for clause in clauses.values():
        if clause.level != "no counterpart" and clause.id not in tested:
            yield f"SPEC.md:{clause.line}: {clause.id} has no test"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent,
                        help="the source tree (default: this one)")
    folder = parser.parse_args(arguments).root / "conformance"
    if not (folder / "SPEC.md").is_file():
        print(f"check_clauses.py: there is no {folder / 'SPEC.md'}", file=sys.stderr)
        return USAGE
    found = list(faults(folder))
    for fault in found:
        print(f"conformance/{fault}")
    return FAILED if found else OK


if __name__ == "__main__":
    sys.exit(main())
