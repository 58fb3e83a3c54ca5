"""What a run says, in sentences: each follows from cells of results.json and claims no more than their intervals."""
import typing

from . import conformance, intervals, sentences_pipe, sentences_rest, stalls


class Finding(typing.NamedTuple):
    """A sentence with the records that it was made from; `leading` ones belong on the first screen."""
    question: str
    sentence: str
    cells: list
    leading: bool = False


QUESTIONS = {
    "contract": "Who keeps its promises?",
    "answers": "Who answers fastest?",
    "order": "Does size or placement turn the order round?",
    "carries": "Who carries most?",
    "cpu": "What does it cost in CPU?",
    "limits": "Who reaches its limit?",
    "peers": "Beside CPython and Redis?",
    "queues": "Which queue?",
    "pools": "Which pool?",
    "managers": "Which manager?",
    "locks": "What do locks cost?",
    "stalls": "Who stops for long now and then?",
    "death": "What if a process dies?",
    "trust": "How far can these figures be compared?",
}
_MAKERS = {
    "contract": sentences_rest.contract, "answers": sentences_pipe.answers, "order": sentences_pipe.order,
    "carries": sentences_pipe.carries, "cpu": sentences_pipe.cpu, "limits": sentences_rest.limits,
    "peers": sentences_rest.peers, "queues": sentences_rest.queues, "pools": sentences_rest.pools,
    "managers": sentences_rest.managers, "locks": sentences_rest.locks, "stalls": stalls.findings,
    "death": sentences_rest.death,
}


def findings(results):
    """All findings, in the order of QUESTIONS; none for a question that this run did not ask."""
    found = [Finding(question, *made) for question, make in _MAKERS.items() for made in make(results)]
    return found + [Finding("trust", *made) for made in _trust(results)]


def by_question(found):
    """[(question id, heading, findings)] of those questions that have an answer."""
    return [(key, heading, [f for f in found if f.question == key]) for key, heading in QUESTIONS.items()
            if any(f.question == key for f in found)]


def _trust(results):
    yield ("A claim above clears both 95 % intervals and the noise floor. A range such as “5.1 to 5.6 times” "
           "reaches from their one far end to the other, widened by how far two figures of one thing are apart "
           "here.", [], False)
    for workload, words in (("round_trip", "round trips"), ("one_way", "streams of pipes")):
        cells = [r for r in results["records"] if r["primitive"] == "pipe" and r["workload"] == workload
                 and r["role"] == "mechanism" and "metrics" in r]
        if cells:
            relative, source = intervals.floor(results, "ns_per_operation", workload)
            yield f"The noise floor of {words} is {100 * relative:.0f} % ({source}).", [], False
    yield from _without_interval(results)


def _without_interval(results):
    checked = [r for r in results["records"] if r["role"] == "mechanism" and "metrics" in r
               and conformance.standing(results, r) == "passed" and "ns_per_operation" in r]
    short = [r for r in checked if r["ns_per_operation"]["low"] is None]
    if short:
        yield (f"{len(short)} of {len(checked)} valid cells have no interval (fewer than 20 blocks): nothing is "
               "claimed of them.", short, not any(intervals.estimate(r) for r in checked))


def figure(record):
    """What a reader sees of one cell behind a sentence."""
    cell = intervals.estimate(record)
    name = record.get("case") or f"{record['name']} beside {record.get('paired_with', 'nothing')}"
    return name, intervals.durations([cell]) + " per operation" if cell else "no interval of its time"
