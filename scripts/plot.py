#!/usr/bin/env python3
"""Draws the charts of a run folder from its results.json: SVG and PNG into DIR/charts."""
import argparse
import pathlib
import sys

from crucible_lib import interpreter

interpreter.ensure_all()

from crucible_lib import charts, project, results  # noqa: E402  (needs the interpreter just ensured)


def main():
    parser = argparse.ArgumentParser(description=__doc__, epilog="Exit status: 0 good, 1 results.json is not valid, "
                                     "2 usage, 3 a Python package is missing.")
    parser.add_argument("dir", type=pathlib.Path, metavar="DIR",
                        help="a run folder, e.g. results/20260101T120000Z-myhost-0123456789ab")
    folder = parser.parse_args().dir
    try:
        for stem, caption in charts.draw(results.read(folder), folder):
            print(f"{folder / charts.FOLDER / stem}.svg, .png: {caption}")
    except project.Stop as stop:
        print(f"plot.py: {stop}", file=sys.stderr)
        return stop.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
