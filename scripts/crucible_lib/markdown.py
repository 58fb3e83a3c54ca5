"""summary.md: a run where Markdown is read, small enough for a comment on a pull request."""
from . import capabilities, charts, deaths, sentences, summary, surroundings, tables, targets

FILE = "summary.md"
# A comment on GitHub holds 65,536 characters; what comes around it needs some.
MOST_BYTES = 60_000


def table(heads, rows):
    def line(cells):
        return "| " + " | ".join(_cell(cell) for cell in cells) + " |"
    return "\n".join([line(heads), line(["---"] * len(heads)), *map(line, rows)])


def aligned(heads, rows):
    """The same for a terminal: one line per row, columns as wide as they must be."""
    widths = [max(map(len, column)) for column in zip(heads, *rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                     for line in (heads, *rows))


def _cell(words):
    return _text(words).replace("|", "\\|").replace("\n", " ")


def _text(words):
    """What came from outside is words, never markup."""
    return str(words).replace("&", "&amp;").replace("<", "&lt;")


def _folded(title, body):
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>\n"


def _cells(made):
    heads, rows = made
    return table(heads, [row.cells for row in rows]) if rows else ""


def _notices(results):
    run, env = results["run"], results["environment"]
    notices = ((run.get("example", ""), "example" in run),
               ("This run was interrupted: what it did not reach was not measured.", run["interrupted"]),
               (f"The sources had changes beyond commit {env['commit']}.", env["dirty"]))
    return [words for words, holds in notices if holds]


def _findings(results):
    found = sentences.findings(results)
    leading = [f"- {_text(f.sentence)}" for f in found if f.leading]
    rest = [f"**{heading}**\n\n" + "\n".join(f"- {_text(f.sentence)}" for f in said)
            for _, heading, said in sentences.by_question(found)]
    return "\n".join(leading), "\n\n".join(rest)


def _matrix(results):
    """Clauses that not all whom they concern passed; the others are only counted."""
    subjects, rows = summary.matrix(results)
    marks, passed = [], 0
    for clause, verdicts in rows:
        concerned = {verdict for verdict in verdicts if verdict}
        if concerned == {"passed"}:
            passed += 1
        elif concerned & {"failed", "skipped", "not run"}:
            needs = f" ({clause['capability']})" if clause.get("capability") else ""
            marks.append([clause["id"], clause["level"] + needs,
                          *(summary.VERDICT_MARK.get(verdict, "") for verdict in verdicts)])
    legend = ", ".join(f"{summary.VERDICT_MARK[v]} {meaning}" for v, meaning in summary.VERDICT_MEANING.items())
    shown = [i for i in range(len(subjects)) if any(row[2 + i] for row in marks)]
    narrow = table(["clause", "level", *(subjects[i] for i in shown)],
                   [[*row[:2], *(row[2 + i] for i in shown)] for row in marks]) if marks else ""
    return f"{passed} clauses were passed by all whom they concern. {legend}.\n\n{narrow}".rstrip()


def _folds(results):
    """(title, body) of what is folded, the most wanted first; a body may be empty."""
    _, rest = _findings(results)
    target_heads, target_rows = targets.table(results)
    yield "Findings", rest
    yield f"Targets ({len(target_rows)})", table(target_heads, target_rows) if target_rows else ""
    yield "Conformance: clauses that not all passed", _matrix(results) if results["conformance"] else ""
    yield "Capabilities", _capabilities(results)
    for title, made in (("Queues", tables.queue_table), ("Pools", tables.pool_table),
                        ("Managers", tables.manager_table),
                        ("Locks", tables.sync_table), ("Named doors", tables.door_table),
                        ("CPU of who waits", tables.cpu_table), ("Load", deaths.load_table),
                        ("Memory", deaths.memory_table)):
        yield title, _cells(made(results))
    found = [f"- {_text(line)}" for line in surroundings.findings(results["environment"])]
    yield "Environment", "\n".join([*found, "", table(["what", "value"], surroundings.lines(results["environment"]))])


def _capabilities(results):
    heads, rows = capabilities.capability_table(results)
    return table(["pipe", *heads[1:]], rows) if rows else ""


def render(results, drawn=()):
    """summary.md: the headline and what follows from it in the open, the tables folded, as many as a comment holds.
    `drawn` are the charts beside it."""
    heads, rows = summary.headline(results)
    leading, _ = _findings(results)
    parts = ["## Which IPC mechanism holds its contract here, and what does it cost?",
             _text(summary.machine(results)) + ".",
             *(f"> **{_text(words)}**\n" for words in _notices(results)), leading,
             table(heads, [row.cells for row in rows]) if rows else "No mechanism was measured."]
    if any(not row.valid for row in rows):
        parts.append("Rows marked FAILED or not checked have no valid numbers.")
    if (death := _cells(deaths.death_table(results))):
        parts.append(f"**What a peer's death does**\n\n{death}")
    links = ["the whole [report](report.html)",
             *(f"[{caption}]({charts.FOLDER}/{stem}.svg)" for stem, caption in drawn)]
    parts.append("Beside this: " + " · ".join(links))
    size, left_out = len("\n\n".join(parts).encode()), []
    for title, body in _folds(results):
        folded = _folded(title, body)
        if body and size + len(folded.encode()) + 2 < MOST_BYTES - 1000:
            parts.append(folded.rstrip())
            size += len(folded.encode()) + 2
        elif body:
            left_out.append(title)
    if left_out:
        parts.append(f"Left out for length, and in the report: {', '.join(left_out)}.")
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"
