"""What the charts of distributions, load and cost draw, and that no chart says anything outside of its picture."""
import json
import unittest

import support
from matplotlib import pyplot, text as matplotlib_text

from crucible_lib import charts, cost_chart, load_chart, project, results, spectrum_chart, style


def _not_drawn(figure):
    """Labels of ticks beyond the ends of their axis."""
    for axis in (side for axes in figure.axes for side in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)


def outside(figure):
    """The words of a figure that a reader sees cut off."""
    figure.canvas.draw()
    page, hidden = figure.bbox, set(_not_drawn(figure))
    found = []
    for words in figure.findobj(lambda artist: isinstance(artist, matplotlib_text.Text)):
        if words in hidden or not words.get_visible() or not words.get_text().strip():
            continue
        if words.axes is not None and not words.axes.get_visible():
            continue
        box = words.get_window_extent()
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < page.y0 - 1 or box.y1 > page.y1 + 1:
            found.append(words.get_text())
    return found


class Charts(unittest.TestCase):
    def setUp(self):
        self.example = results.read(support.EXAMPLE)
        self.addCleanup(pyplot.close, "all")

    def record(self, workload, name, placement, wait="kernel"):
        return next(r for r in self.example["records"] if (r["workload"], r["name"], r["placement"], r["wait"])
                    == (workload, name, placement, wait) and r["primitive"] == "pipe" and r["role"] == "mechanism")

    def test_nothing_is_said_outside_of_a_picture(self):
        sample = json.loads((project.ROOT / "results" / "sample-quick" / "results.json").read_text(encoding="utf-8"))
        with pyplot.rc_context(style.RC):
            for document in (self.example, sample):
                for stem, _, make in charts.CHARTS:
                    with self.subTest(stem, commit=document["environment"]["commit"]):
                        canvas = make(document)
                        self.assertEqual(outside(canvas.figure) if canvas else [], [])
                        pyplot.close("all")

    def test_what_is_cut_off_is_seen(self):
        canvas = style.Canvas(1, 1, (2, 2), "A question?", ["a subtitle"], [], right=0.2)
        canvas.axes[0][0].annotate("a name that is too long for the margin", (1.0, 0.5), annotation_clip=False)
        self.assertEqual(outside(canvas.figure), ["a name that is too long for the margin"])

    def test_a_spectrum_shows_each_percentile_where_it_belongs(self):
        canvas = spectrum_chart.percentile_spectrum(self.example)
        record = self.record("round_trip", "unix_socket", "cross")
        expected = [(1 / (1 - q), ns) for q, ns in zip(record["spectrum"]["quantile"], record["spectrum"]["latency_ns"])
                    if q > 0]
        drawn = [list(zip(*line.get_data())) for line in canvas.axes[0][0].lines
                 if line.get_color() == style.of("unix_socket")[0]]
        self.assertEqual(len(drawn), 1)
        for (x, y), (at, ns) in zip(drawn[0], expected, strict=True):
            self.assertAlmostEqual(x, at)
            self.assertEqual(y, ns)

    def test_what_was_not_achieved_is_hollow(self):
        canvas = load_chart.latency_under_load(self.example)
        record = self.record("load", "unix_socket", "cross")
        colour = style.of("unix_socket")[0]
        dots = {line.get_xdata()[0]: line.get_markerfacecolor() for line in canvas.axes[0][0].lines
                if line.get_color() == colour and len(line.get_xdata()) == 1 and line.get_markersize() < 9}
        steps = {s["offered_per_s"]: s["achieved_per_s"] >= 0.99 * s["offered_per_s"] for s in record["load_curve"]
                 if s["latency_p50_ns"]}
        self.assertEqual({rate: face == colour for rate, face in dots.items()}, steps)
        self.assertEqual(set(steps.values()), {True, False})

    def test_the_price_of_an_answer_is_latency_against_cpu(self):
        canvas = cost_chart.price(self.example)
        metrics = self.record("round_trip", "unix_socket", "cross")["metrics"]
        colour = style.of("unix_socket")[0]
        points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in canvas.axes[0][0].lines
                  if line.get_color() == colour]
        self.assertEqual(points, [(metrics["cpu_s_per_million"] * 1e3, metrics["latency_p50_ns"])])

    def test_cpu_is_sorted_and_divided(self):
        canvas = cost_chart.cpu_per_message(self.example)
        axis = canvas.axes[0][0]
        names = [label.get_text() for label in axis.get_yticklabels()]
        cells = [r for r in self.example["records"] if r["workload"] == "round_trip" and r["placement"] == "cross"
                 and r["role"] == "mechanism" and r["call"] == "direct" and "metrics" in r]
        size = min({r["bytes"] for r in cells}, key=lambda measured: abs(measured - 64))
        cells = sorted((r for r in cells if r["bytes"] == size), key=lambda r: r["metrics"]["cpu_s_per_million"])
        self.assertEqual([name.split(" ")[0] for name in names], [r["name"] for r in cells])
        drawn = {line.get_xdata()[0] for line in axis.lines if len(line.get_xdata()) == 1}
        self.assertIn(cells[0]["metrics"]["cpu_user_s_per_million"] * 1e3, drawn)


if __name__ == "__main__":
    unittest.main()
