"""What killed programs have left: names of the library in shared memory, and processes that still run.

Liveness is the library's own rule (impl/core/shared_name.cc, impl/boost_ipc/queue.cc): whoever uses a name holds
flock(2) on its file, which the kernel ends with the process, in whatever pid namespace; so a name is dead when its file
can be locked exclusively, and only under that lock it is removed. Asking leaves the living undisturbed: the lock is
not waited for, and is refused while anybody holds his.
"""
import contextlib
import errno
import fcntl
import functools
import os
import pathlib
import re
import stat

_PUBLIC, _PRIVATE = "crucible.", "crucible~"
_BOOST_LOCK = re.compile(r"crucible\.boost_ipc\.([0-9a-f]{16})")
_MOST_BOOST_QUEUES = 2
# Of the benchmarks' Redis and of the tests of named doors. Nothing in them tells whether their owner lives.
_FOLDERS = ("crucible-redis-??????", "test-of-crucible-door-??????")
_PROGRAM_FOLDERS = ("bench", "conformance")
_TITLE = "crucible-"  # how the library names its helpers: crucible-zygote, crucible-mngr, crucible-queue


@contextlib.contextmanager
def _opened(path):
    """A descriptor of a regular file of this user's, or None."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        facts = os.fstat(descriptor)
        yield descriptor if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() else None
    finally:
        os.close(descriptor)


def _if_dead(path, action=lambda: None):
    """Whether nobody uses the file, in which case `action` is taken while that is certain."""
    with _opened(path) as descriptor:
        if descriptor is None:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EINTR):
                return False
            raise
        if os.fstat(descriptor).st_nlink == 0:  # somebody else was faster
            return False
        action()
        return True


def _own_folder(path):
    """The files in a directory of this user's; None if it is none."""
    try:
        facts = os.lstat(path)
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
            return None
        return sorted(path.iterdir())
    except OSError:
        return None


class Names:
    """The library's names in one directory, /dev/shm unless a test says otherwise."""

    def __init__(self, directory):
        self._directory = pathlib.Path(directory)

    def _all(self):
        with contextlib.suppress(OSError):
            return sorted(path for path in self._directory.iterdir() if path.name.startswith((_PUBLIC, _PRIVATE)))
        return []

    def dead(self):
        """The names whose users are all dead, as paths."""
        return [path for path in self._all() if self._is_dead(path)]

    @staticmethod
    def _is_dead(path):
        files = _own_folder(path)
        if files is None:
            return _BOOST_LOCK.fullmatch(path.name) is not None and _if_dead(path)
        return all(map(_if_dead, files))

    def clean(self):
        """Removes what dead() finds, each under its lock; yields each path that is gone for it."""
        for path in self._all():
            files = _own_folder(path)
            if files is not None:
                yield from self._clean_folder(path, files)
            elif _BOOST_LOCK.fullmatch(path.name) and _if_dead(path, functools.partial(self._remove_boost, path)):
                yield path

    @staticmethod
    def _clean_folder(path, files):
        for file in files:
            _if_dead(file, file.unlink)
        # Fails, as it should, while anything alive is in it.
        with contextlib.suppress(OSError):
            path.rmdir()
            yield path

    def _remove_boost(self, path):
        """The lock last: while any queue has a name, whoever looks finds out whether its owner lives."""
        identity = _BOOST_LOCK.fullmatch(path.name)[1]
        for which in range(_MOST_BOOST_QUEUES):
            (self._directory / f"boost_ipc.{identity}.{which}").unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def folders(directory):
    """Temporary folders of programs of ours, living or dead."""
    found = [path for pattern in _FOLDERS for path in pathlib.Path(directory).glob(pattern)]
    return sorted(path for path in found if _own_folder(path) is not None)


def _ancestry(machine, pid):
    """Of a process: its parent and all above it, up to init or to what is not visible, which is 0."""
    while pid > 1:
        fields = machine.read(f"/proc/{pid}/stat", "").rpartition(")")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0
        yield pid


def _what_runs(folder, build_dirs):
    """The name of a benchmark, a test or a helper of the library; None for any other process."""
    try:
        program = pathlib.Path(os.readlink(folder / "exe").removesuffix(" (deleted)"))
        title = (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
        command = (folder / "cmdline").read_bytes()
    except OSError:
        return None
    for build_dir in build_dirs:
        if program.is_relative_to(build_dir) and program.relative_to(build_dir).parts[0] in _PROGRAM_FOLDERS:
            return program.name
    if b"/tmp/crucible-redis-" in command and b"--unixsocket" in command:
        return "redis-server of a benchmark"
    return title if title.startswith(_TITLE) else None


def processes(machine, build_dirs):
    """[(pid, name, is_orphan)] of our programs that run now. An orphan's parent is dead: it runs for nobody."""
    found = []
    for folder in sorted(machine.path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        name = _what_runs(folder, [pathlib.Path(build_dir).resolve() for build_dir in build_dirs])
        if name:
            found.append((int(folder.name), name))
    ours = {pid for pid, _ in found}
    return [(pid, name, _runs_for_nobody(machine, pid, ours)) for pid, name in found]


def _runs_for_nobody(machine, pid, ours):
    """Whether, above itself and our other processes, there is only init: who started them is gone."""
    return next((above for above in _ancestry(machine, pid) if above not in ours), 0) <= 1
