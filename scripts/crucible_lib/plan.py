"""From a profile to the list of cells and their planned seconds."""
import dataclasses
import json
import re

from . import text
from .project import SCRIPTS

PROFILES = SCRIPTS / "profiles.json"
# Starting a case and letting its mechanism warm up takes this long, whatever its measuring time.
START_S = 0.25
# Where the table of mechanisms has the forms of a primitive.
FORMS = {"queue": "queues", "pool": "pools", "manager": "managers"}
# How a mechanism waits that leaves no choice.
NO_CHOICE = ("kernel",)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One thing to measure; its `case` is the name that the benchmark binaries know it by."""
    binary: str
    primitive: str
    workload: str
    name: str
    bytes: int
    placement: str
    wait: str
    call: str
    role: str = "mechanism"
    form: str = "native"

    @property
    def case(self):
        return (f"{self.primitive}/{self.workload}/{self.name}/{self.bytes}/{self.placement}/{self.wait}/"
                f"{self.call}/{self.form}")


@dataclasses.dataclass(frozen=True)
class Plan:
    profile: str
    cells: list          # what will be measured, in this order
    left_out: list       # cells of the profile that --only leaves out
    case_s: dict         # planned wall seconds of each cell
    min_time_share: float
    conformance_s: float
    gtest_filter: str | None  # None: this plan checks no conformance

    @property
    def measuring_s(self):
        return sum(self.case_s[cell] for cell in self.cells)

    @property
    def total_s(self):
        return self.measuring_s + self.conformance_s

    def min_time_s(self, cell):
        """Of a cell's time the benchmark's own measuring time; the limit's blocks and both warm-ups are the rest."""
        return max(0.05, (self.case_s[cell] - START_S) * self.min_time_share)

    def timeout_s(self, cell):
        """Past this a case hangs: a slow machine is given ten times what was planned."""
        return 20 + 10 * self.case_s[cell]


def load_profiles():
    return json.loads(PROFILES.read_text(encoding="utf-8"))


def _series(group, mechanisms):
    """(name, wait, form) triples: a group's own names, or every mechanism by the forms that it has of this primitive and
    by the strategies that the group asks for and the form has. "default" is a form's first."""
    listed = group["names"]
    if listed != "mechanisms" and not group.get("forms"):
        return [(name, wait, "native") for name in listed for wait in group.get("waits", NO_CHOICE)]
    asked = group.get("waits", "all")
    names = mechanisms if listed == "mechanisms" else [name for name in listed if name in mechanisms]
    found = []
    for name in names:
        for form, row in _forms(group, mechanisms[name]):
            waits = row.get("waits") or NO_CHOICE
            if asked == "default":
                waits = waits[:1]
            elif asked != "all" and tuple(waits) != NO_CHOICE:
                waits = [wait for wait in waits if wait in asked]
            found += [(name, wait, form) for wait in waits]
    return found


def _forms(group, row):
    """The ways in which a mechanism has what a group measures, with the row of each. Of a mechanism that was not built
    one, so that its cell is told of."""
    if "forms" not in group:
        return [("native", row)]
    wanted = group["forms"]
    only = "native" if group["primitive"] == "queue" else "composed"
    forms = row.get(FORMS[group["primitive"]], {}) if row else {only: {}}
    return [(form, entry) for form, entry in forms.items() if wanted == "all" or form in wanted]


def _refuses(row, needed):
    """Whether a built mechanism does not declare what a group needs, so that its cells are over at once."""
    found = {**row, **row.get("capabilities", {}).get("pipe", {})}
    return needed in found and not found[needed]


def _one_workload_each(groups):
    """A group may name several workloads that are measured alike."""
    for group in groups:
        listed = group["workload"] if isinstance(group["workload"], list) else [group["workload"]]
        yield from ({**group, "workload": workload} for workload in listed)


def cells_of(profile, mechanisms, sizes=None):
    """All cells of a profile with the least seconds that each needs, None where it will be refused. `mechanisms`: the
    rows of project.mechanism_rows(). `sizes` replaces the sizes of every workload that can have any."""
    cells = {}
    for group in _one_workload_each(profile["groups"]):
        own = [text.parse_size(size) for size in group["sizes"]]
        chosen = own if sizes is None or own == [0] or group.get("fixed_sizes") else sizes
        for call in group.get("calls", ["direct"]):
            for placement in group["placements"]:
                for size in chosen:
                    # Mechanisms innermost: what will be compared is measured close together in time.
                    for name, wait, form in _series(group, mechanisms):
                        cell = Cell(group["binary"], group["primitive"], group["workload"], name, size, placement,
                                    wait, call, group.get("role", "mechanism"), form)
                        refused = _refuses(mechanisms.get(name, {}), group.get("needs"))
                        cells.setdefault(cell, None if refused else group.get("least_s", profile["case_s"]["least"]))
    return cells


def _shared_out(least, total_s, most_s):
    """Seconds per cell: the same for all, as far as that is not less than what a cell needs."""
    fixed = {cell: START_S for cell, need in least.items() if need is None}
    left = {cell: need for cell, need in least.items() if need is not None}
    while left:
        share = (total_s - sum(fixed.values())) / len(left)
        short = {cell: need for cell, need in left.items() if need > share}
        if not short:
            return {**fixed, **dict.fromkeys(left, min(share, most_s))}
        fixed |= short
        left = {cell: need for cell, need in left.items() if cell not in short}
    return fixed


def make(name, mechanisms, sizes=None, only=None):
    """Divides the profile's measuring time over the chosen cells, within its limits per case."""
    document = load_profiles()
    profile = document["profiles"][name]
    cells = cells_of(profile, mechanisms, sizes)
    pattern = re.compile(only or "")
    chosen = {cell: least for cell, least in cells.items() if pattern.search(cell.case)}
    shared = _shared_out(chosen, profile["measuring_s"], profile["case_s"]["most"])
    return Plan(profile=name, cells=list(chosen), left_out=[cell for cell in cells if cell not in chosen],
                case_s={cell: shared[cell] for cell in chosen}, min_time_share=document["min_time_share"],
                conformance_s=profile["conformance"]["seconds"],
                gtest_filter=profile["conformance"]["gtest_filter"])


def make_noise(mechanisms, repeat):
    """The committed cells of the noise run, `repeat` times: in rounds, so that a drift of the machine parts the
    repetitions of a cell as it parts two runs."""
    document = load_profiles()
    cells = list(cells_of({"groups": document["noise"]["groups"], "case_s": {"least": 0}}, mechanisms))
    return Plan(profile="noise", cells=cells * repeat, left_out=[], min_time_share=document["min_time_share"],
                case_s=dict.fromkeys(cells, document["noise"]["case_s"]), conformance_s=0, gtest_filter=None)
