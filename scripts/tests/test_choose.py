"""choose: the right answer is known, since the results are made up; then against the example and the sample."""
import contextlib
import copy
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import support
from crucible_lib import (choose, choose_cells, choose_judge, choose_question, choose_text, cli,
                          project)
from made_up import cell, failed, results as made

SAMPLE = support.SCRIPTS.parent / "results" / "sample-quick"
FLAGS = {"pollable": True, "survives_kill": True, "zero_copy": False, "max_message_bytes": 1 << 20}


def row(waits=(), scheme="x", queue=None, **flags):
    """Of the table of mechanisms."""
    return {"scheme": scheme, "reads_ahead": False, "waits": list(waits), "queues": {"native": {"waits": list(waits)}},
            "capabilities": {"pipe": {**FLAGS, **flags}, "queue": {"native": {**FLAGS, **(queue or {})}}}}


def trip(name, ns, size=64, wait="kernel", cost=10.0, **metrics):
    known = {"latency_p50_ns": ns, "latency_p99_ns": 3 * ns, "samples": 1000, "cpu_s_per_million": cost}
    return cell(name, ns, bytes=size, wait=wait, metrics={**known, **metrics})


def stream(name, per_s, size=64, wait="kernel", cost=1.0, **more):
    return cell(name, 1e9 / per_s, workload="one_way", bytes=size, wait=wait,
                metrics={"messages_per_s": per_s, "samples": 1000, "cpu_s_per_million": cost}, **more)


def document(records, conformance=None, **rows):
    """Its mechanisms declare the usual, or what `rows` say."""
    found = made(records, **(conformance or {}))
    found["mechanisms"] = {r["name"]: row() for r in records if r["role"] == "mechanism"} | rows
    return found


def ask(results, size=64, **more):
    return choose_judge.judge(results, choose_question.Question(size, primitive=more.pop("primitive", "pipe"), **more))


def budget(written):
    return choose_question.parse_budget(written)


def names(candidates):
    return [candidate.name for candidate in candidates]


def why(verdict):
    """{name: the reasons} of who lost."""
    return {candidate.name: [failure.words for failure in candidate.failures] for candidate in verdict.lost}


def said(results, verdict):
    return choose_text.plain(results, verdict, "made-up")


class Questions(unittest.TestCase):
    def test_rates_peers_and_needs_are_read_as_written(self):
        self.assertEqual([choose_question.parse_rate(word) for word in ("800/s", "50k/s", "1.5M/s", "2G")],
                         [800, 5e4, 1.5e6, 2e9])
        self.assertEqual(choose_question.parse_peers("1:4"), (1, 4))
        self.assertEqual(choose_question.parse_needs("survives-kill,zero_copy"), ("survives_kill", "zero_copy"))
        for parse, word in ((choose_question.parse_rate, "50 per s"), (choose_question.parse_rate, "0/s"),
                            (choose_question.parse_peers, "0:1"), (choose_question.parse_peers, "4"),
                            (choose_question.parse_needs, "a,,b")):
            with self.assertRaisesRegex(ValueError, "is not"):
                parse(word)

    def test_a_budget_is_read_strictly(self):
        p99, cpu, rate = budget("p99<100us, cpu<0.5,rate>2k/s")
        self.assertEqual((p99.key, p99.most), ("latency_p99_ns", 1e5))
        self.assertEqual((cpu.most, rate.most), (0.5, 2000))
        self.assertEqual(budget("p99.9<2ms")[0].key, "latency_p999_ns")
        for word, fault in (("p98<1us", "must be one of p50"), ("p99>1us", "write p99<VALUE"),
                            ("rate<1k/s", "write rate>VALUE"), ("p99<100", "is not a time"), ("p99<=1us", "write p99<"),
                            ("cpu<half", "number of CPUs"), ("p50<1us,p50<2us", "twice"), ("p50<0us", "less than 0"),
                            ("", "must be one of")):
            with self.assertRaisesRegex(ValueError, fault):
                budget(word)

    def test_a_relaxed_clause_is_round_and_keeps_the_value(self):
        for written, value, relaxed in (("p99<1us", 105400, "p99<106us"), ("p50<1us", 1000, "p50<1.01us"),
                                        ("cpu<0.5", 1.0695, "cpu<1.07"), ("rate>9k/s", 477616, "rate>477k/s")):
            clause = budget(written)[0]
            self.assertEqual(clause.relaxed(value), relaxed)
            self.assertTrue(budget(relaxed)[0].kept(value), relaxed)


class Order(unittest.TestCase):
    def test_the_fastest_first_and_by_how_much(self):
        verdict = ask(results := document([trip("c", 9000), trip("a", 1000), trip("b", 2000)]))
        self.assertEqual(names(verdict.qualified), ["a", "b", "c"])
        self.assertEqual(choose_judge.ranks(verdict), [1, 2, 3])
        # 2000 / 1000, from the far ends of two intervals of 1 % and widened by the assumed floor of 10 %.
        low, high = choose_judge.behind(verdict, verdict.qualified[1])
        self.assertAlmostEqual(low, 1980 / 1010 / 1.1)
        self.assertAlmostEqual(high, 2020 / 990 * 1.1)
        self.assertIn("a comes first", said(results, verdict))
        self.assertIn("b is 1.78 to 2.3 times slower than a", said(results, verdict))

    def test_level_ones_are_said_to_be_level(self):
        verdict = ask(results := document([trip("a", 1000), trip("b", 1050), trip("c", 5000)]))
        self.assertEqual(choose_judge.ranks(verdict), [1, 1, 3])
        self.assertIn("a and b cannot be told apart", said(results, verdict))
        self.assertNotIn("comes first", said(results, verdict))

    def test_nothing_is_claimed_without_an_interval(self):
        verdict = ask(results := document([trip("a", 1000), cell("b", 9000, None, metrics={"samples": 9})]))
        self.assertEqual(choose_judge.ranks(verdict), [1, 1])
        self.assertIn("(no interval)", said(results, verdict))

    def test_ways_to_wait_are_ranked_by_themselves(self):
        results = document([trip("r", 100, wait="spin"), trip("r", 9000, wait="block")], r=row(("spin", "block")))
        verdict = ask(results)
        self.assertEqual([candidate.wait for candidate in verdict.qualified], ["spin", "block"])
        self.assertIn("r (block) is", said(results, verdict))


class Losers(unittest.TestCase):
    def test_a_need_that_is_not_declared(self):
        results = document([trip("a", 1000), trip("b", 100), trip("c", 100)], b=row(pollable=False), c=row(scheme=""))
        verdict = ask(results, needs=("pollable", "unrelated"))
        self.assertEqual(names(verdict.qualified), ["a"])
        self.assertEqual(why(verdict)["b"], ["does not declare pollable"])
        self.assertIn("does not declare unrelated", why(verdict)["c"][0])

    def test_a_spinner_is_not_blocking(self):
        idle = cell("r", 1, workload="idle", wait="spin", placement="free", metrics={"cpu_percent": 99.5})
        results = document([trip("r", 100, wait="spin"), trip("a", 1000), idle])
        self.assertEqual(why(ask(results, needs=("blocking",))),
                         {"r": ["is not blocking: a waiting receiver uses 99.5 % of a CPU"]})
        self.assertEqual(names(ask(results, needs=("idle_cpu",)).qualified), ["a"])

    def test_a_clause_that_failed(self):
        results = document([trip("a", 1000), trip("b", 100)], {"b": failed("P6")})
        self.assertEqual(why(ask(results)), {"b": ["failed P6, so its figures are not valid"]})
        del results["conformance"]["b"]
        self.assertIn("was not checked", why(ask(results))["b"][0])

    def test_a_size_beyond_the_limit(self):
        records = [trip("a", 1000, 1 << 20), trip("b", 100, 1 << 20)]
        verdict = ask(document(records, b=row(max_message_bytes=1 << 16)), size=1 << 20)
        self.assertEqual(why(verdict), {"b": ["carries at most 64 KiB, not 1 MiB"]})

    def test_a_size_that_a_benchmark_found_unsupported(self):
        refused = {**trip("b", 100, 4096), "unsupported": "its slots end at 1 KiB"}
        del refused["metrics"]
        verdict = ask(document([trip("a", 1000, 64), trip("a", 1000, 4096), trip("b", 100, 64), refused]), size=4096)
        self.assertEqual(names(verdict.qualified), ["a"])
        self.assertEqual(why(verdict), {"b": ["does not support 4 KiB: its slots end at 1 KiB"]})

    def test_a_rate_that_it_cannot_sustain(self):
        records = [trip("a", 1000), stream("a", 2e6), trip("b", 900), stream("b", 1e5), trip("c", 800)]
        verdict = ask(document(records), rate=1e6)
        self.assertEqual(names(verdict.qualified), ["a"])
        self.assertEqual(why(verdict)["b"], ["cannot sustain 1.00 M/s: it carries 99.0 to 101 k/s at most"])
        self.assertIn("no rate of it was measured", why(verdict)["c"][0])

    def test_a_budget_that_it_breaks(self):
        verdict = ask(document([trip("a", 1000), trip("b", 900, latency_p99_ns=5e4), cell("c", 1000)]),
                      budget=budget("p99<10us"))
        self.assertEqual(names(verdict.qualified), ["a"])
        self.assertEqual(why(verdict)["b"], ["breaks the budget p99<10.0 µs with 50.0 µs"])
        self.assertEqual(why(verdict)["c"], ["cannot be said to keep p99<10.0 µs: its p99 is not known"])


class Cpus(unittest.TestCase):
    """At 10 k/s a cost of 10 s per million is 0.1 CPUs."""

    @staticmethod
    def cpu(*records, rate=1e4, **rows):
        verdict = ask(document(list(records), **rows), rate=rate)
        return [*verdict.qualified, *verdict.lost][0].cpu

    @staticmethod
    def paced(name, cost, wait):
        return cell(name, 1e5, workload="paced", bytes=48, placement="free", wait=wait,
                    metrics={"cpu_s_per_million": cost, "offered_per_s": 1000.0, "samples": 1000})

    def test_who_sleeps_costs_from_its_stream_to_its_trips(self):
        cpu = self.cpu(trip("a", 1000), stream("a", 1e6), self.paced("a", 40, "kernel"))
        self.assertAlmostEqual(cpu.low, 0.01)
        self.assertAlmostEqual(cpu.high, 0.1)
        self.assertAlmostEqual(self.cpu(trip("a", 1000), stream("a", 1e6), self.paced("a", 40, "kernel"),
                                        rate=1000).high, 0.04)

    def test_who_looks_first_may_still_fall_asleep(self):
        records = [trip("r", 1000, wait="adaptive", cost=1), stream("r", 1e6, wait="adaptive")]
        self.assertIsNone(self.cpu(*records).high)
        self.assertAlmostEqual(self.cpu(*records, self.paced("r", 40, "adaptive")).high, 0.4)

    def test_who_spins_burns_a_cpu_whatever_the_rate(self):
        cpu = self.cpu(trip("r", 100, wait="spin", cost=0.1), stream("r", 1e7, wait="spin", cost=0.1), rate=100)
        self.assertAlmostEqual(cpu.low, 1)
        self.assertAlmostEqual(cpu.high, 1, places=3)

    def test_no_more_is_busy_than_there_are(self):
        self.assertEqual(self.cpu(trip("a", 1000), stream("a", 1e6), rate=9e5).high, 2)

    def test_a_budget_is_kept_by_the_worse_end_only(self):
        results = document([trip("a", 1000), stream("a", 1e6), trip("r", 100, wait="spin"),
                            stream("r", 1e7, wait="spin")])
        self.assertEqual(names(ask(results, rate=1e4, budget=budget("cpu<0.11")).qualified), ["a"])
        reasons = why(ask(results, rate=1e4, budget=budget("cpu<0.05")))
        self.assertEqual(reasons["a"], ["may break the budget cpu<0.05 CPUs: 0.01 CPUs while messages come in "
                                        "streams, 0.100 if each wakes its receiver"])
        self.assertIn("burns its CPU whatever the rate", reasons["r"][0])


class Nobody(unittest.TestCase):
    def test_the_single_relaxation_that_lets_somebody_in(self):
        records = [trip("a", 1000), stream("a", 1e6), trip("b", 100), stream("b", 1e6), trip("c", 10), stream("c", 1e4)]
        results = document(records, b=row(pollable=False))
        verdict = ask(results, rate=1e5, needs=("pollable",), budget=budget("p99<1us"))
        self.assertEqual(verdict.qualified, [])
        self.assertEqual({words: names(who) for words, who in choose_judge.relaxations(verdict).items()},
                         {"--budget 'p99<3.01us'": ["a"], "--need without pollable": ["b"],
                          "--rate 9.9k/s": ["c"]})
        self.assertIn("With --budget 'p99<3.01us': a.", said(results, verdict))
        relaxed = ask(results, rate=1e5, needs=("pollable",), budget=budget("p99<3.01us"))
        self.assertEqual(names(relaxed.qualified), ["a"])
        self.assertEqual(names(ask(results, rate=9900, needs=("pollable",), budget=budget("p99<1us")).qualified), ["c"])

    def test_where_no_single_one_does_that_is_said(self):
        results = document([trip("a", 1000)], a=row(pollable=False, scheme=""))
        verdict = ask(results, needs=("pollable", "unrelated"))
        self.assertEqual(choose_judge.relaxations(verdict), {})
        self.assertIn("No single relaxation lets anybody in; a misses the fewest requirements, 2.",
                      said(results, verdict))

    def test_a_failed_clause_cannot_be_relaxed(self):
        verdict = ask(document([trip("a", 1000)], {"a": failed()}))
        self.assertEqual(choose_judge.relaxations(verdict), {})


class Sizes(unittest.TestCase):
    def test_between_two_sizes_is_an_estimate_and_says_so(self):
        results = document([trip("a", 1000, 64), trip("a", 4000, 1024), trip("b", 9000, 64), trip("b", 90000, 1024)])
        verdict = ask(results, size=128)
        # A quarter of the way in logarithms, nearer to the smaller size: 1000 * 4 ** (1 / 4).
        self.assertAlmostEqual(verdict.qualified[0].order, 1414.21, places=2)
        self.assertIn("~1.41 µs", said(results, verdict))
        self.assertIn("was not measured at 128 B: figures with ~ are estimated between 64 B and 1 KiB",
                      said(results, verdict))

    def test_between_two_sizes_who_leads_must_lead_at_both(self):
        results = document([trip("a", 1000, 64), trip("a", 9000, 1024), trip("b", 4000, 64), trip("b", 4500, 1024)])
        verdict = ask(results, size=256)
        self.assertEqual(choose_judge.ranks(verdict), [1, 1])

    def test_beyond_the_measured_sizes_the_nearest_speaks_and_that_comes_first(self):
        results = document([trip("a", 1000, 64), trip("a", 4000, 1024)])
        verdict = ask(results, size=1 << 16)
        self.assertEqual(verdict.qualified[0].order, 4000)
        self.assertIn("Result:\n  The order and its figures are of 1 KiB, not of 64 KiB", said(results, verdict))

    def test_figures_of_another_size_do_not_compete(self):
        results = document([trip("a", 1000, 4096), trip("b", 10, 64)])
        verdict = ask(results, size=4096)
        self.assertEqual(names(verdict.qualified), ["a"])
        self.assertIn("b: round_trip was measured no nearer to 4 KiB than 64 B", said(results, verdict))

    def test_where_the_order_turns(self):
        results = document([trip("a", 100, 64), trip("a", 100, 1024), trip("a", 9000, 4096),
                            trip("b", 500, 64), trip("b", 104, 1024), trip("b", 600, 4096)])
        stretches, sizes = choose_judge.turns(results, ask(results))
        self.assertEqual([(at, names(who)) for at, who in stretches], [([64, 1024], ["a"]), ([4096], ["b"])])
        self.assertEqual(sizes, [64, 1024, 4096])
        told = said(results, ask(results))
        self.assertIn("At 64 B and 1 KiB a leads.", told)
        self.assertIn("The order turns between 1 KiB and 4 KiB; nothing was measured between them.", told)

    def test_who_lacks_a_need_turns_nothing(self):
        results = document([trip("a", 100, 64), trip("a", 9000, 4096), trip("b", 500, 64), trip("b", 600, 4096),
                            trip("c", 900, 64), trip("c", 90000, 4096)], b=row(pollable=False))
        stretches, _ = choose_judge.turns(results, ask(results, needs=("pollable",)))
        self.assertEqual([(at, names(who)) for at, who in stretches], [([64, 4096], ["a"])])

    def test_one_size_decides_nothing(self):
        results = document([trip("a", 100), trip("b", 900)])
        self.assertIn("Whether size turns the order round cannot be said: only 64 B", said(results, ask(results)))


class Load(unittest.TestCase):
    @staticmethod
    def load(name, most, *points):
        return cell(name, 1, workload="load", metrics={"sustainable_per_s": most, "samples": 9}, load_curve=[
            {"offered_per_s": rate, "achieved_per_s": rate, "latency_p50_ns": p50, "latency_p99_ns": p99, "samples": 9}
            for rate, p50, p99 in points])

    def setUp(self):
        # In a closed loop a is faster, under load it is b; what is sustained is below what streams.
        self.results = document([
            trip("a", 1000), stream("a", 1e6), self.load("a", 4e5, (1e4, 5000, 9000), (4e5, 50000, 90000)),
            trip("b", 3000), stream("b", 1e6), self.load("b", 8e5, (1e4, 1000, 2000), (8e5, 4000, 8000))])

    def test_latency_at_the_rate_ranks_and_is_estimated_between_offered_rates(self):
        verdict = ask(self.results, rate=1e5)
        self.assertTrue(verdict.by_load)
        self.assertEqual(names(verdict.qualified), ["b", "a"])
        self.assertTrue(1000 < verdict.qualified[0].latency("latency_p50_ns") < 4000)
        self.assertIn("b: latency estimated between offered rates of 10.0 k/s and 800 k/s", said(self.results, verdict))

    def test_beyond_what_was_sustained_it_loses(self):
        verdict = ask(self.results, rate=6e5)
        self.assertEqual(why(verdict), {"a": ["cannot sustain 600 k/s: 400 k/s is the highest that it sustained"]})

    def test_below_all_that_was_offered_only_the_closed_loop_is_known(self):
        verdict = ask(self.results, rate=100)
        self.assertFalse(verdict.by_load)
        self.assertEqual(names(verdict.qualified), ["a", "b"])
        self.assertIn("latencies are of a closed loop", said(self.results, verdict))

    def test_a_budget_is_held_against_the_latency_under_load(self):
        verdict = ask(self.results, rate=1e5, budget=budget("p99<8us"))
        self.assertEqual(names(verdict.qualified), ["b"])

    def test_who_sustained_nothing_sustains_nothing(self):
        del self.results["records"][2]["metrics"]["sustainable_per_s"]
        self.assertEqual(why(ask(self.results, rate=1e5))["a"],
                         ["cannot sustain 100 k/s: it sustained no rate offered"])


class Peers(unittest.TestCase):
    def setUp(self):
        def queue(name, workload, ns, **metrics):
            return cell(name, ns, primitive="queue", workload=workload, placement="free",
                        metrics={"samples": 9, "cpu_s_per_million": 1.0, **metrics})
        passed = copy.deepcopy(made([cell("a", 1)])["conformance"]["a"])
        self.results = document(
            [queue("a", "round_trip", 1000, latency_p99_ns=2000), queue("a", "one_way_1x1", 100),
             queue("a", "fan_in_4x1", 900), queue("b", "round_trip", 2000, latency_p99_ns=4000),
             queue("b", "one_way_1x1", 200), queue("b", "fan_in_4x1", 300)],
            {"a, native queue": passed, "b, native queue": passed})

    def test_the_workload_of_just_these_peers_decides(self):
        self.assertEqual(names(ask(self.results, primitive="queue").qualified), ["a", "b"])
        verdict = ask(self.results, primitive=None, peers=(4, 1))
        self.assertEqual(names(verdict.qualified), ["b", "a"])
        self.assertEqual(verdict.courses[0].ranked, "fan_in_4x1")
        self.assertIn("latency is that of round_trip between one and one", said(self.results, verdict))

    def test_unknown_peers_get_the_nearest_and_a_note(self):
        verdict = ask(self.results, primitive="queue", peers=(16, 1))
        self.assertEqual(verdict.courses[0].ranked, "fan_in_4x1")
        self.assertIn("16:1 was not measured; the rates are those of 4:1", said(self.results, verdict))

    def test_what_was_not_measured_is_listed(self):
        self.results["mechanisms"]["d"] = row(("spin", "block"))
        self.assertIn("queue d (spin), d (block): round_trip was not measured unpinned",
                      said(self.results, ask(self.results, primitive="queue")))
        self.assertIn("every pipe: round_trip was not measured unpinned",
                      said(self.results, ask(self.results, primitive=None, placement="free")))

    def test_a_queue_is_met_by_its_mechanisms_address(self):
        self.assertNotIn("a", why(ask(self.results, primitive="queue", needs=("unrelated",))))
        self.results["mechanisms"]["a"]["scheme"] = ""
        verdict = ask(self.results, primitive="queue", needs=("unrelated",))
        self.assertIn("a queue of it has no named door", why(verdict)["a"][0])


class Command(unittest.TestCase):
    @staticmethod
    def run_it(*arguments):
        """(status, stdout, stderr)."""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                status = cli.main(["choose", *arguments])
            except SystemExit as ended:
                status = ended.code
        return status, out.getvalue(), err.getvalue()

    def on(self, folder, *arguments):
        return self.run_it("--results", str(folder), *arguments)

    def test_status_tells_whether_somebody_qualifies(self):
        self.assertEqual(self.on(SAMPLE)[0], project.OK)
        status, out, _ = self.on(SAMPLE, "--need", "pollable,zero-copy")
        self.assertEqual(status, project.FAILED)
        self.assertIn("With --need without pollable: shm_ring (", out)  # the waits that the sample could judge

    def test_wrong_usage_names_what_would_be_right(self):
        for arguments, fault in ((("--need", "magic"), "known needs: .*survives-kill"),
                                 (("--budget", "p98<1us"), "one of p50"), (("--budget", "cpu<1"), "say --rate"),
                                 (("--peers", "x"), "1:4"), (("--size", "big"), "not a size")):
            status, _, err = self.on(SAMPLE, *arguments)
            self.assertEqual(status, project.USAGE, arguments)
            self.assertRegex(err, fault)

    def test_the_three_forms_agree_on_the_sample(self):
        asked = ("--size", "4K", "--rate", "50k/s", "--need", "unrelated,survives-kill",
                 "--budget", "p99<100us,cpu<2.5")
        status, out, _ = self.on(SAMPLE, *asked)
        self.assertEqual(status, project.OK)
        found = json.loads(self.on(SAMPLE, *asked, "--json")[1])
        marked = self.on(SAMPLE, *asked, "--markdown")[1]
        for entry in found["qualified"]:
            self.assertIn(entry["label"], out)
            self.assertIn(entry["label"], marked)
            self.assertLess(entry["latency_p99_ns"], 1e5)
            self.assertLess(entry["cpus"]["high"], 2.5)
        self.assertIn("boost_ipc", {entry["name"] for entry in found["lost"]})  # it does not survive a kill
        self.assertEqual([entry["rank"] for entry in found["qualified"]],
                         sorted(entry["rank"] for entry in found["qualified"]))

    def test_every_question_of_the_example_has_an_answer(self):
        for primitive in choose_question.PRIMITIVES:
            for more in (("--placement", "any"), ("--peers", "4:1"), ("--rate", "20k/s"), ("--size", "2M")):
                status, out, err = self.on(support.EXAMPLE, "--primitive", primitive, *more)
                self.assertIn(status, (project.OK, project.FAILED), (primitive, more))
                self.assertEqual(err, "")
                self.assertIn("How this was judged", out)

    def test_the_newest_run_before_the_sample(self):
        with tempfile.TemporaryDirectory() as root:
            folder = pathlib.Path(root)
            with self.assertRaisesRegex(project.Stop, "no run"):
                choose.newest(folder)
            for name, started in (("sample-quick", "2030"), ("b", "2001"), ("a", "2002"), ("torn", None)):
                (folder / name).mkdir()
                (folder / name / "results.json").write_text(
                    json.dumps({"run": {"started": started}}) if started else "{", encoding="utf-8")
            self.assertEqual(choose.newest(folder).name, "a")
            for name in ("a", "b"):
                (folder / name / "results.json").unlink()
            self.assertEqual(choose.newest(folder).name, "sample-quick")

    def test_the_sample_tells_what_can_be_needed(self):
        document_ = json.loads((SAMPLE / "results.json").read_text(encoding="utf-8"))
        known = choose_question.known_needs(document_, ("pipe",))
        self.assertLessEqual({"unrelated", "blocking", "survives_kill", "zero_copy", "cross_host"}, set(known))
        self.assertEqual(choose_cells.course(document_, "queue", (1, 4)).ranked, "fan_out_1x4")


    def test_needs_are_completed_without_the_packages_that_a_run_wants(self):
        program = support.SCRIPTS / "crucible_lib" / "__main__.py"
        words = [sys.executable, "-S", str(program), "completion", "words", "3", "crucible", "choose", "--need",
                 "pollable,sur"]
        found = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((found.stdout, found.stderr), ("pollable,survives-kill\n", ""))


if __name__ == "__main__":
    unittest.main()
