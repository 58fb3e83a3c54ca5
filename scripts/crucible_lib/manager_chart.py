"""How many calls managed objects answer, beside what else keeps objects for others: dots, a panel per question."""
import re

from . import conformance, pipe_cells, style, summary, text

OPERATIONS = {"get": "Dict, get", "set": "Dict, set", "mixed": "Dict, 9 get : 1 set"}
COLUMNS = 3


def question_of(workload):
    """(order, words) of a workload that is drawn; None of others."""
    match = re.fullmatch(r"dict_(get|set|mixed)_(\d+)(_pipelined)?", workload)
    if match:
        operation, clients, ahead = match[1], int(match[2]), bool(match[3])
        return ((ahead, list(OPERATIONS).index(operation), clients),
                OPERATIONS[operation] + (", sent ahead of answers" if ahead else f", {clients} client{'s' * (clients > 1)}"))
    match = re.fullmatch(r"list_append_(\d+)", workload)
    return match and ((True, len(OPERATIONS), int(match[1])), f"List, append, {match[1]} client{'s' * (match[1] != '1')}")


def manager_rates(results):
    found = [r for r in summary.measured(results, primitive="manager") if "messages_per_s" in r["metrics"]
             and question_of(r["workload"]) and (r["role"] != "limit" or r["name"] == "private_map")]
    subjects = [r for r in found if r["role"] == "mechanism"]
    place = next((p for p in ("free", "cross", "same") if any(r["placement"] == p for r in subjects)), None)
    if place is None:
        return None
    size = min({r["bytes"] for r in subjects if r["placement"] == place}, key=lambda b: (abs(b - 64), b))
    found = [r for r in found if r["placement"] == place and r["bytes"] == size]
    panels = {}
    for record in found:
        panels.setdefault(question_of(record["workload"]), []).append(record)
    limits = {r["paired_with"]: r for r in summary.measured(results, primitive="manager", role="limit")
              if "paired_with" in r and r["name"] != "own_1"}
    rows = -(-len(panels) // COLUMNS)
    canvas = style.Canvas(
        rows, min(COLUMNS, len(panels)), (2.5, 0.25 + 0.2 * max(map(len, panels.values()))),
        "How many calls do managed objects answer?",
        pipe_cells.subtitles(results, found, f"Calls per second of all clients together, values of {text.size(size)}, "
                             f"{pipe_cells.PLACEMENT_TITLES[place]}; log scale, higher is better"),
        ["| beside one client: as many bare round trips by the same transport are made",
         "Grey: what else keeps objects, by its own API, in the same run; private_map is a map that nobody shares."]
        + [pipe_cells.STANDING_NOTE] * any(conformance.standing(results, r) != "passed" for r in found),
        left=1.75, right=0.3, gap=(1.75, 0.7), least_width=7.2)
    axes = [axis for row in canvas.axes for axis in row]
    for axis, ((_, words), cells) in zip(axes, sorted(panels.items())):
        _panel(results, axis, cells, limits)
        axis.set_title(words, loc="left")
    for axis in axes[len(panels):]:
        axis.set_visible(False)
    return canvas


def _label(results, record):
    label = pipe_cells.label(results, {**record, "form": "native"})
    return f"{label}, no server" if record["role"] == "mechanism" and record.get("form") == "native" else label


def _panel(results, axis, cells, limits):
    axis.set_xscale("log")
    cells = sorted(cells, key=lambda r: -r["metrics"]["messages_per_s"])
    for y, record in enumerate(cells):
        own = record["role"] == "mechanism"
        colour, marker = style.of(record["name"]) if own else (style.GREY, "o")
        valid = conformance.standing(results, record) == "passed"
        axis.plot([record["metrics"]["messages_per_s"]], [y], marker, color=colour, markersize=6,
                  markerfacecolor=colour if valid else "white")
        limit = limits.get(record.get("case"))
        if limit and not limit["name"].startswith("private_") and "messages_per_s" in limit["metrics"]:
            axis.plot([limit["metrics"]["messages_per_s"]], [y], "|", color=style.GREY, markersize=12,
                      markeredgewidth=2)
        if not valid:
            axis.axhspan(y - 0.45, y + 0.45, facecolor="none", edgecolor="#999999", hatch="////", linewidth=0)
    axis.set_yticks(range(len(cells)), [_label(results, r) for r in cells], fontsize=8)
    axis.set_ylim(len(cells) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    low, high = axis.get_xlim()
    axis.set_xlim(low / 1.15, high * 1.15)
    style.log_ticks(axis.xaxis, style.plain_rate)
