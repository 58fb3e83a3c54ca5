"""What locks, conditions, events and barriers cost, beside what else a program can use: dots, a panel per question."""
import re

from . import conformance, pipe_cells, style, summary, text

GROUPS = {"uncontended": "Taken and given back, alone", "handoff": "Handed over and back",
          "contended": "Wanted by {n} at once: wait for it", "ping_pong": "Notified and answered",
          "wake": "Set, until all {n} have woken", "meet": "Barrier passed by {n}"}
COLUMNS = 3


def group_of(record):
    """('contended', 4) of contended_4; 0 where no number belongs to it."""
    match = re.fullmatch(r"(.*?)(?:_(\d+))?", record["workload"])
    return match[1], int(match[2] or 0)


def value_of(record):
    """The typical time of an operation: of what is timed one by one the median, else that of the blocks."""
    return record["metrics"].get("latency_p50_ns") or record.get("ns_per_operation", {}).get("median")


def sync_costs(results):
    found = [r for r in summary.measured(results, primitive="sync") if r["role"] != "limit" and value_of(r)]
    panels = _panels(found)
    if not panels:
        return None
    limits = {r["paired_with"]: r for r in summary.measured(results, primitive="sync", role="limit")}
    rows = -(-len(panels) // COLUMNS)
    columns = min(COLUMNS, len(panels))
    most = max(len(cells) for _, cells in panels)
    canvas = style.Canvas(
        rows, columns, (2.5, 0.25 + 0.2 * most), "What does it cost to take a lock, hand it over, wake somebody?",
        pipe_cells.subtitles(results, found, "Time of one operation, log scale, lower is better"),
        ["● p50, or of operations too short to time the median block   ○ p99   | the limit beside it: a robust mutex of "
         "the C library, or bare futex calls", "Black: this library's. Grey: what else a program can use, in the same run."]
        + [pipe_cells.STANDING_NOTE] * any(conformance.standing(results, r) != "passed" for r in found),
        left=1.75, right=0.3, gap=(1.75, 0.7), least_width=7.2)
    axes = [axis for row in canvas.axes for axis in row]
    for axis, (title, cells) in zip(axes, panels):
        _panel(results, axis, cells, limits)
        axis.set_title(title, loc="left")
    for axis in axes[len(panels):]:
        axis.set_visible(False)
    return canvas


def _panels(found):
    """(title, records) by question, number of processes and placement; barriers and events of any number together."""
    panels = []
    for group, words in GROUPS.items():
        here = [r for r in found if group_of(r)[0] == group]
        together = group in ("wake", "meet")
        numbers = [None] if together else sorted({group_of(r)[1] for r in here})
        for place in pipe_cells.PLACEMENT_TITLES:
            for number in numbers:
                cells = [r for r in here if r["placement"] == place and (together or group_of(r)[1] == number)]
                if cells:
                    title = words.format(n="n" if together else number)
                    panels.append((f"{title}, {pipe_cells.PLACEMENT_TITLES[place]}", cells))
    return panels


def _panel(results, axis, cells, limits):
    axis.set_xscale("log")
    cells = sorted(cells, key=lambda r: (group_of(r)[1], value_of(r)))
    for y, record in enumerate(cells):
        own = record["role"] == "mechanism"
        colour, marker = (style.INK, "D") if own else (style.GREY, "o")
        p50, p99 = value_of(record), record["metrics"].get("latency_p99_ns")
        if p99:
            axis.plot([p50, p99], [y, y], color=colour, linewidth=1.1)
            axis.plot([p99], [y], marker, color=colour, markerfacecolor="white", markersize=5)
        valid = conformance.standing(results, record) == "passed"
        axis.plot([p50], [y], marker, color=colour, markersize=6, markerfacecolor=colour if valid else "white")
        limit = limits.get(record.get("case"))
        if limit and value_of(limit):
            axis.plot([value_of(limit)], [y], "|", color=style.GREY, markersize=12, markeredgewidth=2)
        if not valid:
            axis.axhspan(y - 0.45, y + 0.45, facecolor="none", edgecolor="#999999", hatch="////", linewidth=0)
    several = len({group_of(r)[1] for r in cells}) > 1
    axis.set_yticks(range(len(cells)), [pipe_cells.label(results, r) + (f", {group_of(r)[1]}" if several else "")
                                        for r in cells], fontsize=8)
    axis.set_ylim(len(cells) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    low, high = axis.get_xlim()
    axis.set_xlim(low / 1.15, high * 1.15)
    style.log_ticks(axis.xaxis, style.plain_nanoseconds)
