"""What the control group of this process grants and whether it was throttled; cgroup v2, v1 and both side by side.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst (cpu.max, cpu.stat, cpuset.cpus.effective, memory.max) and
cgroup-v1 (cpu.cfs_quota_us, cpu.stat, cpuset.effective_cpus, memory.limit_in_bytes). A container often shows its own
group as the root of the mount while /proc/self/cgroup names it as the host does, so both places are looked at.
"""
import pathlib

from .machine import NOT_VISIBLE, gib

_MOUNT = "/sys/fs/cgroup"
_NO_LIMIT = 1 << 60  # v1 writes the largest multiple of a page for none


class Cgroup:
    def __init__(self, machine):
        self._machine = machine
        self._paths = {}
        for line in machine.read("/proc/self/cgroup", "").splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                self._paths[controller] = path

    def version(self):
        unified, legacy = "" in self._paths, {"cpu", "memory", "cpuset"} & set(self._paths)
        return " and ".join(["1"] * bool(legacy) + ["2"] * unified) or NOT_VISIBLE

    def _folders(self, controller, mount):
        """From the own group up to the root: the tightest limit on the way holds."""
        if controller not in self._paths:
            return []
        path = pathlib.PurePosixPath(self._paths[controller])
        return [f"{mount}{folder}".rstrip("/") for folder in (path, *path.parents) if str(folder).startswith("/")]

    def _contents(self, controller, name):
        """What the files of this name hold, own group first; v2's and v1's names never coincide in meaning."""
        mount = f"{_MOUNT}/{controller}" if controller else _MOUNT
        found = (self._machine.read(f"{folder}/{name}", "") for folder in self._folders(controller, mount))
        return [content for content in found if content]

    def cpu_quota(self):
        """CPUs as a number; None for no quota; NOT_VISIBLE."""
        quotas, seen = [], False
        for content in self._contents("", "cpu.max"):
            quota, period = content.split()
            seen = True
            quotas += [] if quota == "max" else [int(quota) / int(period)]
        for quota, period in zip(self._contents("cpu", "cpu.cfs_quota_us"), self._contents("cpu", "cpu.cfs_period_us")):
            seen = True
            quotas += [] if int(quota) < 0 else [int(quota) / int(period)]
        return min(quotas) if quotas else None if seen else NOT_VISIBLE

    def memory_limit(self):
        """Bytes; None for no limit; NOT_VISIBLE."""
        found = self._contents("", "memory.max") + self._contents("memory", "memory.limit_in_bytes")
        limits = [int(content) for content in found if content != "max" and int(content) < _NO_LIMIT]
        return min(limits) if limits else None if found else NOT_VISIBLE

    def cpuset(self):
        found = self._contents("", "cpuset.cpus.effective") + self._contents("cpuset", "cpuset.effective_cpus")
        return found[0] if found else NOT_VISIBLE

    def throttling(self):
        """(periods, throttled periods, seconds throttled) since the group was made; None if not visible."""
        for content in self._contents("", "cpu.stat") + self._contents("cpu", "cpu.stat"):
            fields = dict(line.split() for line in content.splitlines() if len(line.split()) == 2)
            if "nr_throttled" in fields:
                seconds = int(fields.get("throttled_usec", 0)) / 1e6 + int(fields.get("throttled_time", 0)) / 1e9
                return int(fields["nr_periods"]), int(fields["nr_throttled"]), seconds
        return None

    def quota_in_words(self):
        quota = self.cpu_quota()
        return "none" if quota is None else quota if quota == NOT_VISIBLE else f"{quota:g} CPUs"

    def record(self):
        memory = self.memory_limit()
        return {"version": self.version(), "cpuset": self.cpuset(),
                "memory_limit": "none" if memory is None else memory if memory == NOT_VISIBLE else gib(memory)}


def throttled_between(before, after):
    """What happened between two throttling() in words."""
    if before is None or after is None:
        return NOT_VISIBLE
    periods, throttled, seconds = (late - early for early, late in zip(before, after))
    return f"{throttled} of {periods} periods, {seconds:.3g} s" if periods else "no quota in force"
