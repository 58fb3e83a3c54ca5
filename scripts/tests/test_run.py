import gzip
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import support
from crucible_lib import child

QUIET = ("--no-build", "--host", "tested", "--out", "out")


class Finished(unittest.TestCase):
    """A run folder that several tests look at."""

    @classmethod
    def run_once(cls, *options, **environment):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.root = pathlib.Path(folder.name)
        support.make_tree(cls.root)
        with open(cls.root / "impl/CMakeLists.txt", "a", encoding="utf-8") as listing:
            listing.write("crucible_mechanism(nng N)\n")
        (cls.root / "build/release/crucible-build.log").write_text("-- Mechanism nng is off: nng was not found\n")
        cls.done = support.crucible(cls.root, "run", "smoke", *QUIET, *options, **environment)
        cls.results = json.loads((cls.root / "out" / "results.json").read_text(encoding="utf-8"))


class GoodRun(Finished):
    @classmethod
    def setUpClass(cls):
        cls.run_once(GIT_DIR="/nowhere")

    def test_leaves_everything_that_it_promises(self):
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        out = self.root / "out"
        for path in ("report.html", "results.json", "summary.md", "raw/records.jsonl.gz",
                     "raw/google_benchmark.jsonl.gz", "raw/conformance/codec_test.xml.gz", "charts/overview.svg",
                     "charts/overview.png"):
            self.assertGreater((out / path).stat().st_size, 0, path)
        self.assertEqual([p for p in (out / "raw").rglob("*") if p.is_file() and p.suffix != ".gz"], [])

    def test_ends_with_the_headline_and_the_path(self):
        lines = self.done.stdout.splitlines()
        self.assertTrue(lines[0].startswith("mechanism"), lines)
        self.assertEqual(lines[-1], "out/report.html")

    def test_without_git_the_commit_is_unknown(self):
        environment = self.results["environment"]
        self.assertEqual((environment["commit"], environment["dirty"]), ("unknown", None))

    def test_what_cmake_left_out_says_why(self):
        reasons = {r["not_measured"] for r in self.results["records"] if r["name"] == "nng"}
        self.assertEqual(reasons, {"not built: nng was not found"})


class TroubledRun(Finished):
    @classmethod
    def setUpClass(cls):
        cls.run_once("--only", "round_trip", FAKE_BREAK="posix_pipe/64/cross",
                     FAKE_FAIL="P6_BufferedMessagesThenEndOfFile/unix_socket")

    def test_fails(self):
        self.assertEqual(self.done.returncode, 1)

    def test_a_failed_clause_marks_the_numbers(self):
        self.assertEqual(self.results["conformance"]["unix_socket"]["failed"], ["P6"])
        self.assertIn("1/2, FAILED", self.done.stdout)
        self.assertIn("unix_socket failed P6.", (self.root / "out" / "report.html").read_text(encoding="utf-8"))

    def test_every_planned_cell_is_there_with_its_reason(self):
        planned = support.crucible(self.root, "run", "smoke", "--dry-run").stdout.splitlines()[:-1]
        reasons = {r["case"]: r.get("not_measured") for r in self.results["records"] if r["role"] == "mechanism"}
        self.assertEqual(sorted(reasons), sorted(line.split()[0] for line in planned))
        self.assertEqual(reasons["pipe/one_way/posix_pipe/64/cross/kernel/direct/native"], "left out by --only")
        self.assertIn("message 7 arrived changed", reasons["pipe/round_trip/posix_pipe/64/cross/kernel/direct/native"])
        self.assertIsNone(reasons["pipe/round_trip/unix_socket/64/cross/kernel/direct/native"])

    def test_nothing_names_the_folders_of_this_machine(self):
        for path in (self.root / "out").rglob("*"):
            if path.is_file():
                content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
                self.assertNotIn(str(self.root).encode(), content, path)
                self.assertNotIn(b"secret", content, path)


class Refused(support.TreeCase):
    def test_a_debug_build_is_refused(self):
        (self.root / "build/release/CMakeCache.txt").write_text("CMAKE_BUILD_TYPE:STRING=Debug\n")
        done = self.crucible("run", "smoke", *QUIET)
        self.assertEqual(done.returncode, 2)
        self.assertIn("Debug would mislead", done.stderr)
        self.assertFalse((self.root / "out").exists())

    def test_a_folder_with_something_in_it_is_not_written_to(self):
        (self.root / "out").mkdir()
        (self.root / "out" / "precious").touch()
        self.assertEqual(self.crucible("run", "smoke", *QUIET).returncode, 2)

    def test_a_folder_may_bring_several_mechanisms(self):
        (self.root / "impl/CMakeLists.txt").write_text("crucible_mechanism(zeromq Z)\n")
        support.write_table(self.root, ["zeromq_ipc", "zeromq_tcp"])
        self.assertEqual(self.crucible("list", "mechanisms").stdout.split(), ["zeromq_ipc", "zeromq_tcp"])

    def test_what_was_not_built_is_known_by_the_reviewed_table(self):
        (self.root / "impl/CMakeLists.txt").write_text("crucible_mechanism(posix_pipe P)\n"
                                                       "crucible_mechanism(zeromq Z)\n")
        (self.root / "conformance/capabilities.json").write_text('{"zeromq_ipc": {}, "zeromq_tcp": {}, "nng": {}}')
        support.write_table(self.root, ["posix_pipe"])
        self.assertEqual(self.crucible("list", "mechanisms").stdout.split(), ["posix_pipe", "zeromq_ipc", "zeromq_tcp"])


class Vanished(support.TreeCase):
    def test_a_case_that_a_built_mechanism_lost_fails_the_run(self):
        support.write_table(self.root, ["posix_pipe", "unix_socket", "tcp_socket"])
        done = self.crucible("run", "smoke", "--only", "round_trip/tcp_socket", *QUIET)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("pipe_bench has no such case", done.stderr)


class Interrupted(support.TreeCase):
    def interrupt(self, number):
        process = subprocess.Popen(support.command(self.root, "run", "smoke", *QUIET), cwd=self.root, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**os.environ, "FAKE_SLOW": "0.2"})
        for line in process.stderr:
            if line.startswith("[ 4/"):
                break
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def test_what_was_measured_until_then_is_kept(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                status, output = self.interrupt(number)
                self.assertEqual(status, 130)
                self.assertTrue(output.endswith("out/report.html\n"), output)
                results = json.loads((self.root / "out" / "results.json").read_text(encoding="utf-8"))
                cells = [r for r in results["records"] if r["role"] == "mechanism"]
                measured = [r for r in cells if "metrics" in r]
                self.assertTrue(results["run"]["interrupted"])
                self.assertGreaterEqual(len(measured), 3)
                self.assertEqual({r["not_measured"] for r in cells if r not in measured}, {"interrupted"})
                page = (self.root / "out" / "report.html").read_text(encoding="utf-8")
                self.assertIn("This run was interrupted", page)
                subprocess.run(["rm", "-r", str(self.root / "out")], check=True)


class Child(unittest.TestCase):
    """What is started is ended, with whatever it has started itself."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_shell(self, script, timeout_s):
        return child.run(["/bin/sh", "-c", script], self.folder / "log", timeout_s, tick_s=0.05)

    def test_status_and_signal(self):
        self.assertEqual(self.run_shell("exit 7", 10).describe(), "exit status 7")
        self.assertEqual(self.run_shell("kill -9 $$", 10).describe(), "signal 9")

    def test_a_time_limit_ends_the_whole_group(self):
        started = time.monotonic()
        ended = self.run_shell(f"trap '' TERM; sleep 60 & echo $! > {self.folder}/pid; wait; sleep 60", 0.3)
        self.assertTrue(ended.timed_out)
        self.assertLess(time.monotonic() - started, 10)
        self.assert_gone(int((self.folder / "pid").read_text()))

    def test_what_a_program_leaves_behind_ends_with_it(self):
        self.run_shell(f"sleep 60 & echo $! > {self.folder}/pid", 10)
        self.assert_gone(int((self.folder / "pid").read_text()))

    def both_ends_of_a_fifo(self, at_once, timeout_s):
        """How a writer and a reader ended, which need each other to get on."""
        os.mkfifo(self.folder / "fifo")
        scripts = (f"echo $WORD > {self.folder}/fifo; exit 3", f"read word < {self.folder}/fifo; test $word = hello")
        return child.run_all([child.Command(["/bin/sh", "-c", script], self.folder / f"log{number}", {"WORD": "hello"})
                              for number, script in enumerate(scripts)], at_once, timeout_s, tick_s=0.05)

    def test_several_run_side_by_side_and_are_told_of_in_order(self):
        self.assertEqual([ended.status for ended in self.both_ends_of_a_fifo(2, 20)], [3, 0])

    def test_no_more_run_at_a_time_than_asked(self):
        self.assertEqual([ended.timed_out for ended in self.both_ends_of_a_fifo(1, 0.3)], [True, True])

    def test_an_interrupt_ends_all_that_run(self):
        def interrupt():
            if all((self.folder / f"pid{number}").exists() for number in range(3)):
                raise KeyboardInterrupt
        script = f"cd {self.folder}; echo $$ > part$NUMBER && mv part$NUMBER pid$NUMBER; sleep 60"
        commands = [child.Command(["/bin/sh", "-c", script], self.folder / "log", {"NUMBER": str(number)})
                    for number in range(3)]
        with self.assertRaises(KeyboardInterrupt):
            child.run_all(commands, 3, 30, interrupt, tick_s=0.02)
        for number in range(3):
            self.assert_gone(int((self.folder / f"pid{number}").read_text()))

    def assert_gone(self, pid):
        """Gone, or a zombie that only waits for whoever adopted it."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                return
            if state == "Z":
                return
            time.sleep(0.02)
        self.fail(f"process {pid} is still there")


class Usage(support.TreeCase):
    def test_every_help_names_its_exit_status(self):
        for words in ([], ["run"], ["test"], ["report"], ["list"]):
            done = self.crucible(*words, "--help")
            self.assertEqual(done.returncode, 0)
            self.assertIn("Exit status", done.stdout)

    def test_wrong_usage_is_2(self):
        for words in ([], ["measure"], ["run", "slow"], ["run", "--sizes", "4X"], ["run", "--only", "("],
                      ["run", "--only", "no such case", "--dry-run"], ["report", "nowhere"]):
            done = self.crucible(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertNotIn("Traceback", done.stderr)

    def test_a_dry_run_says_how_long_and_does_nothing(self):
        done = self.crucible("run", "full", "--dry-run", "--sizes", "64")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout.splitlines()[-1],
                         r"^\d+ cases in .*, after .* of conformance: .* once it is built$")
        self.assertFalse((self.root / "results").exists())

    def test_list_works_without_a_build(self):
        subprocess.run(["rm", "-r", str(self.root / "build")], check=True)
        listed = self.crucible("list", "cases").stdout.split()
        self.assertIn("pipe/round_trip/posix_pipe/64/cross/kernel/direct/native", listed)


class MissingPackages(support.TreeCase):
    def test_an_interpreter_without_the_modules_gives_one_line_and_3(self):
        script = ("import sys; sys.path.insert(0, 'scripts'); from crucible_lib import interpreter as i;"
                  "i.CANDIDATES = [sys.executable]; i.PACKAGES['no_such_module'] = 'python3-no-such'; i.ensure_all()")
        done = subprocess.run([sys.executable, "-c", script], cwd=self.root, capture_output=True, text=True,
                              check=False)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (3, 1))
        self.assertIn("install python3-no-such", done.stderr)

    def launch(self, *words, installed=()):
        """The launcher on a system where dpkg knows only these packages, and nothing can be installed."""
        tools = self.root / "tools"
        tools.mkdir(exist_ok=True)
        (tools / "dpkg-query").write_text(f"#!/bin/sh\nfor p in {' '.join(installed) or '-'}; do\n"
                                          '  case "$*" in *" $p") printf installed; exit 0 ;; esac\ndone\nexit 1\n')
        (tools / "apt-get").write_text("#!/bin/sh\necho touched > ../apt-was-called\nexit 100\n")
        (tools / "ctest").write_text('#!/bin/sh\necho "$@"\n')
        for tool in tools.iterdir():
            tool.chmod(0o755)
        return subprocess.run([str(self.root / "scripts" / "crucible"), *words], capture_output=True, text=True,
                              cwd=tools, env={**os.environ, "PATH": f"{tools}:/usr/bin:/bin"}, check=False)

    def packages(self, *groups):
        lines = (support.SCRIPTS / "packages.txt").read_text(encoding="utf-8").splitlines()
        return [line.split()[1] for line in lines if line.split()[0] in groups]

    def test_no_install_names_what_is_missing(self):
        have = [p for p in self.packages("build", "python") if p not in ("ninja-build", "python3-scipy")]
        done = self.launch("test", "--no-install", installed=have)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (3, 1), done.stderr)
        self.assertTrue(done.stderr.endswith("missing packages: ninja-build python3-scipy\n"), done.stderr)
        self.assertFalse((self.root / "apt-was-called").exists())

    def test_a_failed_installation_is_3(self):
        done = self.launch("run", installed=self.packages("build"))
        self.assertEqual(done.returncode, 3)
        self.assertIn("missing packages: python3 ", done.stderr)

    def test_git_is_never_demanded(self):
        done = self.launch("test", "--no-install", "--no-build", "--", "-R", "Pipe",
                           installed=self.packages("build", "python"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.endswith(" -R Pipe\n"), done.stdout)

    def test_help_and_dry_run_touch_nothing(self):
        for words in (["run", "--help"], ["run", "--dry-run"], ["list"]):
            self.assertEqual(self.launch(*words).returncode, 0, words)
        self.assertFalse((self.root / "apt-was-called").exists())


if __name__ == "__main__":
    unittest.main()
