"""The whole distribution of round trips, so that a tail is seen that no single percentile shows."""
from matplotlib import ticker

from . import conformance, pipe_cells, style, summary, text

_TICKS = {2: "50 %", 10: "90 %", 100: "99 %", 1e3: "99.9 %", 1e4: "99.99 %", 1e5: "99.999 %"}
MOST_LIMITS = 3


def percentile_spectrum(results):
    size, found = pipe_cells.of_one_size(_with_spectrum(results, "mechanism"))
    if not found:
        return None
    places = [p for p in pipe_cells.PLACEMENT_TITLES if any(r["placement"] == p for r in found)]
    limits = [r for r in _with_spectrum(results, "limit") if r["bytes"] == size]
    drawn = {p: _limits(limits, p) for p in places}
    canvas = style.Canvas(
        1, len(places), (3.9, 3.6), "How late are the few that are late?",
        pipe_cells.subtitles(results, found, f"Round trips of {text.size(size)} by percentile, log scales, lower is better"),
        ["The further right, the rarer: at 99 % one of a hundred took at least so long. A line ends where fewer than ten "
         "samples lie beyond."] + ["Grey, dashed: limits, the same work in raw code."] * any(drawn.values())
        + ["Limits are left out where there are too many to tell apart."] * (not all(drawn.values()) and bool(limits))
        + [pipe_cells.STANDING_NOTE] * any(conformance.standing(results, r) != "passed" for r in found),
        gap=(2.05, 0.7), left=0.9, right=1.6, least_width=7.2)
    for axis, place in zip(canvas.axes[0], places):
        axis.set_xscale("log")
        axis.set_yscale("log")
        ends = [_line(axis, r, style.GREY, "--", summary.label(r)) for r in drawn[place]]
        for record in sorted((r for r in found if r["placement"] == place), key=summary.label):
            valid = conformance.standing(results, record) == "passed"
            ends.append(_line(axis, record, style.of(record["name"])[0], style.LINES[record["wait"]] if valid else ":",
                              pipe_cells.label(results, record)))
        axis.xaxis.set_major_locator(ticker.FixedLocator(list(_TICKS)))
        axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _TICKS.get(round(value), "")))
        axis.xaxis.set_minor_locator(ticker.NullLocator())
        style.log_ticks(axis.yaxis, style.plain_nanoseconds)
        axis.set_xlabel("percentile")
        axis.set_title(pipe_cells.PLACEMENT_TITLES[place], loc="left")
        style.end_labels(axis, ends)
    return canvas


def _with_spectrum(results, role):
    return [r for r in pipe_cells.pipe(results, "round_trip", role) if "spectrum" in r]


def _limits(limits, place):
    """One line of each name, the one with the most samples; none where they would be too many."""
    best = {}
    for record in limits:
        if record["placement"] == place:
            key = record["name"]
            if key not in best or record["metrics"]["samples"] > best[key]["metrics"]["samples"]:
                best[key] = record
    return list(best.values()) if len(best) <= MOST_LIMITS else []


def _line(axis, record, colour, line, label):
    points = [(1 / (1 - q), ns) for q, ns in zip(record["spectrum"]["quantile"], record["spectrum"]["latency_ns"])
              if 0 < q < 1 and ns > 0]
    x, y = zip(*points)
    axis.plot(x, y, linestyle=line, color=colour, linewidth=1.1 if colour == style.GREY else 1.6,
              zorder=1.5 if colour == style.GREY else 2)
    return y[-1], label, colour
