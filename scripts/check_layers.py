#!/usr/bin/env python3
"""Checks who includes whom, so that a mechanism stays one folder and one line.

api knows std and MessagePack; core knows api; compose knows api and core; a mechanism knows those and itself, never
another mechanism; conformance reaches mechanisms only through api/mechanism.h; bench may use the generated
mechanisms.h. Prints file:line for each violation.
"""
import argparse
import pathlib
import re
import sys

from crucible_lib.project import FAILED, OK, USAGE, mechanisms

_INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
_SUFFIXES = {".h", ".hpp", ".cc", ".cpp", ".in"}
_SHARED = ("api", "core", "compose")
# The table's own generated sources are the one place that knows every mechanism.
_GENERATED = {"mechanisms.h", "mechanisms.cc"}
_API_LIBRARIES = ("msgpack",)
_API_SYSTEM_HEADERS = re.compile(r"(sys/|linux/|netinet/|arpa/)|\.h$")


def layer_of(path, names):
    """The layer of a file, by its path inside the source root: api, core, compose, mechanism:NAME, conformance, ..."""
    top, *rest = path.parts
    if rest[:1] == ["liars"]:
        return "liars"
    if top != "impl":
        return top
    if len(rest) == 1:
        return "table"
    return rest[0] if rest[0] in _SHARED else f"mechanism:{rest[0]}" if rest[0] in names else "impl"


def _target(include, folder, root, names):
    """The layer that an include in quotes reaches; None for what is not of this project."""
    if include in _GENERATED:
        return "mechanisms.h"
    for base in (folder, root / "impl", root / "bench", root):
        found = base / include
        if found.is_file():
            return layer_of(found.resolve().relative_to(root), names)
    first = include.split("/")[0]
    if first in names:
        return f"mechanism:{first}"  # not there yet, or generated: what is meant is plain
    return first if first in (*_SHARED, "impl", "conformance", "bench") else None


def allowed(layer, target):
    """Why a file of `layer` must not include one of `target`, or None if it may."""
    if layer in ("table", "liars") or target == layer:
        return None  # liars are mechanisms with their own suite and benchmarks; nobody else knows them
    if target == "liars":
        return f"{layer} must not know the mechanisms that lie"
    reach = {"api": ("api",), "core": ("api", "core"), "compose": _SHARED}
    if target == "mechanisms.h":
        return None if layer == "bench" else "only bench may use the generated list of concrete mechanisms"
    if target.startswith("mechanism:"):
        # What breaks on purpose, to prove the suite, lives with the tests and may know what it breaks.
        return None if layer == "mutants" else f"{layer} must not know the mechanism {target.split(':')[1]}"
    if layer in reach:
        return None if target in reach[layer] else f"{layer} may include only {', '.join(reach[layer])}"
    if layer.startswith("mechanism:") or layer == "impl":
        return None if target in _SHARED else f"{layer} may include only {', '.join(_SHARED)} and itself"
    if {layer, target} == {"bench", "conformance"}:
        return "bench and conformance do not know one another"
    return None


def _violation(layer, quote, include, folder, root, names):
    if quote == '"':
        target = _target(include, folder, root, names)
        return target and allowed(layer, target)
    if layer == "api" and "/" in include and not include.startswith(_API_LIBRARIES) and not _API_SYSTEM_HEADERS.search(
            include):
        return f"api knows std and MessagePack, not <{include}>"
    return None


def violations(root):
    """Yields (path inside root, line number, sentence)."""
    names = mechanisms(root)
    for top in ("impl", "conformance", "bench"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in _SUFFIXES or not path.is_file():
                continue
            inside = path.relative_to(root)
            layer = "mutants" if "mutants" in inside.parts else layer_of(inside, names)
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                match = _INCLUDE.match(line)
                sentence = match and _violation(layer, match[1], match[2], path.parent, root, names)
                if sentence:
                    yield inside, number, sentence


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent,
                        help="the source tree (default: this one)")
    root = parser.parse_args(arguments).root.resolve()
    if not (root / "impl").is_dir():
        print(f"check_layers.py: there is no impl/ in {root}", file=sys.stderr)
        return USAGE
    found = list(violations(root))
    for path, number, sentence in found:
        print(f"{path}:{number}: {sentence}")
    return FAILED if found else OK


if __name__ == "__main__":
    sys.exit(main())
