"""Does this machine grant what the mechanisms, the build and the tests need? One function per subject."""
import os
import shutil

from . import interpreter, project
from .finding import NOTE, OK, PROBLEM, WARNING, Finding
from .machine import NOT_VISIBLE, gib, output

_MIB = 1 << 20
# A pipe of boost_ipc as deep as the others' 4 MiB takes 16 MiB of /dev/shm, and several are alive at a time.
_SHM_LEAST, _SHM_ENOUGH = 32 * _MIB, 256 * _MIB
_PIPE_BYTES = _MIB        # the largest pipe that is measured
_SOCKET_BYTES = 212_992   # net.core.wmem_max as kernels come; below that sockets are smaller than elsewhere
_FEW_DESCRIPTORS, _TOO_FEW_DESCRIPTORS = 1024, 256
_FEW_PROCESSES = 256


def shared_memory(machine):
    mount, size = machine.shm_mount(), machine.shm_bytes()
    if size is None:
        return Finding("/dev/shm", PROBLEM, "it is not there", "named shared memory, shm_ring's doors and boost_ipc "
                       "need it", "sudo mount -t tmpfs -o mode=1777 tmpfs /dev/shm")
    total, free = size
    kind, options = mount or (NOT_VISIBLE, [])
    telling = [kind, *(word for word in ("ro", "noexec") if word in options)]
    found = f"{gib(total)}, {gib(free)} free, {', '.join(telling)}"
    grow = "sudo mount -o remount,size=1g /dev/shm; for a container: docker run --shm-size=1g"
    if "ro" in options or not os.access(machine.path("/dev/shm"), os.W_OK | os.X_OK):
        return Finding("/dev/shm", PROBLEM, f"{found}; not writable", "nothing can have a name in shared memory",
                       "sudo mount -o remount,rw /dev/shm; sudo chmod 1777 /dev/shm")
    if free < _SHM_ENOUGH:
        return Finding("/dev/shm", PROBLEM if free < _SHM_LEAST else WARNING, found,
                       "where it is full, cells fail with 'No space left on device'", grow)
    if mount and kind != "tmpfs":
        return Finding("/dev/shm", WARNING, found, "it is no memory: a file system's writes are measured with it",
                       "sudo mount -t tmpfs -o mode=1777 tmpfs /dev/shm")
    return Finding("/dev/shm", OK, found)  # noexec changes nothing: nobody executes what lies there


def pipes(machine):
    largest, soft = machine.number("/proc/sys/fs/pipe-max-size"), machine.number("/proc/sys/fs/pipe-user-pages-soft")
    if largest is None:
        return Finding("pipes", NOTE, NOT_VISIBLE)
    found = f"at most {gib(largest)} each; " + (
        NOT_VISIBLE if soft is None else f"{soft} pages per user" if soft else "no limit per user")
    if largest < _PIPE_BYTES:
        return Finding("pipes", WARNING, found, "larger pipes are refused, so those cells are unsupported",
                       f"sudo sysctl fs.pipe-max-size={_PIPE_BYTES}")
    if soft and soft * os.sysconf("SC_PAGE_SIZE") < 16 * _PIPE_BYTES:
        return Finding("pipes", WARNING, found, "beyond it new pipes have one or two pages, and slow down silently "
                       "(pipe(7))", "sudo sysctl fs.pipe-user-pages-soft=16384")
    return Finding("pipes", OK, found)


def sockets(machine):
    limits = {name: machine.number(f"/proc/sys/net/core/{name}") for name in ("wmem_max", "rmem_max")}
    if None in limits.values():
        return Finding("socket buffers", NOTE, NOT_VISIBLE, "the fairness sheet has the sizes that were granted")
    found = ", ".join(f"{name} {value}" for name, value in limits.items())
    if min(limits.values()) < _SOCKET_BYTES:
        return Finding("socket buffers", WARNING, found, "larger buffers are cut silently, so throughput is below "
                       "what sockets can do",
                       f"sudo sysctl net.core.wmem_max={_SOCKET_BYTES} net.core.rmem_max={_SOCKET_BYTES}")
    return Finding("socket buffers", OK, found)


def other_queues(machine):
    """Recorded for whoever compares; neither is in the way of a mechanism of today."""
    qlen = machine.read("/proc/sys/net/unix/max_dgram_qlen")
    yield Finding("datagram queue", OK, f"max_dgram_qlen {qlen}")
    names = ("msg_max", "msgsize_max", "queues_max")
    values = [machine.read(f"/proc/sys/fs/mqueue/{name}") for name in names]
    yield Finding("POSIX mqueue", OK, NOT_VISIBLE if NOT_VISIBLE in values else
                  ", ".join(f"{name} {value}" for name, value in zip(names, values)) + "; no mechanism uses them")


def limits(machine):
    soft = machine.limits()
    files, processes = soft["open_files"], soft["processes"]
    if NOT_VISIBLE in soft.values():
        yield Finding("limits", NOTE, NOT_VISIBLE, "how many descriptors and processes are allowed is unknown")
        return
    if files.isdigit() and int(files) < _FEW_DESCRIPTORS:
        yield Finding("open files", PROBLEM if int(files) < _TOO_FEW_DESCRIPTORS else WARNING, f"at most {files}",
                      "many clients and workers need some descriptors each; cells fail with 'Too many open files'",
                      f"ulimit -n {_FEW_DESCRIPTORS}")
    else:
        yield Finding("open files", OK, f"limit: {files}")
    if processes.isdigit() and int(processes) < _FEW_PROCESSES:
        yield Finding("processes", WARNING, f"at most {processes} of this user", "pools and tests start dozens; forks "
                      "fail with 'Resource temporarily unavailable'", f"ulimit -u {_FEW_PROCESSES * 4}")
    else:
        yield Finding("processes", OK, f"limit: {processes}")
    yield Finding("locked memory", OK, f"{soft['locked_memory_bytes']} bytes; nothing here locks memory")


def cores(machine):
    pattern, allowed = machine.read("/proc/sys/kernel/core_pattern"), machine.limits()["core_file_bytes"]
    if pattern.startswith("|"):
        # core(5): RLIMIT_CORE does not keep the kernel from starting the program.
        return Finding("core dumps", WARNING, f"piped to {pattern[1:].split()[0]}", "every crash that a test provokes "
                       "starts that program: tests take longer and may miss their time limits",
                       "sudo sysctl kernel.core_pattern=core, as long as the tests run")
    if NOT_VISIBLE in (pattern, allowed):
        return Finding("core dumps", NOTE, NOT_VISIBLE, "tests that provoke crashes may write core files")
    if allowed != "0":
        return Finding("core dumps", NOTE, f"written, limit {allowed}", "tests that provoke crashes write core files",
                       "ulimit -c 0")
    return Finding("core dumps", OK, "none are written")


def looking_in(machine):
    """Not in the way of a number, but of whoever looks into a slow or a hanging one."""
    paranoid = machine.number("/proc/sys/kernel/perf_event_paranoid")
    if paranoid is not None and paranoid > 2:
        yield Finding("perf", NOTE, f"perf_event_paranoid {paranoid}", "perf may not look even into processes of your "
                      "own", "sudo sysctl kernel.perf_event_paranoid=2")
    else:
        yield Finding("perf", OK, f"perf_event_paranoid {NOT_VISIBLE if paranoid is None else paranoid}")
    scope = machine.number("/proc/sys/kernel/yama/ptrace_scope")
    if scope:
        yield Finding("ptrace", NOTE, f"ptrace_scope {scope}", "the stacks of a test that hangs cannot be had by gdb "
                      "-p", "sudo sysctl kernel.yama.ptrace_scope=0")
    else:
        yield Finding("ptrace", OK, "ptrace_scope 0" if scope == 0 else "no restriction visible")


def system_calls(machine):
    """By doing it: what a sandbox forbids is in no file."""
    refused = []
    for name, call in (("memfd_create", lambda: os.memfd_create("doctor", os.MFD_ALLOW_SEALING)),
                       ("pidfd_open", lambda: os.pidfd_open(os.getpid())), ("eventfd", lambda: os.eventfd(0))):
        try:
            os.close(call())
        except OSError:
            refused.append(name)
    if refused:
        return Finding("system calls", PROBLEM, f"refused: {', '.join(refused)}", "mechanisms are built on them",
                       "allow them in the container's seccomp profile; pidfd_open is in Linux from 5.3 on")
    if (filtered := machine.seccomp()) == "filter":
        return Finding("system calls", NOTE, "a seccomp filter sees each of them", "it makes every system call dearer",
                       "for the machine's own figures: docker run --security-opt seccomp=unconfined")
    return Finding("system calls", OK, f"seccomp: {filtered}")


def compiler():
    lines = output("c++", "--version").splitlines()
    missing = [name for name in ("cmake", "ninja") if not output(name, "--version")]
    if lines and not missing:
        return Finding("compiler", OK, lines[0])
    found = f"missing: {', '.join(missing + ['c++'] * (not lines))}"
    return Finding("compiler", PROBLEM, found, "nothing can be built", "scripts/install_packages build")


def build(build_dir):
    kind = project.cmake_cache(build_dir).get("CMAKE_BUILD_TYPE")
    if kind in ("Release", "RelWithDebInfo"):
        return Finding("build", OK, kind)
    if kind is None:
        return Finding("build", NOTE, "there is none yet", "'scripts/crucible run' builds before it measures")
    return Finding("build", PROBLEM, kind, "its numbers would mislead, and run refuses it",
                   "leave --build-dir out, or configure it with -DCMAKE_BUILD_TYPE=Release")


def python():
    found = interpreter.fitting(interpreter.PACKAGES)
    if found:
        return Finding("Python", OK, found)
    return Finding("Python", PROBLEM, f"none of version {'.'.join(map(str, interpreter.OLDEST))} or later has "
                   f"{', '.join(interpreter.PACKAGES)}", "no report can be written", "scripts/install_packages python")


def packages(listing=project.SCRIPTS / "packages.txt"):
    """As install_packages sees them."""
    groups = {}
    for line in listing.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            group, package = line.split()
            groups.setdefault(group, []).append(package)
    wanted = [package for group in ("build", "python", "recommended") for package in groups[group]]
    listed = output("dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *wanted).splitlines()
    if not shutil.which("dpkg-query"):
        return Finding("packages", NOTE, "not a Debian system", "scripts/packages.txt names what is needed")
    installed = {line.split()[0] for line in listed if line.endswith(" installed")}
    needed, useful = ([package for package in names if package not in installed]
                      for names in (groups["build"] + groups["python"], groups["recommended"]))
    if needed:
        return Finding("packages", PROBLEM, f"missing: {', '.join(needed)}", "nothing can be built or reported",
                       "scripts/install_packages build python")
    if useful:
        return Finding("packages", NOTE, f"recommended and missing: {', '.join(useful)}",
                       "the commit is not recorded, or a peer has no row", "scripts/install_packages recommended")
    return Finding("packages", OK, f"all {len(wanted)} are installed")
