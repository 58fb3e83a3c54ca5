"""What about the machine of a run bears on its figures, in sentences; and the whole record of it as lines."""
from . import fairness

# More than this share of the CPUs at work before a run began is somebody else's work.
BUSY_SHARE = 0.5
STOLEN_PERCENT = 1.0


def _number(words):
    """The first number of '0.10 %' or '1.17 1.73 2.48'; None of 'not visible'."""
    try:
        return float(str(words).split()[0])
    except (ValueError, IndexError):
        return None


def findings(environment):
    """Sentences; what a doctor of machines recorded as `findings` comes first, as it said it."""
    said = [_said(finding) for finding in environment.get("findings", [])]
    cpu, load = environment["cpu"], environment["load"]
    if cpu.get("hypervisor_flag"):
        said.append("It is a virtual machine: its host may take a CPU away at any time, and wakes across CPUs cost more than on hardware.")
    stolen = _number(load["steal_time"])
    if stolen is not None and stolen >= STOLEN_PERCENT:
        said.append(f"The host took {load['steal_time']} of the CPU time away during the run.")
    before, count = _number(load["load_before"]), len(cpu["affinity"])
    if before is not None and before > BUSY_SHARE * count:
        said.append(f"The load average was {before:g} on {count} CPUs when the run began: something else, or a build just before, was at work.")
    if cpu["governor"] not in ("performance", "not visible"):
        said.append(f"The frequency governor is {cpu['governor']}: clocks rise and fall with the load.")
    if cpu["governor"] == "not visible":
        said.append("The frequency governor is not visible: whether clocks were steady is not known.")
    quota = environment.get("cgroup_cpu_quota", "none")
    if quota not in ("none", "not visible"):
        said.append(f"A control group allows {quota}: who spins uses it up, and is stopped.")
    return list(dict.fromkeys(said))


def _said(finding):
    return ": ".join(str(value) for value in finding.values() if value) if isinstance(finding, dict) else str(finding)


def lines(value, prefix=""):
    """The environment as (name, value) lines."""
    for key, inner in value.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if key == "mitigations":
            yield from _mitigations(inner)
        elif isinstance(inner, dict) and inner:
            yield from lines(inner, name + ": ")
        elif isinstance(inner, list):
            yield name, ", ".join(map(_said, inner))
        elif inner is None:
            yield name, "unknown"
        else:
            yield name, str(inner) if isinstance(inner, str) else fairness.word(inner, key)


def _mitigations(known):
    """By what the kernel says of them, since most are said the same of."""
    groups = {}
    for name, state in known.items():
        groups.setdefault(state, []).append(name.replace("_", " "))
    for state, names in groups.items():
        yield f"mitigations: {', '.join(names)}" if len(names) == 1 else f"mitigations of {len(names)}", (
            state if len(names) == 1 else f"{state}: {', '.join(names)}")
