"""How the rate of a queue changes with its producers and consumers: a line per mechanism, a column per form."""
from . import conformance, pipe_cells, style, summary, text

SQUARE = {"one_way_1x1": "1×1", "one_way_2x2": "2×2", "one_way_4x4": "4×4", "one_way_8x8": "8×8"}
FANS = {"fan_in_4x1": "4→1", "fan_out_1x4": "1→4"}
SHAPES = {**SQUARE, **FANS}
FORMS = {"native": "native: the mechanism's own queue", "composed": "composed: a broker over its connections"}
_PEER_LINES = {"cpython": ":", "boost_message_queue": "--"}


def scaling(results):
    found = [r for r in summary.measured(results, primitive="queue") if r["workload"] in SHAPES
             and r["role"] in ("mechanism", "peer") and "messages_per_s" in r["metrics"]]
    subjects = [r for r in found if r["role"] == "mechanism"]
    place = next((p for p in ("free", "cross", "same") if any(r["placement"] == p for r in subjects)), None)
    if place is None:
        return None
    found, subjects = ([r for r in some if r["placement"] == place] for some in (found, subjects))
    sizes = _sizes(subjects)
    forms = [form for form in FORMS if any(r["form"] == form for r in subjects)]
    canvas = style.Canvas(
        len(sizes), len(forms), (3.9, 3.3), "What do more producers and consumers bring a queue?",
        pipe_cells.subtitles(results, found, f"Messages per second through one queue, {pipe_cells.PLACEMENT_TITLES[place]}"
                             ", a process per producer and consumer; log scale, higher is better"),
        _notes(results, found, subjects), gap=(2.15, 0.8), left=0.95, right=1.75, least_width=7.2)
    for row, size in zip(canvas.axes, sizes):
        for axis, form in zip(row, forms):
            here = [r for r in found if r["bytes"] == size and (r["form"] == form or r["role"] == "peer")]
            _panel(results, axis, here)
            axis.set_title(f"{text.size(size)}, {FORMS[form]}", loc="left")
    return canvas


def _sizes(subjects):
    """Those of which more is known than how fast two processes are; else all."""
    wide = sorted({r["bytes"] for r in subjects if r["workload"] not in ("one_way_1x1",)})
    several = [s for s in wide if len({r["workload"] for r in subjects if r["bytes"] == s}) >= 3]
    return several or wide or sorted({r["bytes"] for r in subjects})


def _panel(results, axis, here):
    axis.set_yscale("log")
    places = {workload: x for x, workload in enumerate(SHAPES)}
    series, ends = {}, []
    for record in here:
        series.setdefault((record["role"], summary.label(record)), {})[record["workload"]] = record
    for (role, _), line in sorted(series.items()):
        first = next(iter(line.values()))
        colour, marker = (style.GREY, "") if role == "peer" else style.of(first["name"])
        valid = conformance.standing(results, first) == "passed"
        dashes = _PEER_LINES.get(first["name"], ":") if role == "peer" else style.LINES[first["wait"]]
        square = [(places[w], line[w]["metrics"]["messages_per_s"]) for w in SQUARE if w in line]
        fans = [(places[w], line[w]["metrics"]["messages_per_s"]) for w in FANS if w in line]
        looks = {"color": colour, "markersize": 5.5, "markerfacecolor": colour if valid else "white",
                 "fillstyle": style.FILLS[first["wait"]], "markerfacecoloralt": "white"}
        if square:
            axis.plot(*zip(*square), linestyle=dashes if valid else ":", linewidth=1.5, marker=marker, **looks)
        if fans:
            axis.plot(*zip(*fans), linestyle="", marker=marker or "_", **looks)
        ends.append(((fans or square)[-1][1], pipe_cells.label(results, first, summary.label({**first, "form": "native"})),
                     colour))
    axis.set_xticks(range(len(SHAPES)), SHAPES.values())
    axis.set_xlim(-0.3, len(SHAPES) - 0.7)
    axis.axvline(len(SQUARE) - 0.5, color=style.FAINT, linewidth=0.8)
    axis.set_xlabel("producers × consumers" + " " * 8 + "fan in, fan out")
    style.log_ticks(axis.yaxis, style.plain_rate)
    style.end_labels(axis, ends)


def _notes(results, found, subjects):
    notes = []
    if any(r["wait"] != "kernel" for r in subjects):
        notes.append((" Lines: solid, who sleeps at once; dash-dotted, adaptive; dashed, who spins."
                      + pipe_cells.FILL_NOTE).strip())
    peers = sorted({r["name"] for r in found if r["role"] == "peer"})
    if peers:
        notes.append(f"Grey: {', '.join(peers)}, by their own API, in the same run.")
    gaps = sorted({summary.label(r) for r in results["records"] if r["primitive"] == "queue" and "metrics" not in r
                   and r["role"] == "mechanism" and r["workload"] in SHAPES})
    if gaps:
        notes.append(f"Not all could be measured of {', '.join(gaps)}; the report says why.")
    if any(conformance.standing(results, r) != "passed" for r in subjects):
        notes.append(pipe_cells.STANDING_NOTE)
    return notes
