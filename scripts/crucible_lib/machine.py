"""What can be seen of this machine: one place for what a run records and for what `doctor` judges.

Whatever cannot be seen is NOT_VISIBLE, never 0: a container hides much, and a zero would look like a measurement.
"""
import os
import pathlib
import platform
import re
import subprocess
import time

NOT_VISIBLE = "not visible"
_POLICIES = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR",
             os.SCHED_BATCH: "SCHED_BATCH", os.SCHED_IDLE: "SCHED_IDLE", 6: "SCHED_DEADLINE"}
_LIMITS = {"open_files": "Max open files", "processes": "Max processes", "locked_memory_bytes": "Max locked memory",
           "core_file_bytes": "Max core file size"}


def output(*command):
    """What a program prints; nothing if it is not there."""
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def parse_cpus(listed):
    """'0-2,5' -> [0, 1, 2, 5]; the kernel's notation for a set of CPUs."""
    cpus = []
    for part in filter(None, listed.strip().split(",")):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus


def gib(count):
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


class Machine:
    """The probes. `root` is where /proc, /sys and /dev are looked for."""

    def __init__(self, root="/"):
        self.root = pathlib.Path(root)

    def path(self, name):
        return self.root / name.lstrip("/")

    def read(self, name, default=NOT_VISIBLE):
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return default

    def number(self, name):
        """The number that a file holds; None if it holds none."""
        content = self.read(name, "")
        return int(content) if re.fullmatch(r"-?\d+", content) else None

    def field(self, name, key, default=NOT_VISIBLE):
        """The value behind `key:` in a file of such lines."""
        for line in self.read(name, "").splitlines():
            found, _, value = line.partition(":")
            if found.strip() == key:
                return value.strip()
        return default

    def chosen(self, name):
        """The word in brackets, as in 'always [madvise] never'."""
        content = self.read(name)
        found = re.search(r"\[(\S+)\]", content)
        return found[1] if found else content

    # --- CPUs

    def affinity(self):
        """The CPUs that this process may use and that are online: the mask alone may name some that are not."""
        allowed = parse_cpus(self.field("/proc/self/status", "Cpus_allowed_list", ""))
        online = parse_cpus(self.read("/sys/devices/system/cpu/online", ""))
        usable = [cpu for cpu in allowed if cpu in online] if online else allowed
        return usable or sorted(os.sched_getaffinity(0))

    def cpu_model(self):
        for key in ("model name", "Model"):
            if (model := self.field("/proc/cpuinfo", key, "")):
                return model
        return platform.machine()

    def hypervisor_flag(self):
        """True or False; not visible on other architectures than x86."""
        flags = self.field("/proc/cpuinfo", "flags")
        return flags if flags == NOT_VISIBLE else "hypervisor" in flags.split()

    def governor(self):
        found = {self.read(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor") for cpu in self.affinity()}
        return ", ".join(sorted(found)) or NOT_VISIBLE

    def turbo(self):
        """'on', 'off', or not visible."""
        off = self.number("/sys/devices/system/cpu/intel_pstate/no_turbo")
        on = self.number("/sys/devices/system/cpu/cpufreq/boost") if off is None else not off
        return NOT_VISIBLE if on is None else "on" if on else "off"

    def siblings(self, cpu):
        """The CPUs of the same core, itself among them; empty if that cannot be seen."""
        return parse_cpus(self.read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", ""))

    def isolated(self):
        found = self.read("/sys/devices/system/cpu/isolated")
        return found or "none"

    def mitigations(self):
        folder = "/sys/devices/system/cpu/vulnerabilities"
        return {path.name: self.read(f"{folder}/{path.name}") for path in sorted(self.path(folder).glob("*"))}

    def cpu(self):
        return {"model": self.cpu_model(), "cpus_online": os.cpu_count(), "affinity": self.affinity(),
                "isolated": self.isolated(), "governor": self.governor(), "turbo": self.turbo(),
                "smt": self.read("/sys/devices/system/cpu/smt/control"),
                "hypervisor_flag": self.hypervisor_flag(), "mitigations": self.mitigations()}

    def ticks(self, cpus=None):
        """The clock ticks of each kind, as /proc/stat counts them, of these CPUs or of all; empty if not visible."""
        wanted = {"cpu"} if cpus is None else {f"cpu{cpu}" for cpu in cpus}
        rows = [line.split() for line in self.read("/proc/stat", "").splitlines()]
        rows = [[int(word) for word in row[1:]] for row in rows if row and row[0] in wanted]
        return [sum(column) for column in zip(*rows)]

    def load_averages(self):
        return " ".join(self.read("/proc/loadavg").split()[:3])

    # --- memory and clock

    def memory(self, key):
        """Bytes, or None."""
        words = self.field("/proc/meminfo", key, "").split()
        return int(words[0]) << 10 if words else None

    def swap(self):
        total, free = self.memory("SwapTotal"), self.memory("SwapFree")
        if total is None or free is None:
            return NOT_VISIBLE
        return f"{gib(total)}, {gib(total - free)} in use" if total else "none"

    def huge_pages(self):
        folder = "/sys/kernel/mm/transparent_hugepage"
        return {"private_memory": self.chosen(f"{folder}/enabled"),
                "shared_memory": self.chosen(f"{folder}/shmem_enabled")}

    def clocksource(self):
        return self.read("/sys/devices/system/clocksource/clocksource0/current_clocksource")

    @staticmethod
    def clock_resolution():
        return f"{time.clock_getres(time.CLOCK_MONOTONIC) * 1e9:g} ns"

    # --- this process

    def scheduling(self):
        """Policy and nice value, from proc(5)'s fields 41 and 19 of /proc/self/stat."""
        fields = self.read("/proc/self/stat", "").rpartition(")")[2].split()
        if len(fields) < 39:
            return {"policy": NOT_VISIBLE, "nice": NOT_VISIBLE}
        return {"policy": _POLICIES.get(int(fields[38]), fields[38]), "nice": int(fields[16])}

    def limits(self):
        """The soft limits, as text."""
        rows = [re.split(r"\s{2,}", line) for line in self.read("/proc/self/limits", "").splitlines()]
        soft = {row[0]: row[1] for row in rows if len(row) > 1}
        return {name: soft.get(kernels, NOT_VISIBLE) for name, kernels in _LIMITS.items()}

    # --- what mechanisms are limited by

    def shm_mount(self):
        """(file system type, options) of what is mounted last at /dev/shm; None if nothing is."""
        found = None
        for line in self.read("/proc/self/mounts", "").splitlines():
            words = line.split()
            if len(words) > 3 and words[1] == "/dev/shm":
                found = words[2], words[3].split(",")
        return found

    def shm_bytes(self):
        """(size, free), or None."""
        try:
            facts = os.statvfs(self.path("/dev/shm"))
        except OSError:
            return None
        return facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize

    def ipc_limits(self):
        size = self.shm_bytes()
        limits = {"dev_shm": gib(size[0]) if size else NOT_VISIBLE}
        for name, path in (("pipe_max_size", "fs/pipe-max-size"), ("pipe_user_pages_soft", "fs/pipe-user-pages-soft"),
                           ("wmem_max", "net/core/wmem_max"), ("rmem_max", "net/core/rmem_max"),
                           ("wmem_default", "net/core/wmem_default"), ("max_dgram_qlen", "net/unix/max_dgram_qlen"),
                           ("mqueue_msg_max", "fs/mqueue/msg_max"), ("mqueue_msgsize_max", "fs/mqueue/msgsize_max")):
            limits[name] = self.read(f"/proc/sys/{path}")
        return limits

    # --- what it runs in

    def container_hints(self):
        hints = [name for name, path in (("docker", "/.dockerenv"), ("podman", "/run/.containerenv"))
                 if self.path(path).exists()]
        detected = output("systemd-detect-virt")
        return hints + [detected] * (detected not in ("", "none", *hints))

    def seccomp(self):
        return {"0": "none", "1": "strict", "2": "filter"}.get(self.field("/proc/self/status", "Seccomp"), NOT_VISIBLE)
