"""The charts of a run, each from its results alone. MEASURING: the question is the title; dots on log axes."""
from matplotlib import pyplot

from . import (conformance, cost_chart, load_chart, manager_chart, matrix_chart, overview_chart, pipe_cells, queue_chart,
               rates_chart, ratio_chart, records, spectrum_chart, style, summary, sync_chart)

FOLDER = "charts"
MOST_LIMITS = 3
LINE_NOTE = " Lines: solid, who sleeps at once; dash-dotted, adaptive; dashed, who spins and never sleeps."


def draw(results, run_dir):
    """Draws every chart for which there is data; returns (file stem, caption) of each, in the order of the report."""
    folder = run_dir / FOLDER
    folder.mkdir(exist_ok=True)
    drawn = []
    with pyplot.rc_context(style.RC):
        for stem, caption, make in CHARTS:
            canvas = make(results)
            if canvas:
                canvas.save(folder, stem)
                drawn.append((stem, caption))
            else:
                for kind in ("svg", "png"):
                    (folder / f"{stem}.{kind}").unlink(missing_ok=True)
    return drawn


def _series(found):
    """Records of one line each, in the order of their names; by size. Limits of one name beside different mechanisms
    are different lines."""
    lines = {}
    for record in sorted(found, key=lambda r: (summary.label(r), r["bytes"])):
        beside = records.subject_of(record) if "paired_with" in record else None
        lines.setdefault((summary.label(record), beside), []).append(record)
    return lines.values()


def _curves(results, axis, found, value, band):
    """Lines of mechanisms with dots and their bands; returns what end_labels() needs."""
    ends = []
    for line in _series(found):
        colour, marker = style.of(line[0]["name"])
        x, y = [r["bytes"] for r in line], [value(r) for r in line]
        valid = conformance.standing(results, line[0]) == "passed"
        edges = [band(r) for r in line]
        if valid and all(edges):
            axis.fill_between(x, [low for low, _ in edges], [high for _, high in edges], color=colour, alpha=0.18,
                              linewidth=0)
        axis.plot(x, y, linestyle=style.LINES[line[0]["wait"]] if valid else ":", linewidth=1.5, marker=marker,
                  markersize=5.5, color=colour, markerfacecolor=colour if valid else "white",
                  fillstyle=style.FILLS[line[0]["wait"]], markerfacecoloralt="white")
        ends.append((y[-1], pipe_cells.label(results, line[0]), colour))
    return ends


def _limit_curves(axis, found, value, most=MOST_LIMITS):
    """Dashed grey lines, only while they are few enough to tell apart."""
    ends, lines = [], list(_series(found))
    if len(lines) > most:
        return []
    for number, line in enumerate(lines):
        y = [value(r) for r in line]
        axis.plot([r["bytes"] for r in line], y, linewidth=1.1, color=style.GREY, marker=".", markersize=3,
                  linestyle=style.LIMIT_LINES[number % len(style.LIMIT_LINES)], zorder=1.5)
        ends.append((y[-1], summary.label(line[0]), style.GREY))
    return ends


def _partial(gaps, found, place):
    """The gaps of mechanisms that have a line at all; of the others a note tells."""
    drawn = {r["name"] for r in found}
    return [r for r in gaps if r["placement"] == place and r["name"] in drawn]


def _mark_gaps(axis, gaps, sizes):
    """Crosses along the bottom, one height per mechanism, where a size that others have is missing."""
    heights = {name: 0.03 + 0.045 * i for i, name in enumerate(sorted({r["name"] for r in gaps}))}
    for record in gaps:
        if record["bytes"] in sizes:
            axis.plot([record["bytes"]], [heights[record["name"]]], "x", color=style.of(record["name"])[0],
                      markersize=5, transform=axis.get_xaxis_transform())


def latency_by_size(results):
    found = [r for r in pipe_cells.pipe(results, "round_trip") if "latency_p50_ns" in r["metrics"]]
    if not found:
        return None
    limits = [r for r in pipe_cells.pipe(results, "round_trip", "limit") if "latency_p50_ns" in r["metrics"]]
    placements, gaps = pipe_cells.placements(found), pipe_cells.gaps(results, "round_trip")
    found, limits = pipe_cells.within(placements, found), pipe_cells.within(placements, limits)
    sizes = {r["bytes"] for r in found}
    canvas = style.Canvas(
        1, len(placements), (3.9, 3.6), "How does latency grow with the size of a message?",
        pipe_cells.subtitles(results, found, "Round trip: line at p50, band up to p90; log scale, lower is better"),
        _notes(results, found, gaps, limits), gap=(2.05, 0.7), left=0.9, right=1.6, least_width=7.2)

    def value(record):
        return record["metrics"]["latency_p50_ns"]

    def band(record):
        p90 = record["metrics"].get("latency_p90_ns")
        return p90 and (value(record), p90)

    for axis, place in zip(canvas.axes[0], placements):
        axis.set_yscale("log")
        here = [r for r in limits if r["placement"] == place]
        ends = _limit_curves(axis, here, value)
        ends += _curves(results, axis, [r for r in found if r["placement"] == place], value, band)
        _finish(axis, sizes, _partial(gaps, found, place), style.plain_nanoseconds, ends)
        axis.set_title(pipe_cells.PLACEMENT_TITLES[place], loc="left")
    return canvas


def throughput_by_size(results):
    found = [r for r in pipe_cells.pipe(results, "one_way") if "messages_per_s" in r["metrics"]]
    if not found:
        return None
    limits = [r for r in pipe_cells.pipe(results, "one_way", "limit") if "messages_per_s" in r["metrics"]]
    placements, gaps = pipe_cells.placements(found), pipe_cells.gaps(results, "one_way")
    found, limits = pipe_cells.within(placements, found), pipe_cells.within(placements, limits)
    sizes = {r["bytes"] for r in found}
    roof = [r for r in summary.measured(results, role="limit", workload="memcpy") if r["bytes"] in sizes]
    canvas = style.Canvas(
        len(placements), 2, (3.7, 2.9), "How much can be sent one way?",
        pipe_cells.subtitles(results, found, "Messages and bytes per second received and verified, log scale, higher is "
                             "better; band: 95 % interval over blocks"),
        _notes(results, found, gaps, limits)
        + ["memcpy: what one core copies, its source and target in cache (hot) or not (cold)."] * bool(roof),
        gap=(2.45, 0.75), right=1.6)

    def messages(record):
        return record["metrics"]["messages_per_s"]

    def gib(record):
        return record["metrics"]["bytes_per_s"] / 2**30

    def scaled_band(value):
        # The interval is that of the median block; relative to it, it is drawn around the rate of the whole case.
        def band(record):
            block = record.get("ns_per_operation", {})
            return block.get("low") and (value(record) * block["median"] / block["high"],
                                         value(record) * block["median"] / block["low"])
        return band

    for row, place in zip(canvas.axes, placements):
        for axis, value, form, unit in ((row[0], messages, style.plain_rate, "messages/s"),
                                        (row[1], gib, lambda v: f"{v:g} GiB/s", "GiB/s")):
            axis.set_yscale("log")
            ends = _limit_curves(axis, [r for r in limits if r["placement"] == place], value)
            if value is gib:
                ends += _limit_curves(axis, roof, value)
            ends += _curves(results, axis, [r for r in found if r["placement"] == place], value, scaled_band(value))
            _finish(axis, sizes, _partial(gaps, found, place), form, ends)
            axis.set_title(f"{pipe_cells.PLACEMENT_TITLES[place]}: {unit}", loc="left")
    return canvas


def _notes(results, found, gaps, limits):
    """What the reader of a line chart must know besides its subtitle."""
    names, drawn = {r["name"] for r in gaps}, {r["name"] for r in found}
    most = max(len(_series([r for r in limits if r["placement"] == p])) for p in pipe_cells.placements(found))
    notes = []
    if any(r["wait"] != "kernel" for r in found):
        notes.append((LINE_NOTE + pipe_cells.FILL_NOTE).strip())
    if most <= MOST_LIMITS:
        notes.append("Grey, dashed: limits, the same work in raw code, measured in between in the same run: "
                     + ", ".join(sorted({r["limit"] for r in found if "limit" in r})) + ".")
    else:
        notes.append("Too many limits to draw here: the chart of ratios shows how far each mechanism is from its own.")
    if names & drawn:
        notes.append("x at the bottom: this size is unsupported or was not measured; the report says why.")
    if names - drawn:
        notes.append(f"Not measured at all: {', '.join(sorted(names - drawn))}; the report says why.")
    if any(conformance.standing(results, r) != "passed" for r in found):
        notes.append(pipe_cells.STANDING_NOTE)
    return notes


def _finish(axis, sizes, gaps, form, ends):
    style.size_axis(axis, sizes)
    _mark_gaps(axis, gaps, sizes)
    style.log_ticks(axis.yaxis, form)
    axis.set_xlabel("message size")
    style.end_labels(axis, ends)


CHARTS = (
    ("overview", "How long does a round trip take?", overview_chart.overview),
    ("latency_by_size", "How does latency grow with the size of a message?", latency_by_size),
    ("throughput_by_size", "How much can be sent one way?", throughput_by_size),
    ("percentile_spectrum", "How late are the few that are late?", spectrum_chart.percentile_spectrum),
    ("latency_under_load", "What happens to latency under load?", load_chart.latency_under_load),
    ("price", "What does a fast answer cost?", cost_chart.price),
    ("cpu_per_message", "Where does the CPU time of a message go?", cost_chart.cpu_per_message),
    ("queue_scaling", "What do more producers and consumers bring a queue?", queue_chart.scaling),
    ("sync_costs", "What does it cost to take a lock, hand it over, wake somebody?", sync_chart.sync_costs),
    ("rates", "How many tasks does a pool do, beside other pools?", rates_chart.rates),
    ("manager_rates", "How many calls do managed objects answer?", manager_chart.manager_rates),
    ("ratio_to_limit", "How close does each mechanism come to its limit?", ratio_chart.ratio_to_limit),
    ("conformance", "Which promises does each mechanism keep?", matrix_chart.conformance),
)
