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
    """Sentences: what `doctor` found before the run, or, of a run without that, what its record shows; and what
    happened during the run."""
    said = [_examined(f) for f in environment["findings"]] if "findings" in environment else list(_seen(environment))
    stolen = _number(environment["load"]["steal_time"])
    if stolen is not None and stolen >= STOLEN_PERCENT:
        said.append(f"The host took {environment['load']['steal_time']} of the CPU time away during the run.")
    return said


def _examined(finding):
    """Of a record {check, level, found, why, remedy}."""
    why = f"; {finding['why']}" if finding.get("why") else ""
    remedy = f". Remedy: {finding['remedy']}" if finding.get("remedy") else ""
    return f"{finding['level'].capitalize()}, {finding['check']}: {finding['found']}{why}{remedy}"


def _seen(environment):
    cpu, count = environment["cpu"], len(environment["cpu"]["affinity"])
    if cpu.get("hypervisor_flag") is True:
        yield ("It is a virtual machine: its host may take a CPU away at any time, and wakes across CPUs cost "
               "more than on hardware.")
    before = _number(environment["load"]["load_before"])
    if before is not None and before > BUSY_SHARE * count:
        yield (f"The load average was {before:g} on {count} CPUs when the run began: something else, or a build just "
               "before, was at work.")
    if cpu["governor"] == "not visible":
        yield "The frequency governor is not visible: whether clocks were steady is not known."
    elif cpu["governor"] != "performance":
        yield f"The frequency governor is {cpu['governor']}: clocks rise and fall with the load."
    quota = environment.get("cgroup_cpu_quota", "none")
    if quota not in ("none", "not visible"):
        yield f"A control group allows {quota}: who spins uses it up, and is stopped."


def lines(value, prefix=""):
    """The environment as (name, value) lines; its findings are told of elsewhere."""
    for key, inner in value.items():
        if key == "findings":
            continue
        name = f"{prefix}{key.replace('_', ' ')}"
        if key == "mitigations":
            yield from _mitigations(inner)
        elif isinstance(inner, dict) and inner:
            yield from lines(inner, name + ": ")
        elif isinstance(inner, list):
            yield name, ", ".join(map(str, inner))
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
