"""What `doctor` says about one thing."""
import dataclasses

OK, NOTE, WARNING, PROBLEM = LEVELS = ("ok", "note", "warning", "problem")


@dataclasses.dataclass(frozen=True)
class Finding:
    check: str
    level: str
    found: str
    why: str = ""
    remedy: str = ""

    def record(self):
        return {key: value for key, value in dataclasses.asdict(self).items() if value}


def words(count, noun):
    return f"{count} {noun}" + ("" if count == 1 else "s")
