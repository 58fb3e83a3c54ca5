"""What bash offers at Tab, asked of a bash that has loaded the function."""
import argparse
import contextlib
import io
import pathlib
import re
import subprocess
import unittest

import support
from crucible_lib import cli, completion

# Bash makes words of '=' by itself, hence the word list is given as bash would have it.
_ASK = r"""
source <("$1" completion bash)
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_crucible "$1" "${COMP_WORDS[COMP_CWORD]}" ""
printf '%s\n' "${COMPREPLY[@]}"
"""


class Bash(support.TreeCase):
    def offered(self, *words):
        program = str(self.root / "scripts" / "crucible")
        done = subprocess.run(["bash", "--norc", "-c", _ASK, "bash", program, program, *words], capture_output=True,
                              text=True, timeout=60, cwd=self.root, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_sub_commands(self):
        offered = self.offered("")
        for name in ("run", "test", "report", "list", "doctor", "completion"):
            self.assertIn(name, offered)
        self.assertEqual(self.offered("doc"), ["doctor"])

    def test_options_of_a_sub_command(self):
        self.assertEqual(self.offered("doctor", "--"), ["--help", "--all", "--json", "--clean", "--build-dir"])
        self.assertEqual(self.offered("run", "quick", "--dr"), ["--dry-run"])

    def test_values(self):
        self.assertEqual(self.offered("run", ""), ["smoke", "quick", "full"])
        self.assertEqual(self.offered("list", "w"), ["workloads"])
        self.assertEqual(self.offered("run", "--only", "unix"), ["unix_socket"])
        self.assertEqual(self.offered("run", "--only", "=", "unix"), ["unix_socket"])
        self.assertEqual(self.offered("run", "--host", ""), [])
        self.assertIn("8,64K", self.offered("run", "--sizes", "8,6"))

    def test_run_folders(self):
        for name in ("one", "two"):
            (self.root / "results" / name).mkdir(parents=True)
            (self.root / "results" / name / "results.json").touch()
        (self.root / "results" / "three").mkdir()
        self.assertEqual(self.offered("report", ""), ["results/one", "results/two"])
        self.assertEqual(self.offered("report", "results/th"), ["results/three/"])
        self.assertEqual(self.offered("run", "--out", "res"), ["results/"])


class Parsers(unittest.TestCase):
    """What another parser offers: the words come from nowhere but the parser."""

    def setUp(self):
        self.parser = argparse.ArgumentParser()
        command = self.parser.add_subparsers().add_parser("compare")
        command.add_argument("runs", nargs=2, type=pathlib.Path, metavar=("A", "B"))
        command.add_argument("level", nargs="?", choices=["low", "high"])
        command.add_argument("--need", metavar="LIST").completer = completion.listed(["unrelated", "survives-kill"])
        command.add_argument("--pair", nargs=2, choices=["x", "y"])
        command.add_argument("--strict", action="store_true")

    def offered(self, *words):
        return completion.offered(self.parser, list(words[:-1]), words[-1])

    def test_every_sub_command_and_option_that_there_is(self):
        main = cli.make_parser()
        names = completion.offered(main, [], "")
        self.assertEqual(names, re.findall(r"(?m)^    ([a-z]+)(?: |$)", main.format_help()))
        for name in names:
            with self.assertRaises(SystemExit) as refused, contextlib.redirect_stdout(io.StringIO()) as shown:
                main.parse_args([name, "--help"])
            self.assertEqual(refused.exception.code, 0)
            named = set(re.findall(r"--[a-z][a-z-]*", shown.getvalue().partition("options:")[2].partition("\n\n")[0]))
            self.assertLessEqual(set(completion.offered(main, [name], "--")), named, name)
            self.assertTrue(named, name)

    def test_positional_words_are_counted(self):
        self.assertEqual(self.offered("compare", "a", "b", ""), ["low", "high"])
        self.assertEqual(self.offered("compare", "--strict", "a", "--need", "x", "b", "h"), ["high"])
        self.assertEqual(self.offered("compare", "a", "b", "low", ""), [])

    def test_lists_with_commas(self):
        self.assertEqual(self.offered("compare", "--need", ""), ["unrelated", "survives-kill"])
        self.assertEqual(self.offered("compare", "--need", "unrelated,"), ["unrelated,survives-kill"])

    def test_options_with_several_values(self):
        self.assertEqual(self.offered("compare", "--pair", "x", ""), ["x", "y"])
        self.assertIn("--strict", self.offered("compare", "--pair", "x", "y", "--s"))
        self.assertEqual(self.offered("compare", "--need=unrelated", "a", "b", "l"), ["low"])


class Words(support.TreeCase):
    def test_without_an_index_it_is_wrong_usage(self):
        self.assertEqual(self.crucible("completion", "words").returncode, 2)
        self.assertEqual(self.crucible("completion", "words", "x").returncode, 2)
        self.assertEqual(self.crucible("completion", "fish").returncode, 2)


if __name__ == "__main__":
    unittest.main()
