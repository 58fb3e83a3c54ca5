"""The conformance matrix: clauses by subject, told apart by symbols so that it works in grey."""
import math
import string

from matplotlib import patches

from . import style, summary


def conformance(results):
    """Clauses run from left to right, wrapped; symbols tell verdicts apart without colour."""
    subjects, rows = summary.matrix(results)
    families = {}
    for clause, verdicts in rows:
        if any(verdicts):
            families.setdefault(clause["id"].rstrip("0123456789"), []).append((clause["id"], verdicts))
    if not families:
        return None
    across = 24
    blocks = []
    for clauses in families.values():
        clauses.sort(key=lambda clause: int(clause[0].lstrip(string.ascii_uppercase)))
        concerned = [i for i in range(len(subjects)) if any(verdicts[i] for _, verdicts in clauses)]
        step = math.ceil(len(clauses) / math.ceil(len(clauses) / across))
        blocks += [(clauses[i:i + step], concerned) for i in range(0, len(clauses), step)]
    heights = [len(concerned) + 1.7 for _, concerned in blocks]
    legend = "   ".join(f"{summary.VERDICT_MARK[v]} {meaning}" for v, meaning in summary.VERDICT_MEANING.items())
    unit = 0.27
    canvas = style.Canvas(1, 1, (across * 0.36, unit * sum(heights)), "Which promises does each mechanism keep?",
                          ([results["run"]["example"]] if "example" in results["run"] else [])
                          + [f"Clauses of conformance/SPEC.md, {summary.checked_on(results)}; "
                             + summary.tests_run(results), summary.machine(results)],
                          [legend], left=2.1, right=0.2)
    axis = canvas.axes[0][0]
    axis.set_axis_off()
    axis.set_xlim(-0.6, across - 0.4)
    axis.set_ylim(sum(heights), 0)
    inks = {"passed": style.INK, "failed": "#D55E00", "skipped": style.GREY, "not run": style.GREY,
            "no counterpart": style.GREY}
    top = 0.0
    for (clauses, concerned), height in zip(blocks, heights):
        for x, (identifier, _) in enumerate(clauses):
            axis.text(x, top + 0.5, identifier, ha="center", va="center", fontsize=7.5, color="#444444")
        for line, subject in enumerate(concerned, start=1):
            y = top + 0.5 + line
            axis.text(-0.75, y, subjects[subject], ha="right", va="center", fontsize=8.5)
            axis.plot([-0.5, len(clauses) - 0.5], [y + 0.5] * 2, color=style.FAINT, linewidth=0.5)
            for x, (_, verdicts) in enumerate(clauses):
                found = verdicts[subject]
                if found == "failed":
                    axis.add_patch(patches.Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="#fbe3d5", linewidth=0))
                axis.text(x, y, summary.VERDICT_MARK.get(found, ""), ha="center", va="center", fontsize=11,
                          color=inks.get(found, style.GREY), weight="bold" if found == "failed" else "normal")
        top += height
    return canvas
