"""Is this machine quiet and steady enough for a number? One function per subject."""
import time

from . import environment
from .cgroup import Cgroup
from .finding import NOTE, OK, PROBLEM, WARNING, Finding, words
from .machine import NOT_VISIBLE, gib

# These are read in user space, without a system call (the kernel's vDSO).
_QUICK_CLOCKS = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"}
_BUSY, _TOO_BUSY = 0.05, 0.25  # shares of the CPUs that this process may use
_STOLEN, _TOO_STOLEN = 0.01, 0.10


def cpus(machine):
    usable = machine.affinity()
    found = f"{words(len(usable), 'CPU')} may be used: {', '.join(map(str, usable))}"
    if len(usable) < 2:
        return Finding("CPUs", PROBLEM, found, "the placement cross needs two CPUs; its cells stay empty",
                       "give the machine, the container (--cpuset-cpus) or the shell (taskset -c 0,1) a second CPU")
    if len({tuple(machine.siblings(cpu)) or cpu for cpu in usable}) == 1:
        return Finding("CPUs", WARNING, f"{found}, all threads of one core", "cross is not across cores: the two sides "
                       "share caches and execution units", "allow a CPU of another core: taskset -c, --cpuset-cpus")
    return Finding("CPUs", OK, found)


def isolation(machine):
    isolated = machine.isolated()
    if isolated == NOT_VISIBLE:
        return Finding("isolated CPUs", NOTE, NOT_VISIBLE, "whether the kernel keeps others off these CPUs is unknown")
    if isolated == "none":
        return Finding("isolated CPUs", OK, "none: the scheduler may put any process on any CPU")
    return Finding("isolated CPUs", NOTE, isolated, "they are not balanced: what is measured without pinning (free) "
                   "stays on other CPUs, and results differ from a usual machine's", "compare only with the same "
                   "isolation")


def governor(machine):
    found, why = machine.governor(), "clocks that rise and fall with the load blur every latency"
    if found == NOT_VISIBLE:
        return Finding("governor", NOTE, NOT_VISIBLE, f"{why}; a virtual machine hides them")
    if found == "performance":
        return Finding("governor", OK, found)
    return Finding("governor", WARNING, found, why, "sudo cpupower frequency-set -g performance")


def turbo(machine):
    found = machine.turbo()
    if found == "on":
        return Finding("turbo", NOTE, found, "the clock depends on heat and on how many cores are busy, so runs differ",
                       "for steadier numbers: echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo, or "
                       "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost")
    return Finding("turbo", OK if found == "off" else NOTE, found)


def smt(machine):
    active = machine.read("/sys/devices/system/cpu/smt/active")
    if active == "1":
        return Finding("SMT", NOTE, "on", "whatever runs on a sibling takes from the CPU that is measured",
                       "echo off | sudo tee /sys/devices/system/cpu/smt/control, on a machine of your own")
    return Finding("SMT", OK if active == "0" else NOTE, "off" if active == "0" else active)


def hypervisor(machine):
    flag = machine.hypervisor_flag()
    if flag == NOT_VISIBLE:
        return Finding("virtual machine", NOTE, NOT_VISIBLE, "on one the host may take CPUs away at any time")
    if not flag:
        return Finding("virtual machine", OK, "no sign of one")
    return Finding("virtual machine", NOTE, "yes", "the host may take CPUs away at any time (steal), and to wake a "
                   "process on another CPU takes a detour through it", "compare only with runs on the same kind of "
                   "machine")


def container(machine):
    hints = machine.container_hints()
    if not hints:
        return Finding("container", OK, "no hint of one")
    return Finding("container", NOTE, ", ".join(hints), "it may limit CPUs, memory and system calls, and other "
                   "containers share the machine unseen")


def quota(machine):
    group, usable = Cgroup(machine), len(machine.affinity())
    allowed, throttling = group.cpu_quota(), group.throttling()
    before = f"; throttled in {throttling[1]} of {throttling[0]} periods so far" if throttling and throttling[0] else ""
    if allowed == NOT_VISIBLE:
        yield Finding("CPU quota", NOTE, NOT_VISIBLE, "a control group may stop this process for up to 100 ms at a "
                      "time")
    elif allowed is None:
        yield Finding("CPU quota", OK, "none")
    else:
        level = WARNING if allowed < usable or (throttling and throttling[1]) else NOTE
        yield Finding("CPU quota", level, f"{allowed:g} CPUs, {words(usable, 'CPU')} usable{before}",
                      "who uses it up is stopped until the next period, tens of ms later; who spins uses it up",
                      "start the container without --cpus or --cpu-quota, or raise cpu.max of the group")
    limit = group.memory_limit()
    if limit not in (None, NOT_VISIBLE) and limit < 2 << 30:
        yield Finding("memory limit", WARNING, gib(limit), "beyond it the kernel reclaims, which slows, or kills; "
                      "compilers alone may take hundreds of MiB each", "start the container with --memory=4g")


def load(machine, sample_s):
    usable = machine.affinity()
    before = machine.ticks(usable)
    time.sleep(sample_s)
    busy, stolen = environment.shares(before, machine.ticks(usable))
    if busy is None:
        yield Finding("load", NOTE, NOT_VISIBLE, "whether something else is at work is unknown")
    else:
        level = PROBLEM if busy >= _TOO_BUSY else WARNING if busy >= _BUSY else OK
        found = f"{100 * busy:.0f} % of the usable CPUs busy, load averages {machine.load_averages()}"
        yield Finding("load", level, found, *(() if level == OK else (
            "other work takes CPUs and caches from what is measured", "end it or wait; top shows what it is")))
    if stolen is None:
        yield Finding("steal", NOTE, NOT_VISIBLE)
    else:
        level = PROBLEM if stolen >= _TOO_STOLEN else WARNING if stolen >= _STOLEN else OK
        yield Finding("steal", level, f"{100 * stolen:.1f} % of the CPU time now", *(() if level == OK else (
            "the host runs others on these CPUs; every latency has their time in it", "choose another hour or host")))


def memory(machine):
    total, free = machine.memory("SwapTotal"), machine.memory("SwapFree")
    used = total - free if total is not None and free is not None else None
    if used:
        yield Finding("swap", WARNING, machine.swap(), "memory that was swapped out comes back from a disk in the "
                      "middle of a measurement", "free memory, then: sudo swapoff -a && sudo swapon -a")
    else:
        yield Finding("swap", NOTE if used is None else OK, machine.swap())
    pages = machine.huge_pages()
    found = ", ".join(f"{kind.replace('_', ' ')} {value}" for kind, value in pages.items())
    if pages["private_memory"] == "always" or pages["shared_memory"] in ("always", "within_size", "force"):
        yield Finding("huge pages", NOTE, found, "whether a buffer lies in huge pages depends on what memory is free, "
                      "and so does its throughput", "echo madvise | sudo tee "
                      "/sys/kernel/mm/transparent_hugepage/enabled")
    else:
        yield Finding("huge pages", OK, found)


def clock(machine):
    source = machine.clocksource()
    if source in _QUICK_CLOCKS:
        return Finding("clock", OK, source)
    if source == NOT_VISIBLE:
        return Finding("clock", NOTE, source)
    return Finding("clock", WARNING, source, "each reading is a system call or a slow device, and is part of every "
                   "sample", "find out why the kernel gave up tsc (dmesg | grep -i tsc); boot with tsc=reliable if it "
                   "is steady")
