"""Latency under load: a schedule that does not wait for answers, beside one message at a time."""
from . import conformance, pipe_cells, style, summary, text

SUSTAINED = 0.99
PERCENTILES = (("latency_p50_ns", "half of the messages took at most"),
               ("latency_p99_ns", "99 of a hundred took at most"))


def latency_under_load(results):
    size, found = pipe_cells.of_one_size([r for r in pipe_cells.pipe(results, "load") if r.get("load_curve")])
    if not found:
        return None
    places = [p for p in pipe_cells.PLACEMENT_TITLES if any(r["placement"] == p for r in found)]
    canvas = style.Canvas(
        len(places), len(PERCENTILES), (3.9, 3.3), "What happens to latency under load?",
        pipe_cells.subtitles(results, found, f"Messages of {text.size(size)} on a fixed schedule, one way; latency from when a "
                             "message was due; log scales, lower and further right is better"),
        ["Filled: at least 99 % of what was offered was achieved; hollow: less, and what waits grows without end.",
         "Large and alone: closed loop, the next message is sent when the one before has arrived; its rate is what comes "
         "of that."]
        + [pipe_cells.STANDING_NOTE] * any(conformance.standing(results, r) != "passed" for r in found),
        gap=(2.75, 0.75), left=0.95, right=2.1)
    for row, place in zip(canvas.axes, places):
        here = sorted((r for r in found if r["placement"] == place), key=summary.label)
        for axis, (key, words) in zip(row, PERCENTILES):
            _panel(results, axis, here, key)
            axis.set_title(f"{pipe_cells.PLACEMENT_TITLES[place]}: {words}", loc="left")
    return canvas


def _panel(results, axis, here, key):
    axis.set_xscale("log")
    axis.set_yscale("log")
    ends = []
    for record in here:
        colour, marker = style.of(record["name"])
        steps = [s for s in record["load_curve"] if s.get(key)]
        if not steps:
            continue
        valid = conformance.standing(results, record) == "passed"
        x, y = [s["offered_per_s"] for s in steps], [s[key] for s in steps]
        axis.plot(x, y, linestyle=style.LINES[record["wait"]] if valid else ":", color=colour, linewidth=1.3)
        for step in steps:
            held = valid and step["achieved_per_s"] >= SUSTAINED * step["offered_per_s"]
            axis.plot([step["offered_per_s"]], [step[key]], marker, color=colour, markersize=4.5,
                      markerfacecolor=colour if held else "white")
        closed = record.get("closed_loop", {})
        if closed.get(key):
            axis.plot([closed["messages_per_s"]], [closed[key]], marker, color=colour, markersize=9,
                      markerfacecolor="none", markeredgewidth=1.6)
        sustained = record["metrics"].get("sustainable_per_s")
        rate = f", {text.rate(sustained)}" if sustained else ""
        ends.append((y[-1], pipe_cells.label(results, record) + rate, colour))
    style.log_ticks(axis.xaxis, style.plain_rate)
    style.log_ticks(axis.yaxis, style.plain_nanoseconds)
    axis.set_xlabel("offered messages per second")
    style.end_labels(axis, ends)
