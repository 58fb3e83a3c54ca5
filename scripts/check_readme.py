#!/usr/bin/env python3
"""Checks that every C++ example of README.md is, to the letter, one of conformance/examples/*.cc, which tests compile
and run, that each of those is in README.md, that the messages it explains are said somewhere, and that what impl/README.md
calls Python's classes and methods is in the headers. Prints file:line for each fault.
"""
import argparse
import pathlib
import re
import sys

from crucible_lib.project import FAILED, OK, USAGE

_BLOCK = re.compile(r"^```cpp\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")
_NAME = re.compile(r"[A-Za-z_]{3,}")
_NOT_OURS = {"ipc"}


def strange_names(root):
    """Of the tables' second column: the names that no header has."""
    headers = [path.read_text(encoding="utf-8") for path in (root / "impl").glob("*/*.h")]
    known = {name for header in headers for name in _NAME.findall(header)} | _NOT_OURS
    lines = (root / "impl" / "README.md").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        cells = line.split("|")
        for code in _CODE.findall(cells[2]) if len(cells) > 3 else []:
            for name in _NAME.findall(code):
                if name not in known:
                    yield f"impl/README.md:{number}: no header has '{name}'"


def unsaid_messages(root, content):
    """Of the table of messages: those that nothing in the tree says."""
    section = re.search(r"^## When something is in the way\n(.*?)^## ", content, re.MULTILINE | re.DOTALL)
    if not section:
        return
    sources = [path.read_text(encoding="utf-8") for part, kinds in (("impl", ("*.h", "*.cc", "CMakeLists.txt")),
                                                                   ("scripts/crucible_lib", ("*.py",)))
               for kind in kinds for path in (root / part).rglob(kind)]
    for row in section[1].splitlines():
        for message in _CODE.findall((row.split("|") + ["", ""])[1]):
            if not any(message in source for source in sources):
                yield f"README.md:{content[:content.index(row)].count(chr(10)) + 1}: nothing says '{message}'"


def faults(root):
    """Yields one 'file:line: sentence' per fault."""
    content = (root / "README.md").read_text(encoding="utf-8")
    examples = {path: path.read_text(encoding="utf-8")
                for path in sorted((root / "conformance" / "examples").glob("*.cc"))}
    shown = []
    for block in _BLOCK.finditer(content):
        shown.append(block[1])
        if block[1] not in examples.values():
            line = content.count("\n", 0, block.start(1)) + 1
            yield f"README.md:{line}: this example is not one of conformance/examples"
    for path, text in examples.items():
        if text not in shown:
            yield f"{path.relative_to(root)}:1: README.md does not show this example"
    yield from unsaid_messages(root, content)
    if (root / "impl" / "README.md").exists():
        yield from strange_names(root)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent,
                        help="the source tree (default: this one)")
    root = parser.parse_args(arguments).root
    if not (root / "README.md").is_file():
        print(f"check_readme.py: there is no README.md in {root}", file=sys.stderr)
        return USAGE
    found = list(faults(root))
    for fault in found:
        print(fault)
    return FAILED if found else OK


if __name__ == "__main__":
    sys.exit(main())
