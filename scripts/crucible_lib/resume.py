"""What a run leaves of itself while it goes on, so that a killed or interrupted one can be continued."""
import dataclasses
import gzip
import hashlib
import json
import time

from . import project, results

FILE = "run.json"


@dataclasses.dataclass
class Before:
    """What was there when a run was resumed."""
    lines: list
    conformance: dict | None
    conformance_checked: str | None
    failed: bool
    elapsed_s: float


def _digest(path):
    try:
        with open(path, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return "missing"


def identity(plan, build_dir, chosen, surroundings):
    """All that must be the same for two parts to be one run; JSON's own types only."""
    binaries = sorted({cell.binary for cell in plan.cells})
    return {"profile": plan.profile, "options": chosen, "host": surroundings["host"],
            "kernel": surroundings["kernel"], "commit": surroundings["commit"], "dirty": surroundings["dirty"],
            "build": surroundings["build"], "gtest_filter": plan.gtest_filter,
            "cells": [[cell.case, round(plan.case_s[cell], 6)] for cell in plan.cells],
            "binaries": {name: _digest(build_dir / "bench" / name) for name in binaries},
            "mechanisms": project.mechanism_table(build_dir)}


class Journal:
    """The file beside the raw records that says whose they are."""

    def __init__(self, run_dir):
        self.raw = run_dir / "raw"
        self._path = self.raw / FILE
        self.state = {}

    def begin(self, same, started):
        self.raw.mkdir(parents=True, exist_ok=True)
        self.state = {"identity": same, "started": results.stamp(started), "parts": [time.time()], "resumed": [],
                      "conformance": None, "failed": False, "elapsed_s": 0.0}
        self._write()

    def _write(self):
        # Replaced as a whole: a kill leaves the old state or the new one.
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self.state), encoding="utf-8")
        fresh.replace(self._path)

    def conformance_done(self, conformance, failed, checked):
        self.state.update(conformance=conformance, failed=failed, conformance_checked=checked)
        self._write()

    def part_done(self, elapsed_s):
        self.state["elapsed_s"] = elapsed_s
        self.state["ended"] = True
        self._write()

    def reopen(self):
        """Reads what a run left, compressed or not; raises Stop where it left nothing to go on from."""
        for name in (FILE, "records.jsonl", "google_benchmark.jsonl"):
            packed = self.raw / (name + ".gz")
            if packed.exists():
                fresh = self.raw / (name + ".new")
                fresh.write_bytes(gzip.decompress(packed.read_bytes()))
                fresh.replace(self.raw / name)
                packed.unlink()
        try:
            self.state = json.loads(self._path.read_text(encoding="utf-8"))
        except OSError:
            raise project.Stop(f"{self.raw.parent} has no raw/{FILE}: there is no run to resume",
                               project.USAGE) from None

    def refuse_another(self, same):
        """Stops unless what would be measured now is what was measured then."""
        known = self.state["identity"]
        for key, value in json.loads(json.dumps(same)).items():
            if known.get(key) == value:
                continue
            then, now = (f"{len(cells)} planned cells" for cells in (known[key], value)) if key == "cells" else (
                json.dumps(known.get(key)), json.dumps(value))
            if key in ("binaries", "mechanisms"):
                names = [name for name in {**known[key], **value} if known[key].get(name) != value.get(name)]
                then, now = "those of another build", "other " + ", ".join(names)
            raise project.Stop(f"this run cannot be resumed: its {key} {'differ' if key[-1] == 's' else 'differs'}, "
                               f"then {then}, now {now}", project.USAGE)

    def resume(self):
        """Notes the resumption; what was there until now."""
        path = self.raw / "records.jsonl"
        content = path.read_text(encoding="utf-8") if path.exists() else ""
        # What a kill cut off in the middle of its line is not there.
        whole = content[:content.rfind("\n") + 1]
        lines = [json.loads(line) for line in whole.splitlines()]
        elapsed = self.state["elapsed_s"]
        if not self.state.pop("ended", False) and path.exists():
            elapsed += max(0.0, path.stat().st_mtime - self.state["parts"][-1])
        if whole != content:
            path.write_text(whole, encoding="utf-8")
        self.state["elapsed_s"] = elapsed
        self.state["parts"].append(time.time())
        self.state["resumed"].append({"at": results.stamp(results.now()), "measured_before": len(lines),
                                      "elapsed_before_s": round(elapsed, 1)})
        self._write()
        return Before(lines, self.state["conformance"], self.state.get("conformance_checked"), self.state["failed"], elapsed)
