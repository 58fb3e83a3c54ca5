"""The ratio of every mechanism to its limit: dots with intervals on a log axis, and the targets that are set for them."""
from . import conformance, style, summary, targets, text

TITLES = {"cross": "across two CPUs", "same": "on one CPU", "free": "unpinned"}
WORKLOADS = (("round_trip", "Round trip: times its limit's, lower is better"),
             ("one_way", "One way: share of its limit's rate, higher is better"))
PREFERRED_SIZES = (8, 64, 1024, 4096, 65536, 1048576)
MOST_SIZES = 6


def ratio_to_limit(results):
    """A row of panels per workload, a column per placement; in them a line per mechanism, strategy and size."""
    rows = [(title, cells) for title, cells in ((title, _cells(results, workload)) for workload, title in WORKLOADS)
            if any("ratio_to_limit" in r for r in cells)]
    if not rows:
        return None
    everything = [r for _, cells in rows for r in cells]
    placements = [p for p in TITLES if any(r["placement"] == p and "ratio_to_limit" in r for r in everything)]
    lines = [_lines(cells) for _, cells in rows]
    line_in = 0.135
    canvas = style.Canvas(
        len(rows), len(placements), (3.0, line_in * max(map(len, lines))),
        "How close does each mechanism come to its limit?",
        ([results["run"]["example"]] if "example" in results["run"] else [])
        + ["Ratio to the same work in raw code, measured in alternating blocks: median and 95 % interval, log scale",
           "How a mechanism waits stands behind its name; without a word, in the kernel. Its limit waits the same way.",
           summary.machine(results)],
        ["● median with interval   ¦ the limit itself   ▏must, ▏(pale) aim, where a target is set   "
         "hollow: conformance not passed, not valid   × unsupported or not measured, the report says why"],
        left=2.1, right=0.3, gap=(0.3, 0.75), sharey="row", height_ratios=[len(found) for found in lines])
    for axes, (title, cells), found in zip(canvas.axes, rows, lines):
        for axis, place in zip(axes, placements):
            _panel(results, axis, [r for r in cells if r["placement"] == place], found)
            axis.set_title(f"{title.split(':')[0]}, {TITLES[place]}", loc="left")
        low = min(axis.get_xlim()[0] for axis in axes)
        high = max(axis.get_xlim()[1] for axis in axes)
        for axis in axes:
            axis.set_xlim(low / 1.1, high * 1.1)
            style.log_ticks(axis.xaxis, lambda value: f"{value:g}")
            axis.set_xlabel(title.split(": ")[1], fontsize=8)
        _name_lines(axes[0], found)
    return canvas


def _cells(results, workload):
    found = [r for r in results["records"] if r["role"] == "mechanism" and r["primitive"] == "pipe"
             and r["workload"] == workload and r["call"] == "direct" and r["placement"] in TITLES and r["bytes"] > 0]
    sizes = sorted({r["bytes"] for r in found})
    if len(sizes) > MOST_SIZES:
        sizes = [s for s in PREFERRED_SIZES if s in sizes] or sizes[:MOST_SIZES]
    return [r for r in found if r["bytes"] in sizes]


def _lines(cells):
    """(label, bytes) of every line, the sizes of one mechanism and strategy together."""
    return sorted({(summary.label(r), r["bytes"]) for r in cells})


def _name_lines(axis, lines):
    """The size beside each line, the mechanism once beside its sizes."""
    axis.set_ylim(len(lines) - 0.4, -0.6)
    axis.set_yticks(range(len(lines)), [text.size(size) for _, size in lines], fontsize=6.5, color=style.GREY)
    axis.tick_params(axis="y", length=0)
    first = {}
    for y, (label, _) in enumerate(lines):
        first.setdefault(label, []).append(y)
    for label, ys in first.items():
        axis.text(-0.19, sum(ys) / len(ys), label, ha="right", va="center", fontsize=8.5,
                  transform=axis.get_yaxis_transform(), color=style.of(label.split(" ")[0])[0])


def _panel(results, axis, cells, lines):
    axis.set_xscale("log")
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.axvline(1, color=style.GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    known, places = targets.load(), {line: y for y, line in enumerate(lines)}
    ends = {}
    for y, (label, _) in enumerate(lines):
        ends[label] = y
    for y in list(ends.values())[:-1]:
        axis.axhline(y + 0.5, color=style.FAINT, linewidth=0.6, zorder=0.5)
    for record in cells:
        y = places[summary.label(record), record["bytes"]]
        if "ratio_to_limit" in record:
            _dot(axis, record, y, conformance.standing(results, record) == "passed")
            _aims(axis, targets.of(record, known), y)
        elif "metrics" not in record:
            axis.text(0.985, y, "×", transform=axis.get_yaxis_transform(), ha="right", va="center", fontsize=8,
                      color=style.of(record["name"])[0])


def _dot(axis, record, y, valid):
    colour, marker = style.of(record["name"])
    ratio = record["ratio_to_limit"]
    if ratio["low"] is not None:
        axis.plot([ratio["low"], ratio["high"]], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt", alpha=0.6)
    axis.plot([ratio["median"]], [y], marker, color=colour, markersize=4.6, markerfacecolor=colour if valid else "white",
              fillstyle=style.FILLS[record["wait"]] if valid else "full", markerfacecoloralt="white")


def _aims(axis, target, y):
    """Short upright lines across this line of the panel: what must be reached, and paler what is aimed at."""
    if not target or "metric" in target:
        return
    axis.plot([target["must"]] * 2, [y - 0.45, y + 0.45], color=style.INK, linewidth=1.6, solid_capstyle="butt")
    axis.plot([target["aim"]] * 2, [y - 0.45, y + 0.45], color="#9a9a9a", linewidth=1.2, solid_capstyle="butt")
