import unittest
import unittest.mock

import support
from crucible_lib import capabilities, deaths, fairness, markdown, results, summary, surroundings, tables, text
from made_up import cell, failed, KEPT, results as made


class Amounts(unittest.TestCase):
    def test_digits_are_three_without_exponents(self):
        self.assertEqual([text.significant(v) for v in (1.8, 0.98, 12.34, 123.4, 999.7, 12345.6, 0.00751, 0, 2e-9)],
                         ["1.80", "0.980", "12.3", "123", "1,000", "12,346", "0.0075", "0", "0"])

    def test_memory_is_exact_where_it_is_round(self):
        self.assertEqual([text.amount(v) for v in (0, 8, 32000, 1 << 20, 524160, (1 << 32) - 16, 25276502016, 98304.5)],
                         ["0 B", "8 B", "32,000 B", "1 MiB", "512 KiB", "4.00 GiB", "23.5 GiB", "96.0 KiB"])


class Deaths(unittest.TestCase):
    METRICS = {"notice_p50_ns": 120e3, "notice_max_ns": 2e6, "sent": 5000, "received_after_death": 12, "lost": 3,
               "left_over": 0, "samples": 50}

    def test_figures_stand_beside_what_is_declared(self):
        document = made([cell("shm_ring", 1, workload="death", wait="adaptive", metrics=self.METRICS)])
        document["mechanisms"] = {"shm_ring": support.mechanism_row("shm_ring")}
        heads, (row,) = deaths.death_table(document)
        found = dict(zip(heads, row.cells))
        self.assertEqual((found["lost"], found["noticed after: p50"], found["kills"]), ("3", "120 µs", "50"))
        self.assertEqual(found["any process may be killed"], "yes")
        self.assertEqual(found["declared: sent outlives its sender"], "–")
        self.assertTrue(row.valid)

    def test_a_failed_mechanism_has_no_valid_row(self):
        document = made([cell("a", 1, workload="death", metrics=self.METRICS)], a=failed())
        self.assertFalse(deaths.death_table(document)[1][0].valid)

    def test_load_and_memory_are_shown_when_present(self):
        document = made([cell("a", 1, workload="load", metrics={"sustainable_per_s": 5e4, "latency_p99_ns": 9e4}),
                         cell("a", 1, workload="memory", metrics={"memory_bytes_per_connection": 98304.5})])
        self.assertEqual(deaths.load_table(document)[1][0].cells[4:], ["50.0 k/s", "-", "90.0 µs"])
        heads, (row,) = deaths.memory_table(document)
        self.assertEqual(dict(zip(heads, row.cells))["per connection"], "96.0 KiB")

    def test_nothing_measured_gives_no_rows(self):
        document = made([cell("a", 1)])
        self.assertEqual([make(document)[1] for make in (deaths.death_table, deaths.load_table, deaths.memory_table)],
                         [[], [], []])


class Wide(unittest.TestCase):
    def test_a_wide_table_becomes_narrow_ones_without_empty_rows(self):
        rows = [summary.Row("a", ["a", "1", "2", "-"], True), summary.Row("b", ["b", "-", "-", "3"], True)]
        parts = tables.split(["name", "x", "y", "z"], rows, fixed=1, most=2)
        self.assertEqual([(heads, [row.cells for row in told]) for heads, told in parts],
                         [(["name", "x", "y"], [["a", "1", "2"]]), (["name", "z"], [["b", "3"]])])

    def test_a_manager_stands_beside_its_peers(self):
        heads, rows = tables.manager_table(results.read(support.EXAMPLE))
        names = [row.cells[0] for row in rows]
        self.assertEqual({len(row.cells) for row in rows}, {len(heads)})
        self.assertIn("shm_ring", names)
        self.assertLessEqual({"cpython (peer)", "redis (peer)"}, set(names))


class Clauses(unittest.TestCase):
    def test_a_page_tells_what_was_asked_and_what_happened(self):
        entry = failed(message="pipe_test.cc:12\nexpected end of file")
        entry["failures"].append({"clause": "Pipe.Other", "test": "Pipe.Other", "message": "of no clause"})
        document = made([cell("a", 1)], a=entry)
        (page,) = capabilities.clause_pages(document)
        self.assertEqual((page["clause"]["id"], page["worst"], page["by"]), ("P6", "failed", "failed by a"))
        self.assertEqual(page["told"], [{"subject": "a", "verdict": "failed",
                                         "happened": [("Pipe.P6_X/it", "pipe_test.cc:12\nexpected end of file")]}])

    def test_a_skip_names_the_capability_and_the_variants(self):
        skipped = {**KEPT, "clauses": {"P1": "passed", "P19": "skipped"},
                   "skipped": [{"clause": "P19", "capability": "zero_copy", "reason": "a does not declare it",
                                "variants": "default, named"}]}
        (page,) = capabilities.clause_pages(made([cell("a", 1)], a=skipped))
        self.assertEqual(page["told"][0]["happened"], [("default, named", "a does not declare zero_copy")])

    def test_failures_come_first_and_what_was_not_run_says_so(self):
        entry = {**failed(), "clauses": {"P1": "not run", "P6": "failed"}, "not_run": ["P1"]}
        pages = capabilities.clause_pages(made([cell("a", 1)], a=entry))
        self.assertEqual([page["clause"]["id"] for page in pages], ["P6", "P1"])
        self.assertIn("no test of it was chosen", pages[1]["told"][0]["happened"][0][1])

    def test_where_all_was_passed_there_is_no_page(self):
        self.assertEqual(capabilities.clause_pages(made([cell("a", 1)])), [])


class Capabilities(unittest.TestCase):
    DOCUMENT = {"mechanisms": {"shm_ring": support.mechanism_row("shm_ring")},
                "conformance": {"shm_ring, native queue": {"variants": ["default", "spin"]},
                                "shm_ring": {"variants": ["default"]}}}

    def test_each_form_of_a_queue_has_its_line(self):
        heads, rows = capabilities.form_table(self.DOCUMENT, "queue")
        self.assertEqual([line[:2] for line in rows], [["shm_ring", "native"], ["shm_ring", "composed"]])
        native = dict(zip(heads, rows[0]))
        self.assertEqual((native["one order for all producers"], native["never full"]), ("●", "–"))
        self.assertEqual((native["waits, default first"], native["tested"]), ("adaptive, spin, block", "default, spin"))

    def test_pools_and_managers_have_theirs(self):
        for primitive in ("pool", "manager"):
            heads, rows = capabilities.form_table(self.DOCUMENT, primitive)
            self.assertEqual([line[:2] for line in rows], [["shm_ring", "composed"]])
            self.assertEqual(dict(zip(heads, rows[0]))["tested"], "default")


class Fairness(unittest.TestCase):
    def test_what_all_share_is_said_once(self):
        document = made([cell("a", 1, fairness={"copies": 2, "storage_bytes": 32768}),
                         cell("b", 1, fairness={"copies": 2, "storage_bytes": 65536, "read_ahead": True})])
        (sheet,) = fairness.sheets(document)
        self.assertEqual(sheet["common"], [("copies", "2")])
        self.assertEqual((sheet["heads"], sheet["rows"]),
                         (["name", "read ahead", "storage bytes"], [["a", "–", "32 KiB"], ["b", "yes", "64 KiB"]]))

    def test_workloads_with_one_sheet_stand_together_and_limits_apart(self):
        sheet = {"copies": 2}
        document = made([cell("a", 1, fairness=sheet), cell("a", 1, workload="one_way", fairness=sheet),
                         {**cell("raw", 1, fairness={"checks": "none"}), "role": "limit"}])
        self.assertEqual([(s["side"], s["workloads"]) for s in fairness.sheets(document)],
                         [("what is compared", ["round trip", "one way"]), ("limits", ["round trip"])])


class Surroundings(unittest.TestCase):
    def environment(self, **cpu):
        found = made([])["environment"]
        found["cpu"].update(cpu)
        return found

    def test_a_quiet_machine_gives_no_finding(self):
        self.assertEqual(surroundings.findings(self.environment()), [])

    def test_each_trouble_is_told_of(self):
        found = self.environment(hypervisor_flag=True, governor="powersave")
        found.update(cgroup_cpu_quota="1.5 CPUs")
        found["load"].update(steal_time="3.10 %", load_before="1.8 1 1")
        said = "\n".join(surroundings.findings(found))
        for words in ("virtual machine", "3.10 %", "1.8 on 2 CPUs", "powersave", "1.5 CPUs"):
            self.assertIn(words, said)

    def test_what_was_examined_before_the_run_is_told_instead(self):
        found = self.environment(hypervisor_flag=True)
        found["findings"] = [{"check": "pipes", "level": "warning", "found": "64 KiB", "why": "large messages wait",
                              "remedy": "sysctl fs.pipe-max-size=1048576"}]
        self.assertEqual(surroundings.findings(found), ["Warning, pipes: 64 KiB; large messages wait. Remedy: sysctl "
                                                        "fs.pipe-max-size=1048576"])
        self.assertNotIn("findings", dict(surroundings.lines(found)))

    def test_mitigations_are_grouped(self):
        known = {"a_b": "Not affected", "c": "Not affected", "d": "Mitigated"}
        found = dict(surroundings.lines({"cpu": {"mitigations": known}}))
        self.assertEqual(found, {"mitigations of 2": "Not affected: a b, c", "mitigations: d": "Mitigated"})


class Markdown(unittest.TestCase):
    def test_it_fits_a_comment_and_says_what_was_left_out(self):
        document = results.read(support.EXAMPLE)
        self.assertLess(len(markdown.render(document).encode()), markdown.MOST_BYTES)
        self.assertNotIn("Left out", markdown.render(document))
        with unittest.mock.patch.object(markdown, "MOST_BYTES", 15_000):
            content = markdown.render(document)
        self.assertLess(len(content.encode()), 15_000)
        self.assertRegex(content, "Left out for length, and in the report: .*Locks")
        self.assertEqual(content.count("<details>"), content.count("</details>"))

    def test_links_are_relative(self):
        content = markdown.render(results.read(support.EXAMPLE), [("overview", "How long?")])
        self.assertIn("[How long?](charts/overview.svg)", content)
        self.assertNotRegex(content, r"\]\((/|\w+:)")

    def test_what_failed_is_told_of_in_the_open(self):
        content = markdown.render(made([cell("a", 1), cell("b", 5)], a=failed()))
        self.assertIn("- a failed P6: no figure", content.split("<details>")[0])
        self.assertIn("| P6 | MUST | ✗ | ● |", content)

    def test_what_came_from_outside_is_no_markup(self):
        document = made([cell("a", 1)])
        document["environment"]["cpu"]["model"] = "<img src=x>"
        self.assertNotIn("<img", markdown.render(document))

    def test_death_stands_in_the_open(self):
        content = markdown.render(made([cell("a", 1, workload="death", metrics=Deaths.METRICS)]))
        self.assertIn("What a peer's death does", content.split("<details>")[0])


if __name__ == "__main__":
    unittest.main()
