"""Numbers as people read and write them: sizes, durations, rates."""
import math
import re

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def parse_size(text):
    """'8', '4K', '4KiB', '1m' -> bytes; K, M, G, T are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size; write 8, 4K or 1M")
    return int(match[1]) << 10 * " KMGT".index(match[2].upper() or " ")


def parse_sizes(text):
    """'8,4K,1M' -> [8, 4096, 1048576], in rising order, without repeats."""
    return sorted({parse_size(part) for part in text.split(",")})


def size(count):
    step = 0
    while step + 1 < len(_UNITS) and count >= 1024 and count % 1024 == 0:
        count //= 1024
        step += 1
    return f"{count} {_UNITS[step]}"


def amount(count):
    """Bytes that need be no power of two: '32 KiB', '512 KiB' of 524,160 bytes, '32,000 B'."""
    if isinstance(count, int) and count and int(size(count).split()[0]) < 1024:
        return size(count)
    step = min(int(math.log2(count)) // 10, len(_UNITS) - 1) if count >= 1 << 16 else 0
    return f"{significant(count / (1 << 10 * step))} {_UNITS[step]}" if step else f"{count:,.0f} B"


def _digits(value):
    """Three significant digits, never in exponent form."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def nanoseconds(value):
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if value >= scale:
            return f"{_digits(value / scale)} {unit}"
    return f"{_digits(value)} ns"


def rate(value, unit="/s"):
    for prefix, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{_digits(value / scale)} {prefix}{unit}"
    return f"{_digits(value)} {unit.lstrip()}"


def gib_per_s(bytes_per_s):
    value = bytes_per_s / 2**30
    return f"{_digits(value) if value >= 0.01 else f'{value:.2g}'} GiB/s"


def seconds(value):
    """A duration of a run: '8 s', '4 min 05 s', '1 h 02 min'."""
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def significant(value):
    """Three digits, with the zeros that belong to them, and none of the exponents that tables do not bear."""
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    return "0" if abs(value) < 5e-5 else f"{value:#.3g}".rstrip(".") if abs(value) >= 0.1 else f"{value:.2g}"


def ratio(entry, unit=""):
    """'1.04 [1.02, 1.07]', or the reason why there is no interval; with a unit '0.03 % [0.02, 0.05]'."""
    median = significant(entry["median"]) + (f" {unit}" if unit else "")
    if entry.get("low") is None:
        return f"{median} (no interval: {entry['blocks']} blocks)"
    return f"{median} [{significant(entry['low'])}, {significant(entry['high'])}]"
