"""The first chart: p50 and p99 of a round trip, sorted, a panel per size and placement."""
from . import conformance, pipe_cells, records, style, summary, text

PREFERRED_SIZES = (64, 4096, 65536, 1048576)


def _some_sizes(sizes):
    """At most four, those that people ask for where they were measured."""
    sizes = sorted(sizes)
    if len(sizes) <= 4:
        return sizes
    chosen = [s for s in PREFERRED_SIZES if s in sizes]
    return chosen if len(chosen) >= 3 else [sizes[round(i * (len(sizes) - 1) / 3)] for i in range(4)]


def overview(results):
    found = [r for r in pipe_cells.pipe(results, "round_trip") if "latency_p50_ns" in r["metrics"]]
    if not found:
        return None
    placements, gaps = pipe_cells.placements(found), pipe_cells.gaps(results, "round_trip")
    found = pipe_cells.within(placements, found)
    sizes = _some_sizes({r["bytes"] for r in found})
    limits = {(records.subject_of(r), r["wait"], r["bytes"], r["placement"]): r
              for r in pipe_cells.pipe(results, "round_trip", "limit")}
    most = max(len({pipe_cells.label(results, r) for r in found + gaps
                    if (r["bytes"], r["placement"]) == (size, place)}) for size in sizes for place in placements)
    canvas = style.Canvas(
        len(sizes), len(placements), (3.2, 0.2 + 0.24 * most), "How long does a round trip take?",
        pipe_cells.subtitles(results, found, "Round trip of one message each way, log scale, lower is better"),
        ["● p50   ○ p99, where at least 10 samples lie beyond it   | p50 of its limit: the same work in raw code",
         "Sorted by p50 in each panel." + pipe_cells.FILL_NOTE * any(r["wait"] != "kernel" for r in found)]
        + [pipe_cells.STANDING_NOTE] * any(conformance.standing(results, r) != "passed" for r in found),
        left=1.55, right=0.35, gap=(1.6, 0.6), least_width=7.2, sharex="col")
    for row, size in enumerate(sizes):
        for column, place in enumerate(placements):
            cell = [r for r in found if (r["bytes"], r["placement"]) == (size, place)]
            missing = [r for r in gaps if (r["bytes"], r["placement"]) == (size, place)]
            _overview_panel(results, canvas.axes[row][column], cell, missing, limits)
            canvas.axes[row][column].set_title(f"{text.size(size)}, {pipe_cells.PLACEMENT_TITLES[place]}", loc="left")
    for column in range(len(placements)):
        low, high = canvas.axes[0][column].get_xlim()
        for row in range(len(sizes)):
            canvas.axes[row][column].set_xlim(low / 1.15, high * 1.15)
        style.log_ticks(canvas.axes[0][column].xaxis, style.plain_nanoseconds)
    return canvas


def _overview_panel(results, axis, cell, missing, limits):
    axis.set_xscale("log")
    cell = sorted(cell, key=lambda r: r["metrics"]["latency_p50_ns"])
    for y, record in enumerate(cell):
        colour, marker = style.of(record["name"])
        p50, p99 = record["metrics"]["latency_p50_ns"], record["metrics"].get("latency_p99_ns")
        if p99:
            axis.plot([p50, p99], [y, y], color=colour, linewidth=1.2)
            axis.plot([p99], [y], marker, color=colour, markerfacecolor="white", markersize=6)
        axis.plot([p50], [y], marker, color=colour, markersize=7, fillstyle=style.FILLS[record["wait"]],
                  markerfacecoloralt="white")
        limit = limits.get((record["name"], record["wait"], record["bytes"], record["placement"]))
        if limit and "latency_p50_ns" in limit["metrics"]:
            axis.plot([limit["metrics"]["latency_p50_ns"]], [y], "|", color=style.GREY, markersize=15,
                      markeredgewidth=2)
        if conformance.standing(results, record) != "passed":
            axis.axhspan(y - 0.45, y + 0.45, facecolor="none", edgecolor="#999999", hatch="////", linewidth=0)
    for y, record in enumerate(missing, start=len(cell)):
        words = "unsupported" if "unsupported" in record else "not measured"
        axis.text(0.02, y, f"{words}: {_shortened(record.get('unsupported') or record['not_measured'])}", va="center",
                  transform=axis.get_yaxis_transform(), style="italic", color=style.GREY, fontsize=8)
    names = [pipe_cells.label(results, r) for r in cell] + [summary.label(r) for r in missing]
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(max(len(names), 1) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelbottom=True)


def _shortened(reason, most=34):
    return reason if len(reason) <= most else reason[:most - 1] + "…"
