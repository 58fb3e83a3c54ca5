"""What the charts of pipes have in common: which cells they show, and what must be said about them."""
from . import conformance, summary

PLACEMENT_TITLES = {"cross": "across two CPUs", "same": "on one CPU", "free": "unpinned"}
FILL_NOTE = " Markers: full, who sleeps at once; half (left), adaptive; half (top), who spins and never sleeps."
STANDING_NOTE = ("(failed), (unchecked): it did not pass the conformance suite, so these numbers are not valid "
                 "(hatched, or dotted with hollow markers).")


def pipe(results, workload, role="mechanism"):
    found = summary.measured(results, primitive="pipe", workload=workload, call="direct", role=role)
    return [r for r in found if r["bytes"] > 0]


def of_one_size(found, wanted=64):
    """(size, its records): `wanted`, or else the size nearest to it that was measured."""
    size = min({r["bytes"] for r in found}, key=lambda measured: abs(measured - wanted), default=wanted)
    return size, [r for r in found if r["bytes"] == size]


def placements(found):
    """Those in which a comparison by size was measured, and not a few cells for a question of their own."""
    cells = {p: [r for r in found if r["placement"] == p] for p in PLACEMENT_TITLES}
    wide = [p for p, records in cells.items()
            if len({r["bytes"] for r in records}) >= 3 and len({r["name"] for r in records}) >= 2]
    return wide or [p for p, records in cells.items() if records]


def within(placements, found):
    return [r for r in found if r["placement"] in placements]


def subtitles(results, found, what):
    samples = [r["metrics"].get("samples", 0) for r in found]
    counts = f"n = {min(samples):,}" + (f" to {max(samples):,}" if min(samples) != max(samples) else "")
    example = [results["run"]["example"]] if "example" in results["run"] else []
    return example + [f"{what}; {counts} per point", _waits(found), summary.machine(results)]


def _waits(found):
    """How each mechanism that has a choice waits, and that the others sleep in the kernel."""
    choices = {}
    for record in found:
        if record["wait"] != "kernel":
            choices.setdefault(record["name"], set()).add(record["wait"])
    words = [f"{name} by {', '.join(sorted(waits, reverse=True))} as its label says" for name, waits in
             sorted(choices.items())]
    return "Waits: " + "; ".join(words + ["the others in the kernel" if words else "in the kernel"])


def label(results, record, words=None):
    """Its name, or what a chart calls it, and what must be known about its conformance."""
    note = {"failed": " (failed)", "unchecked": " (unchecked)", "passed": ""}
    return (words or summary.label(record)) + note[conformance.standing(results, record)]


def gaps(results, workload):
    return [r for r in results["records"] if r["role"] == "mechanism" and r["primitive"] == "pipe"
            and r["workload"] == workload and r["call"] == "direct" and "metrics" not in r]
