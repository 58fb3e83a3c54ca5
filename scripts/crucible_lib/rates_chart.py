"""How much a pool gets done beside what else a program can use: dots, a panel per question."""
from . import conformance, pipe_cells, style, summary

# Primitive, workloads whose subjects and rivals belong together (the first decides which subjects), title.
PANELS = (
    ("pool", ("versus_cpython_chunk_1", "versus_executor_chunk_1"), "Pool: tasks that do nothing, each by itself"),
    ("pool", ("versus_cpython_chunk_default",), "Pool: the same in chunks of the default size"),
)
RATES = ("tasks_per_s", "messages_per_s")
COLUMNS = 2


def rate_of(record):
    return next((record["metrics"][key] for key in RATES if key in record["metrics"]), None)


def rates(results):
    panels = [(title, cells) for title, cells in ((title, _cells(results, primitive, workloads))
                                                  for primitive, workloads, title in PANELS) if cells]
    if not panels:
        return None
    found = [record for _, cells in panels for record in cells]
    columns = min(COLUMNS, len(panels))
    most = max(len(cells) for _, cells in panels)
    canvas = style.Canvas(
        -(-len(panels) // columns), columns, (3.2, 0.3 + 0.22 * most), "How many tasks does a pool do, beside other pools?",
        pipe_cells.subtitles(results, [r for r in found if r["role"] == "mechanism"], "Done per second by two workers, the median block, with its 95 % interval; "
                             "log scale, higher is better"),
        ["Grey: what else a program can use, in alternating blocks of the same run."]
        + [pipe_cells.STANDING_NOTE] * any(conformance.standing(results, r) != "passed" for r in found),
        left=1.75, right=0.4, gap=(1.85, 0.8), least_width=7.2)
    axes = [axis for row in canvas.axes for axis in row]
    for axis, (title, cells) in zip(axes, panels):
        _panel(results, axis, cells)
        axis.set_title(title, loc="left")
    for axis in axes[len(panels):]:
        axis.set_visible(False)
    return canvas


def _cells(results, primitive, workloads):
    """The subjects of the first workload, and of every rival beside any of them the record that says most."""
    here = [r for r in summary.measured(results, primitive=primitive) if r["workload"] in workloads and rate_of(r)]
    subjects = [r for r in here if r["role"] == "mechanism" and r["workload"] == workloads[0]]
    rivals = {}
    for record in sorted((r for r in here if r["role"] != "mechanism"), key=lambda r: r["metrics"]["samples"]):
        rivals[record["name"]] = record
    return sorted([*subjects, *rivals.values()], key=rate_of, reverse=True) if subjects else []


def _panel(results, axis, cells):
    axis.set_xscale("log")
    for y, record in enumerate(cells):
        own = record["role"] == "mechanism"
        colour, marker = style.of(record["name"]) if own else (style.GREY, "o")
        valid = conformance.standing(results, record) == "passed"
        rate, block = rate_of(record), record.get("ns_per_operation", {})
        if block.get("low"):
            axis.plot([rate * block["median"] / block["high"], rate * block["median"] / block["low"]], [y, y],
                      color=colour, linewidth=1.4)
        axis.plot([rate], [y], marker, color=colour, markersize=6, markerfacecolor=colour if valid else "white",
                  fillstyle=style.FILLS[record["wait"]] if valid and own else "full", markerfacecoloralt="white")
        if not valid:
            axis.axhspan(y - 0.45, y + 0.45, facecolor="none", edgecolor="#999999", hatch="////", linewidth=0)
    # A rival has neither form nor strategy of its own, whatever the record says that it was beside.
    axis.set_yticks(range(len(cells)), [pipe_cells.label(results, {**r, "form": "native"}) if r["role"] == "mechanism"
                                        else r["name"] for r in cells], fontsize=8)
    axis.set_ylim(len(cells) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=8)
    low, high = axis.get_xlim()
    axis.set_xlim(low / 1.3, high * 1.3)
    style.log_ticks(axis.xaxis, style.plain_rate)
