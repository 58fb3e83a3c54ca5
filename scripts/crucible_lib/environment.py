"""What the numbers of a run depend on: machine, kernel, build and libraries."""
import json
import os
import pathlib
import platform
import shlex
import subprocess

from . import project

NOT_VISIBLE = "not visible"
_LIBRARIES = ("libc6", "libbenchmark-dev", "libgtest-dev", "libboost-dev", "libmsgpack-cxx-dev", "libsodium-dev",
              "libzmq3-dev", "cppzmq-dev", "python3-matplotlib", "python3-scipy")
_CPUS = pathlib.Path("/sys/devices/system/cpu")


def _read(path, default=NOT_VISIBLE):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return default


def _output(*command):
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def _cpu():
    fields = {}
    for line in _read("/proc/cpuinfo", "").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return {"model": fields.get("model name") or fields.get("Model") or platform.machine(),
            "cpus_online": os.cpu_count(),
            "affinity": sorted(os.sched_getaffinity(0)),
            "governor": _read(_CPUS / "cpu0/cpufreq/scaling_governor"),
            "smt": _read(_CPUS / "smt/control"),
            "hypervisor_flag": "hypervisor" in fields.get("flags", "").split(),
            "mitigations": {path.name: _read(path) for path in sorted((_CPUS / "vulnerabilities").glob("*"))}}


def _cgroup_quota():
    """In CPUs, e.g. 1.5; 'none', or 'not visible'."""
    own = next((line[3:] for line in _read("/proc/self/cgroup", "").splitlines() if line.startswith("0::")), "/")
    for path in (f"/sys/fs/cgroup{own}/cpu.max", "/sys/fs/cgroup/cpu.max"):
        quota = _read(path, "").split()
        if quota:
            return "none" if quota[0] == "max" else f"{int(quota[0]) / int(quota[1]):g} CPUs"
    quota, period = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", ""), _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "")
    if quota and period:
        return "none" if int(quota) < 0 else f"{int(quota) / int(period):g} CPUs"
    return NOT_VISIBLE


def _host_kind():
    hints = [name for name, path in (("docker", "/.dockerenv"), ("podman", "/run/.containerenv"))
             if os.path.exists(path)]
    detected = _output("systemd-detect-virt")
    if detected not in ("", "none", *hints):
        hints.append(detected)
    vendor = _read("/sys/class/dmi/id/sys_vendor", "")
    return {"container_or_vm": hints or "no hint found", "vendor": vendor or NOT_VISIBLE}


def _ipc_limits():
    try:
        shm = os.statvfs("/dev/shm")
        shm = f"{shm.f_blocks * shm.f_frsize / 2**30:.1f} GiB"
    except OSError:
        shm = NOT_VISIBLE
    return {"dev_shm": shm, "pipe_max_size": _read("/proc/sys/fs/pipe-max-size"),
            "wmem_max": _read("/proc/sys/net/core/wmem_max"), "wmem_default": _read("/proc/sys/net/core/wmem_default"),
            "max_dgram_qlen": _read("/proc/sys/net/unix/max_dgram_qlen")}


def _flags(build_dir, cache):
    """As the benchmarks were compiled, without what names a folder."""
    try:
        commands = json.loads(_read(build_dir / "compile_commands.json", "[]"))
    except json.JSONDecodeError:
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
    version = _output(cache["CMAKE_CXX_COMPILER"], "--version") if "CMAKE_CXX_COMPILER" in cache else ""
    return {"type": cache.get("CMAKE_BUILD_TYPE", "unknown"), "compiler": (version.splitlines() or ["unknown"])[0],
            "flags": project.scrub(_flags(build_dir, cache), build_dir) or "unknown"}


def _distribution():
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def _libraries():
    listed = _output("dpkg-query", "-W", "-f=${Package} ${Version}\n", *_LIBRARIES)
    return dict(words for words in map(str.split, listed.splitlines()) if len(words) == 2) or NOT_VISIBLE


def collect(build_dir, host):
    commit, dirty = project.commit()
    memory = next((int(line.split()[1]) << 10 for line in _read("/proc/meminfo", "").splitlines()
                   if line.startswith("MemTotal:")), 0)
    return {"host": host, "commit": commit, "dirty": dirty, "kernel": platform.release(),
            "distribution": _distribution(), "architecture": platform.machine(), "cpu": _cpu(),
            "memory_bytes": memory, "clocksource":
                _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            "cgroup_cpu_quota": _cgroup_quota(), "host_kind": _host_kind(), "ipc_limits": _ipc_limits(),
            "performance_counters": "not used", "build": _build(build_dir), "libraries": _libraries()}


class LoadWatch:
    """Steal time and load between its construction and `read()`."""

    def __init__(self):
        self._ticks, self._load = self._cpu_ticks(), self._load_averages()

    @staticmethod
    def _load_averages():
        return " ".join(_read("/proc/loadavg").split()[:3])

    @staticmethod
    def _cpu_ticks():
        words = _read("/proc/stat", "cpu 0").splitlines()[0].split()[1:]
        return [int(word) for word in words]

    def read(self):
        spent = [after - before for before, after in zip(self._ticks, self._cpu_ticks())]
        total = sum(spent[:8])  # guest time, which follows, is part of user time already
        steal = f"{100 * spent[7] / total:.2f} %" if total and len(spent) > 7 else NOT_VISIBLE
        return {"steal_time": steal, "load_before": self._load, "load_after": self._load_averages()}
