"""What a user of `choose` asks for: rates, peers, needs and budgets as they are written on the command line. Needs only
the standard library, since the shell asks it at each Tab."""
import math
import re
import typing

from . import text

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMG]?)(?:/s)?")
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s)")
_SCALES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9}
_TIMES = {"p50": "latency_p50_ns", "p90": "latency_p90_ns", "p99": "latency_p99_ns", "p99.9": "latency_p999_ns",
          "max": "latency_max_ns"}
METRICS = (*_TIMES, "cpu", "rate")
PRIMITIVES = ("pipe", "queue", "pool", "manager")
UNRELATED, BLOCKING = "unrelated", ("blocking", "idle_cpu")


class Clause(typing.NamedTuple):
    """One clause of a budget: `key` is the metric's in results.json ('cpu' and 'rate' are worked out); `most` is in its
    unit, for a rate it is the least."""
    name: str
    key: str
    most: float

    def words(self):
        return f"{self.name}{'>' if self.name == 'rate' else '<'}{self.shown(self.most)}"

    def shown(self, value):
        if self.name == "rate":
            return text.rate(value)
        return f"{text.significant(value)} CPUs" if self.name == "cpu" else text.nanoseconds(value)

    def relaxed(self, value):
        """The nearest clause of round figures, as it is written, that this value keeps."""
        if self.name == "rate":
            return f"rate>{below(value)}"
        if self.name == "cpu":
            return f"cpu<{_round(value, 1):g}"
        unit = next(name for name in ("s", "ms", "us", "ns") if value >= _NS[name] or name == "ns")
        return f"{self.name}<{_round(value / _NS[unit], 1):g}{unit}"

    def kept(self, value):
        return value > self.most if self.name == "rate" else value < self.most


class Question(typing.NamedTuple):
    size: int
    rate: float | None = None
    peers: tuple = (1, 1)
    needs: tuple = ()
    budget: tuple = ()
    placement: str | None = None
    primitive: str | None = None

    @property
    def primitives(self):
        """A pipe joins two; whoever is more shares a queue."""
        if self.primitive:
            return (self.primitive,)
        return ("pipe", "queue") if self.peers == (1, 1) else ("queue",)


def _round(value, step):
    """To three digits, up with step 1 and down with -1, and never the value itself."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return round((math.floor(value / unit) + 1 if step > 0 else math.ceil(value / unit) - 1) * unit, 9)


def below(rate):
    """The nearest round rate below one, as it is written."""
    scale = next(scale for scale in ("G", "M", "k", "") if rate >= _SCALES[scale] or not scale)
    return f"{_round(rate / _SCALES[scale], -1):g}{scale}/s"


def parse_rate(argument):
    """'50k/s' -> 50000.0 messages per second; k, M and G are powers of 1000."""
    match = _RATE.fullmatch(argument.strip())
    if not match or float(match[1]) == 0:
        raise ValueError(f"{argument!r} is not a rate; write 800/s, 50k/s or 1.5M/s")
    return float(match[1]) * _SCALES[match[2]]


def parse_time(argument):
    """'100us' -> 100000.0 nanoseconds."""
    match = _TIME.fullmatch(argument.strip())
    if not match:
        raise ValueError(f"{argument!r} is not a time; write 800ns, 100us, 2.5ms or 1s")
    return float(match[1]) * _NS[match[2]]


def parse_peers(argument):
    """'4:1' -> (4 producers, 1 consumer)."""
    match = re.fullmatch(r"([1-9]\d{0,4}):([1-9]\d{0,4})", argument.strip())
    if not match:
        raise ValueError(f"{argument!r} is not producers:consumers; write 1:1, 4:1 or 1:4")
    return int(match[1]), int(match[2])


def parse_needs(argument):
    """'unrelated,survives-kill' -> their names as results.json writes them; whether each is known only a run tells."""
    names = [name.strip().replace("-", "_") for name in argument.split(",")]
    if not all(re.fullmatch(r"[a-z_]+", name) for name in names):
        raise ValueError(f"{argument!r} is not a list of needs; write unrelated,survives-kill")
    return tuple(dict.fromkeys(names))


def parse_budget(argument):
    """'p99<100us,cpu<0.5' -> its clauses."""
    clauses = tuple(_clause(part.strip()) for part in argument.split(","))
    names = [clause.name for clause in clauses]
    if len(set(names)) < len(names):
        raise ValueError(f"{argument!r} limits one metric twice")
    return clauses


def _clause(part):
    name, sign, value = (piece.strip() for piece in (re.match(r"([^<>=]*)([<>=]*)(.*)", part)).groups())
    if name not in METRICS:
        raise ValueError(f"{part!r}: the metric must be one of {', '.join(METRICS)}")
    wanted = ">" if name == "rate" else "<"
    if sign != wanted:
        raise ValueError(f"{part!r}: write {name}{wanted}VALUE"
                         + (", for a rate has a least" if name == "rate" else ", for this metric has a most"))
    try:
        return Clause(name, _TIMES.get(name, name), _value(name, value))
    except ValueError as error:
        raise ValueError(f"{part!r}: {error}") from None


def _value(name, value):
    if name == "rate":
        return parse_rate(value)
    if name in _TIMES:
        found = parse_time(value)
    elif re.fullmatch(r"\d+(\.\d+)?", value):
        found = float(value)
    else:
        raise ValueError(f"{value!r} is not a number of CPUs; write 0.5 for half of one")
    if found == 0:
        raise ValueError("nothing takes less than 0")
    return found


def table(results, primitive):
    """{(name, form): what it declares} of a primitive."""
    found = {}
    for name, row in results.get("mechanisms", {}).items():
        declared = row["capabilities"].get(primitive, {})
        forms = {"native": declared} if primitive == "pipe" else declared
        found.update({(name, form): flags for form, flags in forms.items()})
    return found


def known_needs(results, primitives):
    """What can be asked for and decided, in the order of the alphabet."""
    flags = {key for primitive in primitives for declared in table(results, primitive).values()
             for key, value in declared.items() if isinstance(value, bool)}
    return sorted({*flags, *([UNRELATED] if results.get("mechanisms") else []), *BLOCKING})
