"""`scripts/crucible choose`: which mechanism fits what a program needs, from stored results."""
import argparse
import json
import os
import pathlib

from . import choose_question, completion, interpreter, project, text

_SAMPLE, _FILE = "sample-", "results.json"
_DESCRIPTION = """\
Ranks mechanisms, each way of waiting by itself, for what a program needs, from the results of a run: who qualifies,
in which order and with which figures; why each other lost; where size turns the order round; what was not measured
and therefore not considered. Nothing is measured now.

Whoever is not shown to keep a requirement does not qualify. What differs by less than the intervals and the noise
floor is said to be level. Where the size asked for was not measured, the figures are estimated between its two
neighbours and marked with ~; beyond the measured sizes they are those of the nearest, which is said.

needs: capabilities as the run's table declares them (an unknown one lists them), and
  unrelated   there is a named door, so that programs that do not descend from one another meet
  blocking    who waits does not burn a CPU (idle-cpu means the same)
budgets: p50, p90, p99, p99.9, max <TIME; cpu<CPUs busy at --rate, of all processes; rate>MESSAGES/s
  CPUs are a range: from what a message costs in a stream to what it costs if it wakes its receiver. A budget is kept
  if the worse end keeps it. Who spins burns a CPU for each receiver, whatever the rate."""
_EXAMPLES = """\
examples:
  scripts/crucible choose                                    64 bytes between two processes
  scripts/crucible choose --size 4K --rate 50k/s --need unrelated,survives-kill --budget 'p99<100us'
  scripts/crucible choose --peers 4:1 --rate 1M/s            four producers, one consumer: a queue
  scripts/crucible choose --size 1M --budget 'rate>2k/s' --placement any --markdown
  scripts/crucible choose --results results/sample-quick --need zero-copy --json

Exit status: 0 somebody qualifies, 1 nobody does (what would let whom in is said), 2 wrong usage, 3 something is not
installed."""


def _argument(parse):
    """argparse shows the sentences of ArgumentTypeError only."""
    def parsed(argument):
        try:
            return parse(argument)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    return parsed


def register(add):
    parser = add("choose", command, "which mechanism fits my needs?", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--size", type=_argument(text.parse_size), default=64, metavar="SIZE",
                        help="of a message, as 8, 4K or 1M (default: 64)").completer = completion.sizes
    parser.add_argument("--rate", type=_argument(choose_question.parse_rate), metavar="RATE",
                        help="messages per second that must be sustained, as 50k/s")
    parser.add_argument("--peers", type=_argument(choose_question.parse_peers), default=(1, 1), metavar="P:C",
                        help="producers:consumers; more than 1:1 share a queue (default: 1:1). Of a pool 1:WORKERS, "
                        "of a manager CLIENTS:1")
    parser.add_argument("--need", type=_argument(choose_question.parse_needs), default=(), metavar="LIST",
                        help="what it must be able to do, as unrelated,survives-kill").completer = _needs
    parser.add_argument("--budget", type=_argument(choose_question.parse_budget), default=(), metavar="LIST",
                        help="what it may cost, as 'p99<100us,cpu<0.5' (quote it: < is the shell's)")
    parser.add_argument("--placement", choices=["cross", "same", "free", "any"],
                        help="where the processes run: across two CPUs, on one, unpinned (default: the first of "
                        "cross, free, same with figures to choose from)")
    parser.add_argument("--primitive", choices=choose_question.PRIMITIVES,
                        help="only these (default: pipe and queue for 1:1, else queue)")
    parser.add_argument("--results", type=pathlib.Path, metavar="DIR",
                        help="a run folder (default: the newest in results/, else the committed sample)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for a program")
    form.add_argument("--markdown", action="store_true", help="for a pull request or a design document")


def _needs(current):
    document = json.loads((newest(project.ROOT / "results") / _FILE).read_text(encoding="utf-8"))
    known = choose_question.known_needs(document, choose_question.PRIMITIVES)
    return completion.listed([need.replace("_", "-") for need in known])(current)


def newest(folder):
    """The folder of the run that was started last; a committed sample only where there is no other."""
    def started(path):
        try:
            return json.loads(path.read_text(encoding="utf-8"))["run"]["started"]
        except (OSError, ValueError, KeyError, TypeError):
            return ""  # half written: it is not a run yet
    found = [(not path.parent.name.startswith(_SAMPLE), started(path), path.parent)
             for path in sorted(folder.glob(f"*/{_FILE}"))]
    found = [entry for entry in found if entry[1]]
    if not found:
        raise project.Stop(f"there is no run in {os.path.relpath(folder)}; make one by 'scripts/crucible run', or say "
                           "--results", project.USAGE)
    return max(found)[2]


def _question(options, known):
    unknown = [need for need in options.need if need not in known]
    if unknown:
        raise project.Stop(f"no mechanism of these results can declare {', '.join(unknown)}; known needs: "
                           + ", ".join(need.replace("_", "-") for need in known), project.USAGE)
    if options.rate is None and any(clause.name == "cpu" for clause in options.budget):
        raise project.Stop("how many CPUs are busy depends on the rate: say --rate beside --budget 'cpu<...'",
                           project.USAGE)
    return choose_question.Question(options.size, options.rate, options.peers, options.need, options.budget,
                                    options.placement, options.primitive)


def command(options):
    interpreter.ensure_all()
    from . import choose_judge, choose_text, results
    folder = options.results or newest(project.ROOT / "results")
    folder = folder.parent if folder.name == _FILE else folder
    document = results.read(folder)
    plain = choose_question.Question(options.size, peers=options.peers, primitive=options.primitive)
    question = _question(options, choose_question.known_needs(document, plain.primitives))
    verdict = choose_judge.judge(document, question)
    shown = os.path.relpath(folder)
    if options.json:
        print(json.dumps(choose_text.as_json(document, verdict, shown), indent=1))
    else:
        print((choose_text.in_markdown if options.markdown else choose_text.plain)(document, verdict, shown))
    return project.OK if verdict.qualified else project.FAILED
