"""What the dead leave, with real owners: processes that hold flock(2) as the library does, and that are killed."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

import support  # noqa: F401  (sets the path)
from crucible_lib import doctor, leftovers
from crucible_lib.finding import NOTE, WARNING
from crucible_lib.machine import Machine

_ID = "0123456789abcdef"
# Holds a lock on the file of its first argument, says so, and waits until its input ends; with a third argument a fork
# of it inherits the lock, and the first process ends.
_OWNER = """
import fcntl, os, sys
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_SH if sys.argv[2] == "shared" else fcntl.LOCK_EX)
if len(sys.argv) > 3 and os.fork():
    os._exit(0)
print("locked", flush=True)
sys.stdin.read()
"""


class Dying(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.shm = pathlib.Path(folder.name)
        self.names = leftovers.Names(self.shm)

    def owner(self, path, kind="shared", *more):
        process = subprocess.Popen([sys.executable, "-c", _OWNER, str(path), kind, *more], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        self.assertEqual(process.stdout.readline(), "locked\n")
        return process

    @staticmethod
    def end(process):
        process.stdin.close()  # by which also a fork of it ends
        process.stdout.read()
        process.kill()
        process.wait()
        process.stdout.close()

    def shared(self, name, files=("f" * 32,)):
        folder = self.shm / name
        folder.mkdir(mode=0o700)
        for file in files:
            (folder / file).touch(mode=0o600)
        return folder

    def boost(self):
        lock = self.shm / f"crucible.boost_ipc.{_ID}"
        for path in (lock, *(self.shm / f"boost_ipc.{_ID}.{which}" for which in (0, 1))):
            path.touch(mode=0o600)
        return lock

    def there(self):
        return sorted(path.name for path in self.shm.iterdir())


class Names(Dying):
    def test_nothing_of_the_living_is_touched(self):
        folder, lock = self.shared("crucible.alive"), self.boost()
        self.owner(folder / ("f" * 32))
        stopped = self.owner(lock, "alone")
        os.kill(stopped.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, stopped.pid, signal.SIGCONT)
        before = self.there()
        self.assertEqual(self.names.dead(), [])
        self.assertEqual(list(self.names.clean()), [])
        self.assertEqual(self.there(), before)
        self.assertTrue((folder / ("f" * 32)).exists())

    def test_a_fork_keeps_what_its_parent_held(self):
        folder = self.shared("crucible.inherited")
        parent = self.owner(folder / ("f" * 32), "shared", "fork")
        parent.wait()
        self.assertEqual((self.names.dead(), list(self.names.clean())), ([], []))

    def test_what_the_killed_held_is_found_and_removed(self):
        folder, lock = self.shared("crucible.dead"), self.boost()
        for process in (self.owner(folder / ("f" * 32)), self.owner(lock, "alone")):
            process.kill()
            process.wait()
        self.assertEqual(self.names.dead(), [lock, folder])
        self.assertEqual(self.there(), [f"boost_ipc.{_ID}.0", f"boost_ipc.{_ID}.1", lock.name, folder.name])
        self.assertEqual(list(self.names.clean()), [lock, folder])
        self.assertEqual(self.there(), [])

    def test_of_two_users_one_is_enough(self):
        folder = self.shared("crucible.two", ("a" * 32, "b" * 32))
        self.owner(folder / ("b" * 32))
        self.assertEqual(self.names.dead(), [])
        self.assertEqual(list(self.names.clean()), [])
        self.assertTrue((folder / ("b" * 32)).exists())

    def test_half_made_and_empty_ones_go_too(self):
        self.shared("crucible~" + "a" * 32)
        self.shared("crucible.empty", ())
        self.assertEqual(len(list(self.names.clean())), 2)
        self.assertEqual(self.there(), [])

    def test_what_is_not_the_librarys_stays(self):
        (self.shm / "crucible.file").touch()
        (self.shm / f"crucible.boost_ipc.{_ID}x").touch()
        (self.shm / "other").mkdir()
        target = self.shm / "target"
        target.mkdir()
        (target / "precious").touch()
        (self.shm / "crucible.link").symlink_to(target)
        self.shared("crucible.nested", ()).joinpath("folder").mkdir()
        before = self.there()
        self.assertEqual((self.names.dead(), list(self.names.clean())), ([], []))
        self.assertEqual(self.there(), before)
        self.assertTrue((target / "precious").exists())

    def test_another_users_stays(self):
        folder = self.shared("crucible.theirs")
        with unittest.mock.patch("os.geteuid", return_value=os.geteuid() + 1):
            self.assertEqual((self.names.dead(), list(self.names.clean())), ([], []))
        self.assertTrue(folder.exists())

    def test_without_the_directory_there_is_nothing(self):
        self.assertEqual(leftovers.Names(self.shm / "none").dead(), [])


class Doctor(Dying):
    def test_says_what_is_left_and_how_to_remove_it(self):
        (self.shm / "dev/shm").mkdir(parents=True)
        self.assertEqual(doctor._left_names(Machine(self.shm)).level, "ok")
        (self.shm / "dev/shm/crucible.dead").mkdir()
        found = doctor._left_names(Machine(self.shm))
        self.assertEqual((found.level, found.remedy), (WARNING, "scripts/crucible doctor --clean"))
        self.assertIn("1 name of dead owners in /dev/shm: crucible.dead", found.found)


class Processes(Dying):
    """Real processes of a made-up build, whose program is a copy of sleep."""

    def setUp(self):
        super().setUp()
        self.build = self.shm.resolve() / "build"
        (self.build / "bench").mkdir(parents=True)
        self.program = shutil.copy(shutil.which("sleep"), self.build / "bench" / "some_bench")

    def ours(self):
        return [(name, orphan) for _, name, orphan in leftovers.processes(Machine(), [self.build])
                if name == "some_bench"]

    def test_a_child_of_somebody_is_no_orphan(self):
        self.assertEqual(self.ours(), [])
        process = subprocess.Popen([self.program, "60"])
        try:
            self.wait_for([("some_bench", False)])
        finally:
            process.kill()
            process.wait()
        self.assertEqual(self.ours(), [])

    def wait_for(self, wanted):
        """exec(2) takes its time, and so does a parent's end."""
        end = time.monotonic() + 10
        while self.ours() != wanted and time.monotonic() < end:
            time.sleep(0.01)
        self.assertEqual(self.ours(), wanted)

    def findings(self, running):
        with unittest.mock.patch("crucible_lib.leftovers.processes", return_value=running):
            return list(doctor._left_processes(Machine(self.shm), self.build))

    def test_an_orphan_of_a_run_under_way_is_not_for_killing(self):
        found, = self.findings([(17, "pool_test", False), (18, "pool_test", True), (19, "exec_peer", True)])
        self.assertEqual(found.found, "a run is under way: pool_test (17, 18), exec_peer (19)")
        self.assertNotIn("kill", found.remedy)

    def test_orphans_alone_are_of_a_killed_run(self):
        found, = self.findings([(18, "pool_test", True)])
        self.assertEqual((found.level, found.remedy), (WARNING, "look at them, then: kill 18"))

    def test_folders_are_told_when_nobody_can_be_using_them(self):
        folder = self.shm / "tmp" / "crucible-redis-abcdef"
        folder.mkdir(parents=True)
        self.assertEqual([finding.level for finding in self.findings([])], ["ok", NOTE])
        self.assertEqual(len(self.findings([(17, "manager_bench", False)])), 1)
        self.assertTrue(folder.exists())

    def test_ancestry_tells_who_runs_for_nobody(self):
        for pid, parent in ((10, 1), (11, 10), (20, 9), (9, 1), (21, 20)):
            (self.shm / "proc" / str(pid)).mkdir(parents=True)
            (self.shm / "proc" / str(pid) / "stat").write_text(f"{pid} (a) b) S {parent} 0 0\n", encoding="utf-8")
        ours = {10, 11, 20, 21}
        self.assertEqual([leftovers._runs_for_nobody(Machine(self.shm), pid, ours) for pid in sorted(ours)],
                         [True, True, False, False])


if __name__ == "__main__":
    unittest.main()
