"""Reads the numbered clauses of conformance/SPEC.md."""
import dataclasses
import re

CLAUSE = re.compile(r"\*\*([A-Z]+[0-9]+)\*\*\s+(MUST|MAY\((\w+)\)|no counterpart)\s+—\s+(.*)")


@dataclasses.dataclass(frozen=True)
class Clause:
    id: str
    level: str          # MUST, MAY or 'no counterpart'
    capability: str     # what a MAY clause needs, else None
    text: str
    line: int


def read(path):
    """The clauses in the order of the file; the text of each goes on to the next clause, item or empty line."""
    clauses, rest = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = CLAUSE.search(line)
        if match:
            rest = [match[4]]
            clauses.append((match, rest, number))
        elif not line.strip() or line.lstrip().startswith(("#", "|", "- ", "* ")):
            rest = []  # what follows belongs to no clause
        else:
            rest.append(line.strip())
    return [Clause(match[1], match[2].split("(")[0], match[3], " ".join(lines).rstrip(" |"), number)
            for match, lines, number in clauses]
