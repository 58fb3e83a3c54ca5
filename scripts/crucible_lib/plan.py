"""From a profile to the list of cells and their planned seconds."""
import dataclasses
import json
import re

from . import text
from .project import SCRIPTS

PROFILES = SCRIPTS / "profiles.json"
# Starting a case and letting its mechanism warm up takes this long, whatever its measuring time.
START_S = 0.25


@dataclasses.dataclass(frozen=True)
class Cell:
    """One thing to measure; its `case` is the name that the benchmark binaries know it by."""
    binary: str
    primitive: str
    workload: str
    name: str
    bytes: int
    placement: str
    call: str

    @property
    def case(self):
        return f"{self.primitive}/{self.workload}/{self.name}/{self.bytes}/{self.placement}/{self.call}"


@dataclasses.dataclass(frozen=True)
class Plan:
    profile: str
    cells: list          # what will be measured, in this order
    left_out: list       # cells of the profile that --only leaves out
    case_s: float        # planned wall seconds of each cell
    min_time_s: float    # of which the benchmark's own measuring time
    conformance_s: float
    gtest_filter: str

    @property
    def measuring_s(self):
        return self.case_s * len(self.cells)

    @property
    def total_s(self):
        return self.measuring_s + self.conformance_s

    @property
    def timeout_s(self):
        """Past this a case hangs: a slow machine is given ten times what was planned."""
        return 20 + 10 * self.case_s


def load_profiles():
    return json.loads(PROFILES.read_text(encoding="utf-8"))


def cells_of(profile, mechanisms, sizes=None):
    """All cells of a profile. `sizes` replaces the message sizes of every workload that has one."""
    cells = []
    for group in profile["groups"]:
        names = mechanisms if group["names"] == "mechanisms" else group["names"]
        own = [text.parse_size(size) for size in group["sizes"]]
        chosen = own if sizes is None or own == [0] else sizes
        for call in group["calls"]:
            for placement in group["placements"]:
                for size in chosen:
                    # Mechanisms innermost: what will be compared is measured close together in time.
                    cells += [Cell(group["binary"], group["primitive"], group["workload"], name, size, placement, call)
                              for name in names]
    return list(dict.fromkeys(cells))


def make(name, mechanisms, sizes=None, only=None):
    """Divides the profile's measuring time evenly over the chosen cells, within its limits per case."""
    document = load_profiles()
    profile = document["profiles"][name]
    cells = cells_of(profile, mechanisms, sizes)
    pattern = re.compile(only or "")
    chosen = [cell for cell in cells if pattern.search(cell.case)]
    limits = profile["case_s"]
    case_s = min(limits["most"], max(limits["least"], profile["measuring_s"] / max(1, len(chosen))))
    return Plan(profile=name, cells=chosen, left_out=[cell for cell in cells if cell not in chosen], case_s=case_s,
                min_time_s=max(0.05, (case_s - START_S) * document["min_time_share"]),
                conformance_s=profile["conformance"]["seconds"],
                gtest_filter=profile["conformance"]["gtest_filter"])
