"""What the numbers of a run depend on: machine, kernel, build and libraries."""
import json
import platform
import shlex

from . import project
from .cgroup import Cgroup, throttled_between
from .machine import NOT_VISIBLE, Machine, output

_LIBRARIES = ("libc6", "libbenchmark-dev", "libgtest-dev", "libboost-dev", "libmsgpack-cxx-dev", "libsodium-dev",
              "libzmq3-dev", "cppzmq-dev", "python3-matplotlib", "python3-scipy")


def _flags(build_dir, cache):
    """As the benchmarks were compiled, without what names a folder."""
    try:
        commands = json.loads((build_dir / "compile_commands.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        commands = []
    for entry in commands:
        if "/bench/" in entry["file"]:
            words = shlex.split(entry.get("command", ""))[1:]
            telling = ("-O", "-std", "-m", "-f", "-D", "-g")
            return " ".join(word for word in words if word.startswith(telling) and "/" not in word)
    kind = cache.get("CMAKE_BUILD_TYPE", "").upper()
    return " ".join(f"{cache.get('CMAKE_CXX_FLAGS', '')} {cache.get('CMAKE_CXX_FLAGS_' + kind, '')}".split())


def _build(build_dir):
    cache = project.cmake_cache(build_dir)
    version = output(cache["CMAKE_CXX_COMPILER"], "--version") if "CMAKE_CXX_COMPILER" in cache else ""
    return {"type": cache.get("CMAKE_BUILD_TYPE", "unknown"), "compiler": (version.splitlines() or ["unknown"])[0],
            "flags": project.scrub(_flags(build_dir, cache), build_dir) or "unknown"}


def _distribution():
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def _libraries():
    listed = output("dpkg-query", "-W", "-f=${Package} ${Version}\n", *_LIBRARIES)
    return dict(words for words in map(str.split, listed.splitlines()) if len(words) == 2) or NOT_VISIBLE


def collect(build_dir, host, machine=None):
    """Everything but the load of the run and the findings, which are known later."""
    machine = machine or Machine()
    cgroup = Cgroup(machine)
    commit, dirty = project.commit()
    return {"host": host, "commit": commit, "dirty": dirty, "kernel": platform.release(),
            "distribution": _distribution(), "architecture": platform.machine(), "cpu": machine.cpu(),
            "memory_bytes": machine.memory("MemTotal") or NOT_VISIBLE, "swap": machine.swap(),
            "transparent_huge_pages": machine.huge_pages(), "clocksource": machine.clocksource(),
            "clock_resolution": machine.clock_resolution(), "cgroup_cpu_quota": cgroup.quota_in_words(),
            "cgroup": cgroup.record(),
            "host_kind": {"container_or_vm": machine.container_hints() or "no hint found",
                          "vendor": machine.read("/sys/class/dmi/id/sys_vendor"), "seccomp": machine.seccomp()},
            "scheduling": machine.scheduling(), "limits_of_a_process": machine.limits(),
            "ipc_limits": machine.ipc_limits(), "performance_counters": "not used", "build": _build(build_dir),
            "libraries": _libraries()}


class LoadWatch:
    """Steal time, throttling and load between its construction and `read()`."""

    def __init__(self, machine=None):
        self._machine = machine or Machine()
        self._cgroup = Cgroup(self._machine)
        self._ticks, self._throttling = self._machine.ticks(), self._cgroup.throttling()
        self._load = self._machine.load_averages()

    def read(self):
        _, steal = shares(self._ticks, self._machine.ticks())
        return {"steal_time": NOT_VISIBLE if steal is None else f"{100 * steal:.2f} %",
                "throttled": throttled_between(self._throttling, self._cgroup.throttling()),
                "load_before": self._load, "load_after": self._machine.load_averages()}


def shares(before, after):
    """(busy, stolen) shares of the CPU time between two Machine.ticks(); None for what cannot be told.

    proc(5): user nice system idle iowait irq softirq steal; guest time, which follows, is part of user time already.
    """
    spent = [late - early for early, late in zip(before, after)][:8]
    total = sum(spent)
    if not total:
        return None, None
    return 1 - sum(spent[3:5]) / total, spent[7] / total if len(spent) > 7 else None
