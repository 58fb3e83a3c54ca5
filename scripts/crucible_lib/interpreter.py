"""Finds a Python that can run the scripts, since `python3` on PATH need not be the system's.

Kept to the syntax of any Python 3: an old interpreter must get as far as the message.
"""
import importlib.util
import os
import subprocess
import sys

OLDEST = (3, 11)
PACKAGES = {
    "matplotlib": "python3-matplotlib",
    "jinja2": "python3-jinja2",
    "scipy": "python3-scipy",
    "jsonschema": "python3-jsonschema",
}
CANDIDATES = ["/usr/bin/python3"]
MISSING_DEPENDENCY = 3

_PROBE = (
    "import sys, importlib.util as u;"
    "sys.exit(sys.version_info < %r or any(u.find_spec(m) is None for m in sys.argv[1:]))" % (OLDEST,)
)


def _can(python, modules):
    try:
        return subprocess.call([python, "-c", _PROBE] + modules) == 0
    except OSError:
        return False


def fitting(modules=()):
    """The path of a Python that can run the scripts with these modules, this one if it can; None if there is none."""
    pythons = [sys.executable] + [p for p in CANDIDATES if os.path.realpath(p) != os.path.realpath(sys.executable)]
    return next((python for python in pythons if _can(python, list(modules))), None)


def ensure(modules=()):
    """Returns under an interpreter that has these modules, re-executing the program by another if need be."""
    modules = list(modules)
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if sys.version_info >= OLDEST and not missing:
        return
    for python in CANDIDATES:
        if os.path.realpath(python) != os.path.realpath(sys.executable) and _can(python, modules):
            sys.stdout.flush()
            os.execv(python, [python] + getattr(sys, "orig_argv", [""] + sys.argv)[1:])
    if missing:
        wanted = "install " + " ".join(PACKAGES[m] for m in missing)
    else:
        wanted = "install python3, version %d.%d or later" % OLDEST
    sys.stderr.write("crucible: no Python here has what is needed (%s tried); %s\n" %
                     (", ".join([sys.executable] + CANDIDATES), wanted))
    sys.exit(MISSING_DEPENDENCY)


def ensure_all():
    ensure(PACKAGES)
