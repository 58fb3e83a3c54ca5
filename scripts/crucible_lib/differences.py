"""What differs between two runs beside their figures: the environment, and the clauses."""

# Whose difference makes the figures of two runs incomparable: another machine, or another kind of build.
_INCOMPARABLE = ("architecture", "kernel", "cpu.model", "cpu.cpus_online", "cpu.affinity", "cpu.governor", "cpu.smt",
                 "cpu.mitigations", "cgroup_cpu_quota", "build.type", "build.compiler", "build.flags", "memory_bytes",
                 "clocksource", "host_kind")
# Differ between any two runs.
_OF_EVERY_RUN = ("load.", "findings", "resumed")


def _flat(value, prefix=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


def environment(before, after):
    """(key, A's, B's, how grave) of all that differs, the gravest first: 'incomparable', 'differs', 'of every run'."""
    one, other = dict(_flat(before["environment"])), dict(_flat(after["environment"]))
    for key in ("profile", "options"):
        one["run." + key], other["run." + key] = before["run"][key] or "none", after["run"][key] or "none"
    found = []
    for key in dict.fromkeys([*one, *other]):
        pair = one.get(key, "not recorded"), other.get(key, "not recorded")
        if pair[0] != pair[1]:
            found.append((key, *pair, _gravity(key, pair)))
    order = ("incomparable", "differs", "of every run")
    return sorted(found, key=lambda entry: order.index(entry[3]))


def _gravity(key, pair):
    if key.startswith(_OF_EVERY_RUN):
        return "of every run"
    # What one run did not record need not differ.
    if any(key == name or key.startswith(name + ".") for name in _INCOMPARABLE) and "not recorded" not in pair:
        return "incomparable"
    return "differs"


def clauses(before, after):
    """(subject, clause, A's verdict, B's verdict) of every clause whose verdict changed; those that now fail first."""
    found = []
    for subject in dict.fromkeys([*before["conformance"], *after["conformance"]]):
        one, other = (run["conformance"].get(subject, {}).get("clauses", {}) for run in (before, after))
        for clause in dict.fromkeys([*one, *other]):
            pair = one.get(clause, "not there"), other.get(clause, "not there")
            if pair[0] != pair[1]:
                found.append((subject, clause, *pair))
    return sorted(found, key=lambda entry: entry[3] != "failed")
