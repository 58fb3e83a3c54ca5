"""The source tree, its build and its commit."""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

from . import text

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent
ROOT = SCRIPTS.parent
RELEASE_DIR = ROOT / "build" / "release"

OK, FAILED, USAGE, MISSING, INTERRUPTED = 0, 1, 2, 3, 130

_MECHANISM = re.compile(r"^\s*crucible_mechanism\(\s*(\w+)", re.MULTILINE)
_OFF = re.compile(r"Mechanism (\w+) is off: (.*)")
BUILD_LOG = "crucible-build.log"


class Stop(Exception):
    """Ends the program with a sentence and an exit status."""

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


def mechanisms(root=ROOT):
    """The folders on the crucible_mechanism() lines, in the order of the file."""
    listing = root / "impl" / "CMakeLists.txt"
    found = _MECHANISM.findall(listing.read_text(encoding="utf-8")) if listing.exists() else []
    return list(dict.fromkeys(found))


def _json(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def mechanism_table(build_dir):
    """What the mechanisms of a build declare, by name; empty if it was not built."""
    return _json(build_dir / "conformance" / "mechanisms.json")


def mechanism_names(build_dir, root=ROOT):
    """Those of the build, and those that CMake left out of it. A folder may bring several: zeromq brings zeromq_ipc and
    zeromq_tcp. What was not built is known by the reviewed table, or else by its folder's name."""
    built = list(mechanism_table(build_dir))
    known = [*built, *_json(root / "conformance" / "capabilities.json")]
    names = []
    for folder in mechanisms(root):
        names += [name for name in known if name == folder or name.startswith(folder + "_")] or [folder]
    return list(dict.fromkeys(names + built))


def mechanism_rows(build_dir, root=ROOT):
    """What each mechanism of mechanism_names() declares; nothing for one that is not built."""
    table = mechanism_table(build_dir)
    return {name: table.get(name, {}) for name in mechanism_names(build_dir, root)}


def switched_off(build_dir):
    """Folders of mechanisms that CMake left out, each with its reason, as far as the last build's log tells."""
    log = build_dir / BUILD_LOG
    return dict(_OFF.findall(log.read_text(encoding="utf-8", errors="replace"))) if log.exists() else {}


def commit(root=ROOT):
    """(short commit, dirty); ('unknown', None) without git, without a repository or without leave to read it."""
    def git(*arguments):
        return subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True).stdout
    try:
        return git("rev-parse", "--short=12", "HEAD").strip(), bool(git("status", "--porcelain").strip())
    except (OSError, subprocess.CalledProcessError):
        return "unknown", None


def cmake_cache(build_dir):
    """The entries of CMakeCache.txt as a dictionary; empty if nothing was configured there."""
    cache = build_dir / "CMakeCache.txt"
    if not cache.exists():
        return {}
    return dict(re.findall(r"^([A-Za-z_][\w.-]*):\w+=(.*)$", cache.read_text(encoding="utf-8"), re.MULTILINE))


def refuse_debug_build(build_dir):
    kind = cmake_cache(build_dir).get("CMAKE_BUILD_TYPE")
    if kind not in ("Release", "RelWithDebInfo"):
        raise Stop(f"numbers from a build of type {kind or 'unknown'} would mislead; "
                   "measure a Release or RelWithDebInfo build", USAGE)


def scrub(content, build_dir=RELEASE_DIR):
    """Without the folders of this machine, which are nobody's business in a published result."""
    for folder in sorted({str(build_dir), str(ROOT)}, key=len, reverse=True):
        content = content.replace(folder + "/", "").replace(folder, ".")
    return content


def build(build_dir):
    """Configures (the release preset, in its own folder) and builds; silent unless it fails."""
    build_dir.mkdir(parents=True, exist_ok=True)
    jobs = str(len(os.sched_getaffinity(0)))
    if build_dir == RELEASE_DIR:
        steps = [["cmake", "--preset", "release"], ["cmake", "--build", "--preset", "release", "--parallel", jobs]]
    elif cmake_cache(build_dir):
        steps = [["cmake", "--build", str(build_dir), "--parallel", jobs]]
    else:
        raise Stop(f"nothing is configured in {build_dir}; run cmake there, or leave --build-dir out", USAGE)
    log = build_dir / BUILD_LOG
    shown = os.path.relpath(log)
    print(f"building; log in {shown}", file=sys.stderr)
    start = time.monotonic()
    with open(log, "w", encoding="utf-8") as output:
        for step in steps:
            try:
                status = subprocess.run(step, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
            except FileNotFoundError:
                raise Stop("cmake is missing; install cmake and ninja-build", MISSING) from None
            if status != 0:
                output.flush()
                tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:])
                raise Stop(f"the build failed; the end of {shown}:\n{tail}", FAILED)
    print(f"built in {text.seconds(time.monotonic() - start)}", file=sys.stderr)
