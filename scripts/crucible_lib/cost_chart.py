"""What an answer costs: latency against CPU, and what the CPU was used for."""
from . import conformance, pipe_cells, style, text

CPU, USER, SYSTEM = "cpu_s_per_million", "cpu_user_s_per_million", "cpu_system_s_per_million"
WORKLOADS = (("round_trip", "round trips"), ("one_way", "one way"))


def _found(results, workload):
    return pipe_cells.of_one_size([r for r in pipe_cells.pipe(results, workload) if r["metrics"].get(CPU)])


def _note(results, found):
    return [pipe_cells.STANDING_NOTE] * any(conformance.standing(results, r) != "passed" for r in found)


def _places(found):
    return [p for p in pipe_cells.PLACEMENT_TITLES if any(r["placement"] == p for r in found)]


def price(results):
    size, found = _found(results, "round_trip")
    if not found:
        return None
    places = _places(found)
    canvas = style.Canvas(
        1, len(places), (3.7, 3.5), "What does a fast answer cost?",
        pipe_cells.subtitles(results, found, f"Round trips of {text.size(size)}: p50 against the CPU time of all processes per "
                             "message, log scales; best is at the lower left"),
        ["Per message of a loop that does nothing else: who spins goes on using its CPU while nobody sends."
         + pipe_cells.FILL_NOTE] + _note(results, found),
        gap=(2.05, 0.7), left=0.9, right=1.6, least_width=7.2)
    for axis, place in zip(canvas.axes[0], places):
        axis.set_xscale("log")
        axis.set_yscale("log")
        ends = []
        for record in (r for r in found if r["placement"] == place):
            colour, marker = style.of(record["name"])
            valid = conformance.standing(results, record) == "passed"
            x, y = record["metrics"][CPU] * 1e3, record["metrics"]["latency_p50_ns"]  # both in ns
            axis.plot([x], [y], marker, color=colour, markersize=8, markerfacecolor=colour if valid else "white",
                      fillstyle=style.FILLS[record["wait"]], markerfacecoloralt="white")
            ends.append((y, pipe_cells.label(results, record), colour))
        for side in (axis.xaxis, axis.yaxis):
            style.log_ticks(side, style.plain_nanoseconds)
        axis.set_xlabel("CPU time per message")
        axis.set_title(pipe_cells.PLACEMENT_TITLES[place], loc="left")
        style.end_labels(axis, ends)
    return canvas


def cpu_per_message(results):
    sizes, found = zip(*(_found(results, workload) for workload, _ in WORKLOADS))
    found = dict(zip((workload for workload, _ in WORKLOADS), found))
    flat = [r for records in found.values() for r in records]
    if not flat:
        return None
    places, rows = _places(flat), [(w, words) for w, words in WORKLOADS if found[w]]
    most = max(len([r for r in found[w] if r["placement"] == p]) for w, _ in rows for p in places)
    canvas = style.Canvas(
        len(rows), len(places), (3.2, 0.2 + 0.24 * most), "Where does the CPU time of a message go?",
        pipe_cells.subtitles(results, flat, f"CPU time of all processes per message of {text.size(sizes[0])}, log scale, lower "
                             "is better"),
        ["● all   ○ in the programs (user)   | in the kernel (system). Sorted by all in each panel."
         + pipe_cells.FILL_NOTE] + _note(results, flat),
        left=1.55, right=0.35, gap=(1.6, 0.6), least_width=7.2)
    for row, (workload, words) in zip(canvas.axes, rows):
        for axis, place in zip(row, places):
            cells = [r for r in found[workload] if r["placement"] == place]
            if not cells:
                axis.set_visible(False)
                continue
            _cpu_panel(results, axis, cells)
            axis.set_title(f"{words}, {pipe_cells.PLACEMENT_TITLES[place]}", loc="left")
    return canvas


def _cpu_panel(results, axis, cells):
    axis.set_xscale("log")
    cells = sorted(cells, key=lambda r: r["metrics"][CPU])
    for y, record in enumerate(cells):
        colour, marker = style.of(record["name"])
        every, user, system = (record["metrics"].get(key, 0) * 1e3 for key in (CPU, USER, SYSTEM))
        parts = [part for part in (user, system) if part > 0]
        axis.plot([min([every, *parts]), every], [y, y], color=colour, linewidth=1)
        if user > 0:
            axis.plot([user], [y], marker, color=colour, markerfacecolor="white", markersize=6)
        if system > 0:
            axis.plot([system], [y], "|", color=colour, markersize=12, markeredgewidth=2)
        axis.plot([every], [y], marker, color=colour, markersize=7, fillstyle=style.FILLS[record["wait"]],
                  markerfacecoloralt="white")
        if conformance.standing(results, record) != "passed":
            axis.axhspan(y - 0.45, y + 0.45, facecolor="none", edgecolor="#999999", hatch="////", linewidth=0)
    axis.set_yticks(range(len(cells)), [pipe_cells.label(results, r) for r in cells])
    axis.set_ylim(max(len(cells), 1) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    style.log_ticks(axis.xaxis, style.plain_nanoseconds)
