"""A made-up /proc and /sys for tests: a quiet machine of two CPUs that has everything, and whatever a test changes."""
import pathlib
import tempfile

QUIET = {
    "proc/self/status": "Name:\tpython3\nCpus_allowed_list:\t0-3\nSeccomp:\t0\n",
    "proc/self/stat": "7 (a) b) S " + " ".join(["0"] * 15) + " 5 " + " ".join(["0"] * 21) + " 3 0\n",
    "proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units     \n"
                        "Max core file size        0                    unlimited            bytes     \n"
                        "Max processes             96365                96365                processes \n"
                        "Max open files            20000                20000                files     \n"
                        "Max locked memory         8388608              8388608              bytes     \n",
    "proc/self/mounts": "tmpfs / tmpfs rw 0 0\ntmpfs /dev/shm tmpfs rw,nosuid,noexec 0 0\n",
    "proc/self/cgroup": "0::/user.slice/run.scope\n",
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Example CPU\nflags\t\t: fpu tsc\n",
    "proc/meminfo": "MemTotal:       8388608 kB\nSwapTotal:      2097152 kB\nSwapFree:       2097152 kB\n",
    "proc/stat": "cpu  20 0 20 200 0 0 0 0 0 0\ncpu0 10 0 10 100 0 0 0 0 0 0\ncpu1 10 0 10 100 0 0 0 0 0 0\n",
    "proc/loadavg": "0.01 0.02 0.03 1/99 7\n",
    "proc/sys/fs/pipe-max-size": "1048576\n", "proc/sys/fs/pipe-user-pages-soft": "16384\n",
    "proc/sys/net/core/wmem_max": "212992\n", "proc/sys/net/core/rmem_max": "212992\n",
    "proc/sys/net/core/wmem_default": "212992\n", "proc/sys/net/unix/max_dgram_qlen": "512\n",
    "proc/sys/fs/mqueue/msg_max": "10\n", "proc/sys/fs/mqueue/msgsize_max": "8192\n",
    "proc/sys/fs/mqueue/queues_max": "256\n", "proc/sys/kernel/core_pattern": "core\n",
    "proc/sys/kernel/perf_event_paranoid": "2\n", "proc/sys/kernel/yama/ptrace_scope": "0\n",
    "sys/devices/system/cpu/online": "0-1\n", "sys/devices/system/cpu/isolated": "\n",
    "sys/devices/system/cpu/smt/active": "0\n", "sys/devices/system/cpu/smt/control": "off\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0\n",
    "sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "1\n",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "1\n",
    "sys/devices/system/cpu/vulnerabilities/meltdown": "Not affected\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise [never] deny force\n",
    "sys/fs/cgroup/user.slice/run.scope/cpu.max": "max 100000\n",
    "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
    "sys/fs/cgroup/user.slice/run.scope/memory.max": "max\n",
    "sys/fs/cgroup/user.slice/run.scope/cpuset.cpus.effective": "0-1\n",
    "sys/fs/cgroup/user.slice/run.scope/cpu.stat": "usage_usec 1\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
    "dev/shm/": None, "tmp/": None,
}


def make(case, changes=None):
    """The root of a machine that lasts as long as this test; `changes` by path, None for what is not there."""
    folder = tempfile.TemporaryDirectory()
    case.addCleanup(folder.cleanup)
    root = pathlib.Path(folder.name)
    change(root, {**QUIET, **(changes or {})})
    return root


def change(root, files):
    for name, content in files.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        elif content is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
