"""What the tests of the scripts share: a small tree of its own with fake binaries, built nowhere."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent
if str(SCRIPTS) not in sys.path:
    sys.path.insert(0, str(SCRIPTS))

from crucible_lib import interpreter  # noqa: E402  (the path must be set first)

interpreter.ensure_all()

EXAMPLE = SCRIPTS / "tests" / "data" / "example"

SPEC = """# The clauses
- **P1** MUST — what is sent arrives
- **P6** MUST — buffered messages, then end of file
- **P19** MAY(passes_descriptors) — descriptors travel beside bytes
- **P20** MUST — nobody tests this in the fake suite
- **P21** no counterpart — pickling
- **X1** MUST — a process runs its target
- **X8** MUST — ended by signal N is exit code -N
- **C1** MUST — what is encoded decodes
"""


class TreeCase(unittest.TestCase):
    """Each test gets a copy of the scripts inside a small source tree with fake binaries."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        make_tree(self.root)

    def crucible(self, *arguments, **environment):
        return crucible(self.root, *arguments, **environment)


def command(root, *arguments):
    return [sys.executable, str(root / "scripts" / "crucible_lib" / "__main__.py"), *arguments]


def crucible(root, *arguments, **environment):
    return subprocess.run(command(root, *arguments), capture_output=True, text=True, timeout=120, cwd=root,
                          env={**os.environ, **environment}, check=False)


def mechanism_row(name):
    """As a build's mechanisms.json has it."""
    ring = name == "shm_ring"
    waits = ["adaptive", "spin", "block"] if ring else []
    natives = ("posix_pipe", "unix_socket", "shm_ring", "boost_ipc")
    forms = [form for form in ("native", "composed") if form == "composed" or name in natives]
    return {"scheme": name.split("_")[0], "reads_ahead": not ring, "waits": waits,
            "pools": {"composed": {"waits": waits}},
            "managers": {"composed": {"waits": waits}},
            "queues": {form: {"waits": waits if form == "native" else []} for form in forms},
            "capabilities": {"queue": {form: {"survives_kill": (name, form) != ("posix_pipe", "native"),
                                              "total_order": True} for form in forms},
                             "pipe": {"pollable": not ring, "zero_copy": ring, "survives_kill": name != "boost_ipc",
                                      "passes_descriptors": name == "unix_socket",
                                      "max_message_bytes": 1 << 22 if name == "boost_ipc" else 1 << 32,
                                      "storage_bytes": 32768}}}


def write_table(root, names):
    """What a build with these mechanisms leaves."""
    (root / "build" / "release" / "conformance" / "mechanisms.json").write_text(
        json.dumps({name: mechanism_row(name) for name in names}), encoding="utf-8")


def make_tree(root, names=("posix_pipe", "unix_socket"), build_type="Release"):
    shutil.copytree(SCRIPTS, root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "impl").mkdir()
    folders = dict.fromkeys("zeromq" if name.startswith("zeromq_") else name for name in names)
    (root / "impl" / "CMakeLists.txt").write_text("".join(f"crucible_mechanism({name} Type)\n" for name in folders))
    (root / "conformance").mkdir()
    (root / "conformance" / "SPEC.md").write_text(SPEC)
    build = root / "build" / "release"
    for part, script, programs in (("bench", "fake_bench.py", ("pipe_bench", "door_bench", "process_bench",
                                                               "queue_bench", "sync_bench", "pool_bench",
                                                               "manager_bench", "load_bench", "facts_bench")),
                                   ("conformance", "fake_suite.py", ("process_test", "pipe_test", "codec_test"))):
        (build / part).mkdir(parents=True)
        for program in programs:
            path = build / part / program
            path.write_text(f'#!/bin/sh\nexec {sys.executable} {root}/scripts/tests/{script} {program} "$@"\n')
            path.chmod(0o755)
    (build / "CMakeCache.txt").write_text(f"CMAKE_BUILD_TYPE:STRING={build_type}\n"
                                          "CMAKE_CXX_FLAGS_RELEASE:STRING=-O3 -DNDEBUG\n")
    write_table(root, names)
