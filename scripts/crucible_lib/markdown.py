"""summary.md: a run where Markdown is read."""
from . import summary, tables, targets

FILE = "summary.md"


def table(heads, rows):
    def line(cells):
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    return "\n".join([line(heads), line(["---"] * len(heads)), *map(line, rows)])


def aligned(heads, rows):
    """The same for a terminal: one line per row, columns as wide as they must be."""
    widths = [max(map(len, column)) for column in zip(heads, *rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                     for line in (heads, *rows))


def _section(title, heads, rows):
    return f"## {title}\n\n{table(heads, rows)}\n\n" if rows else ""


def render(results):
    """summary.md: the tables to paste where Markdown is read."""
    heads, rows = summary.headline(results)
    subjects, clauses = summary.matrix(results)
    marks = [[clause["id"], clause["level"], *(summary.VERDICT_MARK.get(verdict, "") for verdict in verdicts)]
             for clause, verdicts in clauses]
    legend = ", ".join(f"{summary.VERDICT_MARK[v]} {meaning}" for v, meaning in summary.VERDICT_MEANING.items())
    example = f"**{results['run']['example']}**\n\n" if "example" in results["run"] else ""
    parts = [example, table(heads, [row.cells for row in rows]), f"\n\n{summary.machine(results)}.\n\n",
             _section("Targets", *targets.table(results))]
    for title, made in (("Queues", tables.queue_table), ("Pools", tables.pool_table), ("Locks", tables.sync_table),
                        ("Named doors", tables.door_table), ("CPU of who waits", tables.cpu_table)):
        table_heads, table_rows = made(results)
        parts.append(_section(title, table_heads, [row.cells for row in table_rows]))
    parts += [_section("Capabilities", *tables.capability_table(results)),
              _section("Clauses", ["clause", "level", *subjects], marks), f"{legend}\n"]
    return "".join(parts)
