"""What doctor finds, by made-up machines; and what a run says and keeps of it."""
import json
import os
import pathlib
import tempfile
import unittest
import unittest.mock

import fake_root
import support
from crucible_lib import checks, checks_limits, doctor, results
from crucible_lib.finding import NOTE, OK, PROBLEM, WARNING, Finding
from crucible_lib.machine import Machine

CPUS = "sys/devices/system/cpu/"
_LARGE = os.statvfs_result((4096, 4096, 1 << 18, 1 << 18, 1 << 18, 0, 0, 0, 0, 255))  # 1 GiB


class Checked(unittest.TestCase):
    """Each check by what makes it speak."""

    def levels(self, check, changes=None, *arguments):
        machine = Machine(fake_root.make(self, changes))
        with unittest.mock.patch("os.statvfs", return_value=_LARGE), \
                unittest.mock.patch("crucible_lib.machine.output", return_value=""):
            found = doctor._findings_of(check, machine, *arguments)
        for finding in found:
            if finding.level in (WARNING, PROBLEM):
                self.assertTrue(finding.why and finding.remedy, finding)
        return [finding.level for finding in found]

    def test_a_quiet_machine_has_nothing_to_mend(self):
        for check in doctor._QUIET + doctor._GRANTED:
            self.assertEqual(set(self.levels(check)), {OK}, check.__name__)

    def test_each_trouble_has_its_level(self):
        for check, changes, level in (
                (checks.cpus, {CPUS + "online": "0\n"}, PROBLEM),
                (checks.cpus, {CPUS + "cpu0/topology/thread_siblings_list": "0-1\n",
                               CPUS + "cpu1/topology/thread_siblings_list": "0-1\n"}, WARNING),
                (checks.isolation, {CPUS + "isolated": "1\n"}, NOTE),
                (checks.governor, {CPUS + "cpu1/cpufreq/scaling_governor": "powersave\n"}, WARNING),
                (checks.governor, {CPUS + "cpu0/cpufreq/scaling_governor": None,
                                   CPUS + "cpu1/cpufreq/scaling_governor": None}, NOTE),
                (checks.turbo, {CPUS + "intel_pstate/no_turbo": "0\n"}, NOTE),
                (checks.smt, {CPUS + "smt/active": "1\n"}, NOTE),
                (checks.hypervisor, {"proc/cpuinfo": "flags\t: fpu hypervisor\n"}, NOTE),
                (checks.hypervisor, {"proc/cpuinfo": "Features\t: fp asimd\n"}, NOTE),
                (checks.container, {".dockerenv": ""}, NOTE),
                (checks.quota, {"sys/fs/cgroup/user.slice/cpu.max": "100000 100000\n"}, WARNING),
                (checks.quota, {"sys/fs/cgroup/user.slice/cpu.max": "400000 100000\n"}, NOTE),
                (checks.memory, {"proc/meminfo": "SwapTotal: 2048 kB\nSwapFree: 1024 kB\n"}, WARNING),
                (checks.memory, {"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n"}, NOTE),
                (checks.clock, {"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n"}, WARNING),
                (checks_limits.shared_memory, {"proc/self/mounts": "t /dev/shm tmpfs ro 0 0\n"}, PROBLEM),
                (checks_limits.shared_memory, {"proc/self/mounts": "t /dev/shm ext4 rw 0 0\n"}, WARNING),
                (checks_limits.pipes, {"proc/sys/fs/pipe-max-size": "65536\n"}, WARNING),
                (checks_limits.pipes, {"proc/sys/fs/pipe-user-pages-soft": "64\n"}, WARNING),
                (checks_limits.sockets, {"proc/sys/net/core/rmem_max": "4096\n"}, WARNING),
                (checks_limits.limits, {"proc/self/limits": fake_root.QUIET["proc/self/limits"].replace(
                    "20000", "128  ")}, PROBLEM),
                (checks_limits.limits, {"proc/self/limits": fake_root.QUIET["proc/self/limits"].replace(
                    "96365", "64   ")}, WARNING),
                (checks_limits.cores, {"proc/sys/kernel/core_pattern": "|/usr/lib/handler %p\n"}, WARNING),
                (checks_limits.looking_in, {"proc/sys/kernel/perf_event_paranoid": "3\n"}, NOTE),
                (checks_limits.looking_in, {"proc/sys/kernel/yama/ptrace_scope": "1\n"}, NOTE),
                (checks_limits.system_calls, {"proc/self/status": "Seccomp:\t2\n"}, NOTE)):
            with self.subTest(check.__name__, changes=changes):
                self.assertIn(level, self.levels(check, changes))

    def test_a_small_dev_shm(self):
        machine = Machine(fake_root.make(self))
        for blocks, level in ((16384, WARNING), (1024, PROBLEM)):
            facts = os.statvfs_result((4096, 4096, blocks, blocks, blocks, 0, 0, 0, 0, 255))
            with unittest.mock.patch("os.statvfs", return_value=facts):
                self.assertEqual(checks_limits.shared_memory(machine).level, level)
        with unittest.mock.patch("os.statvfs", side_effect=FileNotFoundError):
            self.assertEqual(checks_limits.shared_memory(machine).level, PROBLEM)

    def test_noexec_on_dev_shm_is_fine(self):
        with unittest.mock.patch("os.statvfs", return_value=_LARGE):
            found = checks_limits.shared_memory(Machine(fake_root.make(self)))
        self.assertEqual((found.level, "noexec" in found.found), (OK, True))

    def test_load_and_steal_while_it_samples(self):
        def row(busy, idle, stolen):
            return "".join(f"cpu{cpu} {busy} 0 0 {idle} 0 0 0 {stolen} 0 0\n" for cpu in (0, 1, 2))
        for after, levels in ((row(1, 99, 0), [OK, OK]), (row(10, 90, 0), [WARNING, OK]), (row(90, 5, 5),
                              [PROBLEM, WARNING]), (row(0, 80, 20), [WARNING, PROBLEM]), (row(0, 0, 0), [NOTE, NOTE])):
            root = fake_root.make(self, {"proc/stat": row(0, 0, 0)})
            with unittest.mock.patch("time.sleep", side_effect=lambda _: fake_root.change(root, {"proc/stat": after})):
                found = list(checks.load(Machine(root), 1.0))
            self.assertEqual([finding.level for finding in found], levels, after)

    def test_packages_as_dpkg_knows_them(self):
        with tempfile.TemporaryDirectory() as folder:
            listing = pathlib.Path(folder) / "packages.txt"
            listing.write_text("# group package\nbuild g++\npython python3\nrecommended git\n", encoding="utf-8")
            for lines, level in (("g++ installed\npython3 installed\ngit installed", OK), ("", PROBLEM),
                                 ("g++ installed\npython3 installed", NOTE),
                                 ("g++ config-files\npython3 installed\ngit installed", PROBLEM)):
                with unittest.mock.patch("crucible_lib.checks_limits.output", return_value=lines), \
                        unittest.mock.patch("shutil.which", return_value="/usr/bin/dpkg-query"):
                    self.assertEqual(checks_limits.packages(listing).level, level, lines)

    def test_a_debug_build_is_a_problem(self):
        with tempfile.TemporaryDirectory() as folder:
            build = pathlib.Path(folder)
            self.assertEqual(checks_limits.build(build).level, NOTE)
            (build / "CMakeCache.txt").write_text("CMAKE_BUILD_TYPE:STRING=Debug\n", encoding="utf-8")
            self.assertEqual(checks_limits.build(build).level, PROBLEM)


class Command(support.TreeCase):
    def findings(self, *options):
        done = self.crucible("doctor", "--json", *options)
        document = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if document["fit"] else 1, done.stderr)
        return document

    def test_status_and_json_say_the_same(self):
        document = self.findings("--all")
        levels = [finding["level"] for finding in document["findings"]]
        self.assertEqual(document["fit"], "problem" not in levels)
        self.assertEqual(levels, sorted(levels, key=["problem", "warning", "note", "ok"].index))
        self.assertNotIn("removed", document)

    def test_a_debug_build_makes_it_unfit(self):
        (self.root / "build/release/CMakeCache.txt").write_text("CMAKE_BUILD_TYPE:STRING=Debug\n", encoding="utf-8")
        done = self.crucible("doctor")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout,
                         r"(?m)^problem  build: Debug\n +its numbers would mislead.*\n +> leave --build-dir")
        self.assertRegex(done.stdout.splitlines()[-1], r"^not fit to measure: \d+ problem")
        self.assertNotRegex(done.stdout, "(?m)^ok ")

    def test_a_run_says_what_troubles_it_and_keeps_it(self):
        done = self.crucible("run", "smoke", "--no-build", "--host", "tested", "--out", "out", "--only",
                             "pipe/round_trip/posix_pipe", PYTHONPATH=str(self.troubled()))
        self.assertEqual(done.returncode, 0, done.stderr)
        document = results.read(self.root / "out")
        kept = {finding["check"]: finding for finding in document["environment"]["findings"]}
        self.assertEqual(kept["CPUs"], {"check": "CPUs", "level": "problem", "found": "one", "why": "cross is empty",
                                        "remedy": "a second"})
        self.assertNotIn("turbo", kept)
        self.assertIn("problem: CPUs: one; cross is empty\n", done.stderr)
        self.assertIn("throttled", document["environment"]["load"])

    def troubled(self):
        """A folder with a module that Python loads at its start, which puts a trouble in the place of a check."""
        folder = self.root / "site"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(
            "import sys\n"
            f"sys.path.insert(0, {str(self.root / 'scripts')!r})\n"
            "from crucible_lib import doctor, finding\n"
            "doctor._QUIET = (\n"
            "                 lambda machine: finding.Finding('CPUs', 'problem', 'one', 'cross is empty', 'a second'),\n"
            "                 lambda machine: finding.Finding('turbo', 'note', 'on', 'heat'))\n", encoding="utf-8")
        return folder


class Words(unittest.TestCase):
    def test_a_remedy_stays_in_one_piece(self):
        remedy = "sudo " + "x" * 200
        lines = doctor._paragraph(Finding("a", WARNING, "b " * 80, "c", remedy)).splitlines()
        self.assertEqual(lines[-1], " " * 9 + "> " + remedy)
        self.assertTrue(all(len(line) <= 110 for line in lines[:-1]))

    def test_the_verdict_counts(self):
        found = [Finding("a", level, "b") for level in (PROBLEM, NOTE, NOTE, OK)]
        self.assertEqual(doctor._verdict(found), "not fit to measure: 1 problem, 0 warnings, 2 notes, 1 fine")
        self.assertTrue(doctor._verdict(found[1:]).startswith("fit to measure: 0 problems"))


if __name__ == "__main__":
    unittest.main()
