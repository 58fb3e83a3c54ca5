"""How every chart looks: one colour and marker per mechanism, plain ticks, titles, labels that do not collide."""
import textwrap
import zlib

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot, ticker  # noqa: E402  (the backend must be chosen first)

from . import text  # noqa: E402

# Okabe-Ito without its yellow, which vanishes on white. Marker and colour together tell seven apart in grey, too.
MECHANISMS = {
    "posix_pipe": ("#0072B2", "o"),
    "unix_socket": ("#D55E00", "s"),
    "tcp_socket": ("#009E73", "^"),
    "shm_ring": ("#000000", "D"),
    "boost_ipc": ("#CC79A7", "v"),
    "zeromq_ipc": ("#56B4E9", "P"),
    "zeromq_tcp": ("#E69F00", "X"),
}
_MORE_MARKERS = "<>hpd8*"
GREY = "#767676"
LINES = {"kernel": "-", "block": "-", "adaptive": "-.", "spin": (0, (4, 1.5))}
# Of the same mechanism, by how it waits: a spinner must not look like a sleeper.
FILLS = {"kernel": "full", "block": "full", "adaptive": "left", "spin": "top"}
LIMIT_LINES = ("--", ":", "-.", (0, (5, 1, 1, 1)), (0, (8, 2)))
INK, FAINT = "#1a1a1a", "#d9d9d9"

RC = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.edgecolor": GREY, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": FAINT, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "axes.titlesize": 9.5, "axes.titleweight": "bold", "hatch.linewidth": 0.5,
    # Shapes and not text, so that a report looks the same without our font; no random ids, so that runs compare.
    "svg.fonttype": "path", "svg.hashsalt": "crucible",
}


def of(name):
    """(colour, marker); a name not in the table always gets the same pair, unlike any in it."""
    if name in MECHANISMS:
        return MECHANISMS[name]
    pick = zlib.crc32(name.encode())
    colours = [colour for colour, _ in MECHANISMS.values()]
    return colours[pick % len(colours)], _MORE_MARKERS[pick // len(colours) % len(_MORE_MARKERS)]


class Canvas:
    """A figure with room, in inches, for a title block above and notes below; a grid of panels between."""

    SUBTITLE_IN, NOTE_IN = 0.19, 0.18

    def __init__(self, rows, columns, panel, title, subtitles, notes, left=0.85, right=1.5, gap=(0.7, 0.75),
                 least_width=0.0, height_ratios=None, **options):
        width = left + right + columns * panel[0] + (columns - 1) * gap[0]
        if width < least_width:
            panel = (panel[0] + (least_width - width) / columns, panel[1])
            width = least_width
        subtitles = [part for line in subtitles for part in _wrapped(line, width)]
        notes = [part for line in notes for part in _wrapped(line, width)]
        top = 0.75 + self.SUBTITLE_IN * len(subtitles)
        bottom = 0.62 + self.NOTE_IN * len(notes)
        heights = [panel[1] * ratio / max(height_ratios) for ratio in height_ratios] if height_ratios else [panel[1]] * rows
        height = top + bottom + sum(heights) + (rows - 1) * gap[1]
        self.figure, self.axes = pyplot.subplots(rows, columns, figsize=(width, height), squeeze=False,
                                                 height_ratios=heights, **options)
        self.figure.subplots_adjust(left=left / width, right=1 - right / width, top=1 - top / height,
                                    bottom=bottom / height, wspace=gap[0] / panel[0], hspace=gap[1] * rows / sum(heights))
        self.figure.text(0.12 / width, 1 - 0.1 / height, title, fontsize=13, weight="bold", va="top")
        for number, line in enumerate(subtitles):
            self.figure.text(0.12 / width, 1 - (0.38 + number * self.SUBTITLE_IN) / height, line, fontsize=8.5,
                             color="#444444", va="top")
        for number, line in enumerate(reversed(notes)):
            self.figure.text(0.12 / width, (0.08 + number * self.NOTE_IN) / height, line, fontsize=8, color="#444444")

    def save(self, folder, name):
        """Both forms, without a date and without metadata that names other places."""
        self.figure.savefig(folder / f"{name}.svg", metadata={k: None for k in ("Date", "Creator", "Format", "Type")})
        self.figure.savefig(folder / f"{name}.png", dpi=150, metadata={"Software": None})
        pyplot.close(self.figure)


def _wrapped(line, width_in):
    """At 8.5 points a character takes about 0.063 inches."""
    return textwrap.wrap(line, max(40, int((width_in - 0.2) / 0.063))) or [""]


def size_axis(axis, sizes):
    axis.set_xscale("log", base=2)
    shown = sorted(sizes)
    while len(shown) > 7:
        shown = shown[::2]
    axis.xaxis.set_major_locator(ticker.FixedLocator(shown))
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: text.size(round(value))))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    if len(sizes) == 1:
        axis.set_xlim(shown[0] / 2, shown[0] * 2)


def log_ticks(axis, form):
    """Plain labels: powers of ten, and 2 and 5 between them where the axis spans little."""
    low, high = axis.get_view_interval()
    span = high / low
    axis.set_major_locator(ticker.LogLocator(subs=(1,) if span > 1000 else (1, 3) if span > 50 else (1, 2, 5),
                                             numticks=20))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: form(value)))
    axis.set_minor_locator(ticker.NullLocator())


def plain_nanoseconds(value):
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if value >= scale * 0.999:
            return f"{value / scale:g} {unit}"
    return f"{value:g} ns"


def plain_rate(value):
    for prefix, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale * 0.999:
            return f"{value / scale:g} {prefix}/s"
    return f"{value:g} /s"


def end_labels(axis, ends):
    """Names lines at the right of the panel, `ends` being (y value, text, colour); pushed apart, in order of y."""
    if not ends:
        return
    axis.figure.canvas.draw()
    height = axis.get_window_extent().height / axis.figure.dpi
    apart = 0.155 / height
    place = {i: axis.transAxes.inverted().transform(axis.transData.transform((1, ends[i][0])))[1]
             for i in range(len(ends))}
    order = sorted(place, key=place.get)
    spots = [place[i] for i in order]
    # Sweeps up, then down from the top: enough for the few labels that a panel has.
    for i in range(1, len(spots)):
        spots[i] = max(spots[i], spots[i - 1] + apart)
    spots[-1] = min(spots[-1], max(1.0, apart * (len(spots) - 1)))
    for i in range(len(spots) - 2, -1, -1):
        spots[i] = min(spots[i], spots[i + 1] - apart)
    for spot, i in zip(spots, order):
        _, words, colour = ends[i]
        axis.annotate(words, xy=(1.0, place[i]), xytext=(1.03, spot), xycoords="axes fraction",
                      textcoords="axes fraction", color=colour, va="center", fontsize=8.5, annotation_clip=False,
                      arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "shrinkA": 0, "shrinkB": 0,
                                  "relpos": (0, 0.5)}
                      if abs(spot - place[i]) > 0.25 * apart else None)
