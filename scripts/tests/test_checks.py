import contextlib
import io
import pathlib
import tempfile
import unittest

import support  # noqa: F401  (sets the path)
import check_clauses
import check_layers
import check_readme


class Tree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, path, *lines):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run_check(self, check):
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = check.main([str(self.root)])
        return status, output.getvalue().splitlines()


class Layers(Tree):
    def setUp(self):
        super().setUp()
        self.write("impl/CMakeLists.txt", "crucible_mechanism(posix_pipe P)", "crucible_mechanism(unix_socket U)")
        for path in ("api/status.h", "core/fd.h", "compose/queue.h", "posix_pipe/mechanism.h", "unix_socket/frame.h"):
            self.write(f"impl/{path}", "#pragma once")

    def assert_one(self, path, include, words):
        self.write(path, "", f"#include {include}")
        status, lines = self.run_check(check_layers)
        self.assertEqual((status, len(lines)), (1, 1), lines)
        self.assertTrue(lines[0].startswith(f"{path}:2: "), lines)
        self.assertIn(words, lines[0])

    def test_a_sound_tree_passes(self):
        self.write("impl/core/wait.cc", '#include "api/status.h"', "#include <poll.h>")
        self.write("impl/posix_pipe/connection.cc", '#include "mechanism.h"', '#include "compose/queue.h"')
        self.write("impl/mechanisms.cc.in", '#include "mechanisms.h"', '#include "posix_pipe/mechanism.h"')
        self.write("bench/pipe_bench.cc", '#include "mechanisms.h"', '#include "core/fd.h"')
        self.write("conformance/pipe_test.cc", '#include "api/status.h"')
        self.assertEqual(self.run_check(check_layers), (0, []))

    def test_api_knows_only_itself_std_and_messagepack(self):
        self.assert_one("impl/api/queue.h", '"core/fd.h"', "api may include only api")

    def test_api_knows_no_other_library(self):
        self.assert_one("impl/api/queue.h", "<boost/interprocess/mapped_region.hpp>", "std and MessagePack")

    def test_core_does_not_know_compose(self):
        self.assert_one("impl/core/wait.cc", '"compose/queue.h"', "core may include only")

    def test_core_does_not_know_mechanisms(self):
        self.assert_one("impl/core/wait.cc", '"posix_pipe/mechanism.h"', "must not know the mechanism posix_pipe")

    def test_a_mechanism_does_not_know_another(self):
        self.assert_one("impl/posix_pipe/connection.cc", '"unix_socket/frame.h"',
                        "mechanism:posix_pipe must not know the mechanism unix_socket")

    def test_one_folder_may_bring_several_mechanisms(self):
        self.write("impl/CMakeLists.txt", "crucible_mechanism(posix_pipe P)", "crucible_mechanism(zeromq Ipc Tcp)",
                   "crucible_mechanism(zeromq Tcp)")
        self.write("impl/zeromq/mechanism.h", '#include "zeromq/connection.h"', "#include <zmq.hpp>")
        self.write("impl/zeromq/connection.h", '#include "core/fd.h"')
        self.assertEqual(self.run_check(check_layers), (0, []))

    def test_a_mechanism_in_a_shared_folder_is_as_private(self):
        self.write("impl/CMakeLists.txt", "crucible_mechanism(posix_pipe P)", "crucible_mechanism(zeromq Ipc)")
        self.write("impl/zeromq/mechanism.h", "")
        self.assert_one("impl/posix_pipe/connection.cc", '"zeromq/mechanism.h"', "must not know the mechanism zeromq")

    def test_a_detour_by_relative_path_is_seen(self):
        self.assert_one("impl/posix_pipe/connection.cc", '"../unix_socket/frame.h"', "unix_socket")

    def test_conformance_reaches_mechanisms_through_the_table_only(self):
        self.assert_one("conformance/pipe_test.cc", '"posix_pipe/mechanism.h"', "must not know the mechanism")

    def test_conformance_does_not_use_the_list_of_types(self):
        self.assert_one("conformance/pipe_test.cc", '"mechanisms.h"', "only bench")

    def test_bench_names_no_mechanism(self):
        self.assert_one("bench/pipe_bench.cc", '"unix_socket/frame.h"', "bench must not know")

    def test_what_is_no_source_tree_is_wrong_usage(self):
        self.root = self.root / "impl"
        self.assertEqual(self.run_check(check_layers)[0], 2)


class Clauses(Tree):
    def setUp(self):
        super().setUp()
        self.write("conformance/SPEC.md", "**P1** MUST — a", "", "**P2** MAY(pollable) — b", "",
                   "**P3** no counterpart — c")
        self.write("conformance/pipe_test.cc", "TEST_P(Pipe, P1_Arrives) {}", "TEST_F(PipeWait,", "       P2_Polls) {}")

    def test_a_sound_suite_passes(self):
        self.assertEqual(self.run_check(check_clauses), (0, []))

    def assert_fault(self, line):
        self.assertEqual(self.run_check(check_clauses), (1, [line]))

    def test_a_clause_needs_a_test(self):
        self.write("conformance/pipe_test.cc", "TEST_P(Pipe, P1_Arrives) {}")
        self.assert_fault("conformance/SPEC.md:3: P2 has no test")

    def test_a_test_needs_an_existing_clause(self):
        self.write("conformance/wait_test.cc", "", "TEST(Wait, P9_Waits) {}")
        self.assert_fault("conformance/wait_test.cc:2: Wait.P9_Waits belongs to P9, which SPEC.md does not have")

    def test_a_test_needs_an_id(self):
        self.write("conformance/wait_test.cc", "TEST(Wait, Waits) {}")
        self.assert_fault("conformance/wait_test.cc:1: Wait.Waits does not begin with the id of a clause")

    def test_what_has_no_counterpart_has_no_test(self):
        self.write("conformance/wait_test.cc", "TEST(Wait, P3_Waits) {}")
        self.assert_fault("conformance/wait_test.cc:1: Wait.P3_Waits belongs to P3, which has no counterpart")

    def test_an_id_is_given_once(self):
        self.write("conformance/SPEC.md", "**P1** MUST — a", "", "**P2** MUST — b", "", "**P1** MUST — again")
        self.assert_fault("conformance/SPEC.md:5: P1 was given before, in line 1")

    def test_tools_and_the_reviewed_table_need_no_clause(self):
        self.write("conformance/support_test.cc", "TEST(Watchdog, Bites) {}")
        self.write("conformance/capabilities_test.cc", "TEST(Capabilities, AreAsReviewed) {}")
        self.assertEqual(self.run_check(check_clauses), (0, []))


class Readme(Tree):
    def setUp(self):
        super().setUp()
        self.write("conformance/examples/pipe.cc", "int main() {", "}")

    def test_an_example_is_shown_as_it_is_compiled(self):
        self.write("README.md", "# Crucible", "```cpp", "int main() {", "}", "```")
        self.assertEqual(self.run_check(check_readme), (0, []))

    def test_an_example_that_nobody_compiles_is_found(self):
        self.write("README.md", "```cpp", "int main() {", "}", "```", "", "```cpp", "int main() {}", "```")
        self.assertEqual(self.run_check(check_readme),
                         (1, ["README.md:7: this example is not one of conformance/examples"]))

    def test_an_example_that_nobody_sees_is_found(self):
        self.write("README.md", "# Crucible")
        self.assertEqual(self.run_check(check_readme),
                         (1, ["conformance/examples/pipe.cc:1: README.md does not show this example"]))

    def test_a_message_that_nothing_says_is_found(self):
        self.write("impl/core/lock.cc", 'throw StateError("the door is shut: " + name);')
        self.write("README.md", "```cpp", "int main() {", "}", "```", "## When something is in the way", "",
                   "| `the door is shut` | open it |", "| `the door is open` | `shut` it |", "## Tests")
        self.assertEqual(self.run_check(check_readme), (1, ["README.md:8: nothing says 'the door is open'"]))

    def test_a_counterpart_that_no_header_has_is_found(self):
        self.write("README.md", "```cpp", "int main() {", "}", "```")
        self.write("impl/core/lock.h", "class Lock { void acquire(); };")
        self.write("impl/README.md", "| Python | here | different |", "| --- | --- | --- |",
                   "| `mp.Lock()` | `Lock`, `acquire()` | `mp.Nothing` |", "| `x` | `obtain()` | |")
        self.assertEqual(self.run_check(check_readme), (1, ["impl/README.md:4: no header has 'obtain'"]))


if __name__ == "__main__":
    unittest.main()
