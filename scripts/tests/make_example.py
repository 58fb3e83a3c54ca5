#!/usr/bin/env python3
"""Makes tests/data/example anew: a run folder in the present format with made-up numbers, for tests only.

Run it after a change of the format; the fake binaries give the same numbers each time.
"""
import json
import pathlib
import shutil
import subprocess
import tempfile

import support
from crucible_lib import results

NAMES = ("posix_pipe", "unix_socket", "shm_ring", "boost_ipc")
LABEL = "EXAMPLE with made-up numbers, for tests of the scripts: nothing was measured"


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        support.make_tree(root, names=NAMES)
        subprocess.run(support.command(root, "run", "quick", "--no-build", "--sizes", "8,4K,8M", "--host", "example",
                                       "--out", str(root / "out")),
                       check=True, env={"PATH": "/usr/bin:/bin", "FAKE_NAMES": ",".join(NAMES)})
        document = json.loads((root / "out" / results.FILE).read_text(encoding="utf-8"))
        document["run"].update(example=LABEL, started="2000-01-01T00:00:00Z")
        support.EXAMPLE.mkdir(parents=True, exist_ok=True)
        results.write(document, support.EXAMPLE)
        (support.EXAMPLE / "raw").mkdir(exist_ok=True)
        shutil.copy(root / "out" / "raw" / "records.jsonl.gz", support.EXAMPLE / "raw")


if __name__ == "__main__":
    main()
