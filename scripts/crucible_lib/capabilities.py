"""What mechanisms declare, of connections and of every form of the rest; the clauses that were not passed."""
from . import conformance, summary, text

_CAPABILITY_WORDS = {
    "cross_host": "between hosts", "local_names": "doors with names and users of this host",
    "pollable": "poll(2) understands it", "multi_writer": "many writers", "hands_over": "a used end may be handed on",
    "transferable": "an end can be sent to others", "passes_descriptors": "carries descriptors",
    "unbounded": "never full", "zero_copy": "zero copy", "outlives_sender": "what was sent outlives its sender",
    "total_order": "one order for all", "survives_kill": "any process may be killed"}


def capability_table(results):
    """(heads, rows): what each mechanism of the build declares, and the ways in which it was tested."""
    table = results.get("mechanisms", {})
    properties = list(dict.fromkeys(key for row in table.values() for key in row["capabilities"]["pipe"]))
    flags = [key for key in properties if all(isinstance(row["capabilities"]["pipe"].get(key), bool)
                                              for row in table.values())]
    rows = [[_CAPABILITY_WORDS.get(key, key.replace("_", " ")),
             *("●" if row["capabilities"]["pipe"][key] else "–" for row in table.values())] for key in sorted(flags)]
    rows.append(["named door", *(f"{row['scheme']}:" if row["scheme"] else "–" for row in table.values())])
    rows.append(["waits, default first", *(", ".join(row["waits"]) or "in the kernel" for row in table.values())])
    rows.append(["reads ahead if asked", *("●" if row["reads_ahead"] else "–" for row in table.values())])
    for key in (key for key in properties if key not in flags):
        rows.append([key.replace("_", " "), *(_limit_words(row["capabilities"]["pipe"].get(key))
                                              for row in table.values())])
    tested = [results["conformance"].get(name, {}).get("variants", []) for name in table]
    rows.append(["tested", *(", ".join(variants) or "–" for variants in tested)])
    return ["", *table], rows if table else []


# What can be said of each beside what any form of it declares; the rest of the capabilities is about connections.
_OF = {"queue": ("unbounded", "outlives_sender", "total_order", "survives_kill"),
       "pool": ("survives_kill", "unbounded"),
       "manager": ("survives_kill", "cross_host")}
_OTHER_WORDS = {("queue", "outlives_sender"): "what was put outlives its producer",
                ("queue", "total_order"): "one order for all producers"}
_LIMITS = {"queue": ("max_message_bytes", "storage_bytes"), "pool": ("max_message_bytes",),
           "manager": ("max_message_bytes",)}


def form_table(results, primitive):
    """(heads, rows): a line per mechanism and form of one primitive: what it declares, how it was tested."""
    lines = [(name, form, entry, row["capabilities"].get(primitive, {}).get(form, {}))
             for name, row in results.get("mechanisms", {}).items()
             for form, entry in row.get(primitive + "s", {}).items()]
    flags = [*_OF[primitive], *sorted({key for _, _, _, declared in lines for key, value in declared.items()
                                       if value is True} - set(_OF[primitive]))]
    heads = [primitive, "form", *(_OTHER_WORDS.get((primitive, key), _CAPABILITY_WORDS.get(key, key.replace("_", " ")))
                                  for key in flags),
             *(key.replace("_", " ") for key in _LIMITS[primitive]), "waits, default first", "tested"]
    rows = []
    for name, form, entry, declared in lines:
        subject = conformance.queue_subject(name, form) if primitive == "queue" else name
        tested = results["conformance"].get(subject, {}).get("variants", [])
        rows.append([name, form, *("●" if declared.get(key) else "–" for key in flags),
                     *(_limit_words(declared.get(key)) for key in _LIMITS[primitive]),
                     ", ".join(entry["waits"]) or "in the kernel", ", ".join(tested) or "–"])
    return heads, rows


def _limit_words(count):
    return "–" if count is None else "no limit" if count >= 1 << 62 else text.amount(count)


def clause_pages(results):
    """What there is to tell of each clause that somewhere failed, was skipped or was not run: its requirement, and per
    subject what happened."""
    pages = []
    subjects, rows = summary.matrix(results)
    for clause, verdicts in rows:
        told = [_told(results["conformance"][subject], subject, clause["id"], verdict)
                for subject, verdict in zip(subjects, verdicts) if verdict in ("failed", "skipped", "not run")]
        if told:
            worst = min((entry["verdict"] for entry in told), key=("failed", "not run", "skipped").index)
            pages.append({"clause": clause, "worst": worst, "told": told, "by": _by_verdict(told)})
    return sorted(pages, key=lambda page: page["worst"] != "failed")


def _by_verdict(told):
    """'failed by a; skipped by b and c', the gravest first."""
    parts = [(verdict, [entry["subject"] for entry in told if entry["verdict"] == verdict])
             for verdict in ("failed", "not run", "skipped")]
    return "; ".join(f"{verdict}{' for' if verdict == 'not run' else ' by'} {', '.join(subjects)}"
                     for verdict, subjects in parts if subjects)


def _told(entry, subject, clause, verdict):
    """Of one subject: the messages of the tests that failed, or the reasons of the skips, with what each concerns."""
    if verdict == "failed":
        found = [(f"{f['test']}" + _variants(f.get("variant")), f["message"]) for f in entry["failures"]
                 if f["clause"] == clause]
    else:
        found = [(_variants(s.get("variants")).strip(" ,"), _reason(s)) for s in entry["skipped"]
                 if s["clause"] == clause]
    return {"subject": subject, "verdict": verdict,
            "happened": found or [("", "no test of it was chosen, or it did not come that far")]}


def _reason(skip):
    capability = skip["capability"]
    return skip["reason"].replace("declare it", f"declare {capability}") if capability else skip["reason"]


def _variants(words):
    return f", {words}" if words and words != conformance.DEFAULT_VARIANT else ""
