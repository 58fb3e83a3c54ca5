import html.parser
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree as ElementTree

import fake_bench
import support
from crucible_lib import (capabilities, charts, manager_chart, markdown, queue_chart, rates_chart, ratio_chart, records,
                          report, results, style, summary, sync_chart, tables)


class Page(html.parser.HTMLParser):
    """Collects what a browser would fetch, and the text."""

    def __init__(self, content):
        super().__init__()
        self.links, self.tags, self.text = [], set(), []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data", "srcset")]

    def handle_data(self, data):
        self.text.append(data)


class Example(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.example = results.read(support.EXAMPLE)


class Charts(Example):
    def test_all_are_drawn_in_both_forms(self):
        stems = [stem for stem, _ in charts.draw(self.example, self.folder)]
        self.assertEqual(stems, ["overview", "latency_by_size", "throughput_by_size", "percentile_spectrum",
                                 "latency_under_load", "price", "cpu_per_message", "queue_scaling",
                                 "sync_costs", "rates", "manager_rates", "ratio_to_limit", "conformance"])
        for stem in stems:
            ElementTree.parse(self.folder / "charts" / f"{stem}.svg")
            header = (self.folder / "charts" / f"{stem}.png").read_bytes()[:24]
            width, height = struct.unpack(">II", header[16:])
            self.assertGreater(min(width, height), 300, stem)

    def test_managers_are_drawn_beside_what_others_have(self):
        case = "manager/{}/{}/64/free/kernel/direct/{}"
        lines = [fake_bench.record(case.format(workload, name, form)) for workload in ("dict_get_1", "dict_mixed_4")
                 for name, form in (("unix_socket", "composed"), ("cpython", "native"), ("redis", "native"))]
        self.example["records"] = records.assemble(lines, [])
        self.assertIn("manager_rates", dict(charts.draw(self.example, self.folder)))
        canvas = manager_chart.manager_rates(self.example)
        titles = [axis.get_title(loc="left") for row in canvas.axes for axis in row]
        self.assertEqual(titles, ["Dict, get, 1 client", "Dict, 9 get : 1 set, 4 clients"])
        labels = [label.get_text() for label in canvas.axes[0][0].get_yticklabels()]
        self.assertEqual(len(labels), 3)
        self.assertIn("redis", labels)

    def test_the_same_results_give_the_same_picture(self):
        charts.draw(self.example, self.folder)
        first = (self.folder / "charts" / "overview.svg").read_bytes()
        charts.draw(self.example, self.folder)
        self.assertEqual(first, (self.folder / "charts" / "overview.svg").read_bytes())

    def test_without_data_there_is_no_chart_left(self):
        charts.draw(self.example, self.folder)
        self.example["records"] = [r for r in self.example["records"] if r["workload"] != "one_way"]
        self.assertNotIn("throughput_by_size", dict(charts.draw(self.example, self.folder)))
        self.assertFalse((self.folder / "charts" / "throughput_by_size.svg").exists())

    def test_one_cell_is_enough(self):
        cell = next(r for r in self.example["records"] if "latency_p50_ns" in r.get("metrics", {}))
        self.example["records"] = [cell]
        self.assertIn("overview", dict(charts.draw(self.example, self.folder)))

    def test_nothing_measured_is_no_error(self):
        self.example.update(records=[], conformance={})
        self.assertEqual(charts.draw(self.example, self.folder), [])

    def test_a_stranger_gets_a_style_of_its_own_that_stays(self):
        self.assertEqual(style.of("third_party"), style.of("third_party"))
        self.assertNotIn(style.of("third_party"), style.MECHANISMS.values())
        self.assertEqual(len(set(style.MECHANISMS.values())), 7)

    def test_plot_draws_from_a_folder(self):
        shutil.copy(support.EXAMPLE / "results.json", self.folder)
        done = subprocess.run([sys.executable, str(support.SCRIPTS / "plot.py"), str(self.folder)], capture_output=True,
                              text=True, check=False)
        self.assertEqual((done.returncode, len(done.stdout.splitlines())), (0, len(charts.CHARTS)), done.stderr)

    def test_plot_refuses_what_is_no_run(self):
        for content, status in ((None, 2), ("{", 1), ("{}", 1)):
            if content:
                (self.folder / "results.json").write_text(content)
            done = subprocess.run([sys.executable, str(support.SCRIPTS / "plot.py"), str(self.folder)],
                                  capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, "Traceback" in done.stderr), (status, False), done.stderr)


class Report(Example):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.drawn_in = pathlib.Path(folder.name)
        cls.drawn = charts.draw(results.read(support.EXAMPLE), cls.drawn_in)

    def render(self):
        return report.render(self.example, self.drawn_in, self.drawn).read_text(encoding="utf-8")

    def test_needs_nothing_from_elsewhere(self):
        page = Page(self.render())
        self.assertEqual([link for link in page.links if not link.startswith("#")], [])
        self.assertFalse({"script", "link", "img", "iframe"} & page.tags)
        self.assertNotIn("url(http", "".join(page.text))

    def test_every_inner_link_leads_somewhere(self):
        content = self.render()
        for link in {link for link in Page(content).links if not link.startswith("#")} | {"#headline", "#missing"}:
            self.assertIn(f'id="{link[1:]}"', content)

    def test_every_chart_stands_somewhere(self):
        content = self.render()
        for stem, _ in self.drawn:
            self.assertEqual(content.count(f'<figure id="chart-{stem}">'), 1, stem)

    def test_a_mark_leads_to_what_was_asked_and_what_happened(self):
        content = self.render()
        self.assertIn('<a href="#clause-P19">○</a>', content)
        page = content[content.index('id="clause-P19"'):][:600]
        self.assertIn("descriptors travel beside bytes", page)
        self.assertIn("a byte stream carries none", page)

    def test_no_table_is_wider_than_a_reader(self):
        content = self.render()
        subjects = len(summary.matrix(self.example)[0])
        for head in content.split("<thead>")[1:]:
            head = head.split("</thead>")[0]
            most = 16 if "<th>text</th>" not in head else 3 + subjects
            self.assertLessEqual(head.count("<th"), most, head[:200])

    def test_each_finding_leads_to_its_cells(self):
        content = self.render()
        behind = [link for link in Page(content).links if link.startswith("#pipe/round_trip/")]
        self.assertGreater(len(behind), 10)

    def test_a_failure_is_shown_with_its_message(self):
        entry = self.example["conformance"]["posix_pipe"]
        entry["failed"] += ["P6", "Pipe.No/posix_pipe"]
        entry["clauses"]["P6"] = "failed"
        entry["failures"] += [{"clause": "P6", "test": "Pipe.P6_X/posix_pipe", "message": "no <end> of file"},
                              {"clause": "Pipe.No/posix_pipe", "test": "Pipe.No/posix_pipe", "message": "lost"}]
        content = self.render()
        self.assertIn("<pre>no &lt;end&gt; of file</pre>", content)
        self.assertIn("<pre>lost</pre>", content)
        self.assertIn("P6, MUST: failed by posix_pipe", content)

    def test_says_that_an_example_is_one(self):
        self.assertIn("EXAMPLE with made-up numbers", self.render())

    def test_what_came_from_outside_is_escaped(self):
        self.example["environment"]["cpu"]["model"] = "<script>alert(1)</script>"
        self.assertNotIn("script", Page(self.render()).tags)

    def test_follows_the_readers_dark_mode(self):
        self.assertIn("prefers-color-scheme: dark", self.render())

    def test_shows_what_was_not_measured_and_what_was_skipped(self):
        text = "".join(Page(self.render()).text)
        self.assertIn("unsupported: messages of at most 4194304 bytes", text)
        self.assertIn("a byte stream carries none", text)

    def test_a_failed_mechanism_has_no_plain_row(self):
        entry = self.example["conformance"]["posix_pipe"]
        entry["failed"].append("P6")
        entry["failures"].append({"clause": "P6", "test": "Pipe.P6_X/posix_pipe", "message": "no end of file"})
        content = self.render()
        row = next(part for part in content.split("<tr") if "posix_pipe" in part and "FAILED" in part)
        self.assertTrue(row.startswith(' class="invalid"'), row[:80])

    def test_report_checks_the_ratios_against_the_raw_blocks(self):
        shutil.copytree(support.EXAMPLE, self.folder / "run")
        command = support.command(support.SCRIPTS.parent, "report", str(self.folder / "run"))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"\d+ ratios recomputed from the raw blocks\n$")
        self.assertTrue((self.folder / "run" / "report.html").exists())
        path = self.folder / "run" / "results.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        next(r for r in document["records"] if "ratio_to_limit" in r)["ratio_to_limit"]["median"] = 0.5
        path.write_text(json.dumps(document), encoding="utf-8")
        self.assertEqual(subprocess.run(command, capture_output=True, check=False).returncode, 1)


class RatioChart(Example):
    """Chart 11, by what it puts where."""

    def setUp(self):
        super().setUp()
        self.marks = []
        for name in ("_dot", "_aims"):
            def note(axis, record, y, *_, name=name):
                self.marks.append((name, record, y))
            self.enterContext(unittest.mock.patch.object(ratio_chart, name, note))
        with charts.pyplot.rc_context(style.RC):
            self.canvas = ratio_chart.ratio_to_limit(self.example)
        self.addCleanup(charts.pyplot.close, self.canvas.figure)

    def test_each_ratio_has_a_line_of_its_own(self):
        dots = [(r["workload"], r["placement"], y) for name, r, y in self.marks if name == "_dot"]
        self.assertEqual(len(dots), len(set(dots)))
        expected = [r for r in self.example["records"] if "ratio_to_limit" in r and r["call"] == "direct"
                    and r["workload"] in ("round_trip", "one_way") and r["primitive"] == "pipe"]
        self.assertEqual(len(dots), len(expected))

    def test_what_is_unsupported_is_marked(self):
        crosses = sum(text.get_text() == "×" for axes in self.canvas.axes for axis in axes for text in axis.texts)
        expected = [r for r in self.example["records"] if "unsupported" in r and r["call"] == "direct"
                    and r["workload"] in ("round_trip", "one_way") and r["primitive"] == "pipe"]
        self.assertGreater(crosses, 0)
        self.assertEqual(crosses, len(expected))

    def test_the_targets_are_those_of_the_strategy_and_placement(self):
        held = [(target["id"], y) for name, target, y in self.marks if name == "_aims" and target]
        self.assertLessEqual({"R1", "R3", "R4", "T1", "K1", "K2"}, {identifier for identifier, _ in held})


class QueueChart(Example):
    """Chart 8."""

    def canvas(self):
        with charts.pyplot.rc_context(style.RC):
            canvas = queue_chart.scaling(self.example)
        self.addCleanup(charts.pyplot.close, canvas.figure)
        return canvas

    def test_a_column_per_form_and_a_line_per_mechanism(self):
        native, composed = self.canvas().axes[0]
        lines = [sum(len(line.get_xdata()) == 4 for line in axis.lines) for axis in (native, composed)]
        self.assertEqual(lines, [4 + 2, 4 + 2])  # of mechanisms and peers

    def test_without_queues_there_is_none(self):
        self.example["records"] = [r for r in self.example["records"] if r["primitive"] != "queue"]
        self.assertIsNone(queue_chart.scaling(self.example))

    def test_one_pair_is_enough(self):
        self.example["records"] = [r for r in self.example["records"] if r["primitive"] != "queue"
                                   or r["workload"] == "one_way_1x1" and r["name"] == "unix_socket"]
        self.assertEqual(len(self.canvas().axes), 2)  # 64 B and 1 MiB


class RatesChart(Example):
    def test_rivals_stand_in_the_order_of_their_rates_among_the_mechanisms(self):
        with charts.pyplot.rc_context(style.RC):
            canvas = rates_chart.rates(self.example)
        self.addCleanup(charts.pyplot.close, canvas.figure)
        for axis in canvas.axes[0]:
            places = [line.get_xdata()[0] for line in axis.lines if len(line.get_xdata()) == 1]
            self.assertEqual(places, sorted(places, reverse=True))
        names = [label.get_text() for label in canvas.axes[0][0].get_yticklabels()]
        self.assertEqual(sorted(names), ["boost_ipc", "cpython", "cpython_executor", "posix_pipe",
                                         "shm_ring (adaptive)", "unix_socket"])

    def test_without_pools_there_is_none(self):
        self.example["records"] = [r for r in self.example["records"] if r["primitive"] != "pool"]
        self.assertIsNone(rates_chart.rates(self.example))


class SyncChart(Example):
    def test_a_panel_per_question_and_placement(self):
        with charts.pyplot.rc_context(style.RC):
            canvas = sync_chart.sync_costs(self.example)
        self.addCleanup(charts.pyplot.close, canvas.figure)
        titles = [axis.get_title(loc="left") for row in canvas.axes for axis in row if axis.get_visible()]
        self.assertEqual(titles[:3], ["Taken and given back, alone, unpinned", "Handed over and back, across two CPUs",
                                      "Handed over and back, on one CPU"])
        self.assertEqual(len(titles), len(set(titles)))

    def test_numbers_of_processes_are_read_from_the_workload(self):
        self.assertEqual([sync_chart.group_of({"workload": w}) for w in ("uncontended", "ping_pong", "meet_32")],
                         [("uncontended", 0), ("ping_pong", 0), ("meet", 32)])


class Summary(Example):
    def test_the_fastest_round_trip_comes_first(self):
        heads, rows = summary.headline(self.example)
        self.assertTrue(heads[3].startswith("round trip 8 B cross"), heads)
        trips = summary.measured(self.example, role="mechanism", workload="round_trip", bytes=8, placement="cross",
                                 call="direct")
        latency = {(r["name"], r["wait"]): r["metrics"]["latency_p50_ns"] for r in trips}
        words = {value: key for key, value in summary.WAIT_WORDS.items()}
        self.assertEqual([(row.name, words[row.cells[1]]) for row in rows], sorted(latency, key=latency.get))

    def test_a_spinner_and_a_sleeper_are_rows_of_their_own(self):
        _, rows = summary.headline(self.example)
        self.assertEqual(sorted(row.cells[1] for row in rows if row.name == "shm_ring"), ["adaptive", "block", "spin"])

    def test_doors_show_each_workload_once(self):
        heads, rows = tables.door_table(self.example)
        self.assertEqual((len(heads), [row.cells[0] for row in rows]),
                         (9, ["boost_ipc", "posix_pipe", "shm_ring (adaptive)", "unix_socket"]))
        self.assertTrue(all(" x)" in cell for row in rows for cell in row.cells[1:]), rows)

    def test_a_queue_is_a_row_per_form(self):
        heads, rows = tables.queue_table(self.example)
        found = [(row.name, row.cells[heads.index("form")]) for row in rows]
        self.assertEqual(found.count(("unix_socket", "native")), 1)
        self.assertEqual(found.count(("unix_socket", "composed")), 1)
        self.assertEqual({len(row.cells) for row in rows}, {len(heads)})
        self.assertIn("evenness 1→4", heads)

    def test_a_pool_is_a_row_per_mechanism_and_peer(self):
        heads, rows = tables.pool_table(self.example)
        self.assertEqual({len(row.cells) for row in rows}, {len(heads)})
        self.assertIn("shm_ring", [row.cells[0] for row in rows])
        self.assertIn("cpython (peer)", [row.cells[0] for row in rows])
        self.assertIn("8 workers", heads)

    def test_locks_come_before_their_peers(self):
        heads, rows = tables.sync_table(self.example)
        self.assertEqual([row.cells[0] for row in rows][:2], ["barrier", "condition"])
        self.assertTrue(rows[-1].cells[0].endswith("(peer)"))
        self.assertEqual({len(row.cells) for row in rows}, {len(heads)})
        self.assertEqual(heads[1], "uncontended, free")

    def test_waiting_costs_are_shown_per_strategy(self):
        heads, rows = tables.cpu_table(self.example)
        waits = [row.cells[heads.index("waits")] for row in rows if row.name == "shm_ring"]
        self.assertEqual(sorted(waits), ["adaptive", "block", "spin"])
        self.assertTrue(all(cell.endswith("%") for row in rows for cell in row.cells[3:5]), rows)

    def test_capabilities_are_those_of_the_build(self):
        heads, rows = capabilities.capability_table(self.example)
        found = {row[0]: dict(zip(heads[1:], row[1:])) for row in rows}
        self.assertEqual(found["zero copy"]["shm_ring"], "●")
        self.assertEqual(found["zero copy"]["posix_pipe"], "–")
        self.assertEqual(found["max message bytes"]["boost_ipc"], "4 MiB")
        self.assertEqual(found["tested"]["shm_ring"], "default, named, spin, block")

    def test_a_terminal_is_not_overrun(self):
        heads, rows = summary.headline(self.example)
        lines = summary.plain_table(heads, [row.cells for row in rows] * 3).splitlines()
        self.assertLessEqual(max(map(len, lines)), summary.TERMINAL_COLUMNS)

    def test_the_matrix_concerns_each_subject_with_its_own_clauses(self):
        subjects, rows = summary.matrix(self.example)
        verdicts = {clause["id"]: dict(zip(subjects, found)) for clause, found in rows}
        self.assertEqual(verdicts["P19"]["posix_pipe"], "skipped")
        self.assertIsNone(verdicts["P19"]["process"])
        self.assertEqual(verdicts["P21"]["posix_pipe"], "no counterpart")
        self.assertEqual(verdicts["X8"]["process"], "passed")

    def test_markdown_keeps_its_columns(self):
        for line in markdown.table(["a", "b"], [["x|y", "z"]]).splitlines():
            self.assertEqual(line.replace("\\|", "").count("|"), 3)


if __name__ == "__main__":
    unittest.main()
