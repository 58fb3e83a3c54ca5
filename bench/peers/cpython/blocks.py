"""Processes that do a block of operations together when they are told to, and what each says of it."""
import ctypes
import json
import multiprocessing
import os
import resource
import select
import signal
import struct
import sys
import time

WORD = struct.Struct("<Q")
PR_SET_PDEATHSIG = 1
FORK = multiprocessing.get_context("fork")


class Wrong(Exception):
    """Something else arrived than what was sent."""


def end_with_parent():
    """Which may be killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def used(who=resource.RUSAGE_SELF):
    usage = resource.getrusage(who)
    return usage.ru_utime * 1e6, usage.ru_stime * 1e6, usage.ru_nvcsw + usage.ru_nivcsw


class Gang:
    """Processes that do a block together: act(number, operations) gives {start, end, ...} of each."""

    def __init__(self, act, members, second, cpus):
        self.members = []
        for number in range(members):
            order_source, order_sink = os.pipe()
            answer_source, answer_sink = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(order_sink)
                os.close(answer_source)
                serve(act, number, cpus and cpus[second(number)], order_source, answer_sink)
            os.close(order_source)
            os.close(answer_sink)
            self.members.append((pid, order_sink, os.fdopen(answer_source, "r")))

    def tell(self, words):
        for _, orders, _ in self.members:
            os.write(orders, words)

    def hear(self):
        """An answer of each; whoever has ended is noticed while the others still wait for it."""
        answers, waiting = {}, select.poll()
        for _, _, source in self.members:
            waiting.register(source, select.POLLIN)
        by_descriptor = {source.fileno(): (number, source) for number, (_, _, source) in enumerate(self.members)}
        while len(answers) < len(self.members):
            for descriptor, _ in waiting.poll():
                number, source = by_descriptor[descriptor]
                line = source.readline()
                if not line:
                    self.end()
                    sys.exit("verification failed, or a process of the peer ended")
                answers[number] = json.loads(line)
                waiting.unregister(descriptor)
        return [answers[number] for number in range(len(self.members))]

    def end(self):
        for pid, _, _ in self.members:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def block(self, operations):
        self.tell(b"%d\n" % operations)
        self.hear()
        self.tell(b"go\n")
        answers = self.hear()
        starts = [answer["start"] for answer in answers if answer.get("start")]
        found = {"elapsed_ns": max(answer.get("end", 0) for answer in answers) - min(starts)}
        for place, key in enumerate(("user_us", "system_us", "context_switches")):
            found[key] = round(sum(answer["used"][place] for answer in answers))
        found["latencies"] = [value for answer in answers for value in answer.get("latencies", ())]
        found["shares"] = [answer["share"] for answer in answers if "share" in answer]
        return found


def serve(act, number, cpu, orders, answers):
    """A member's life; does not return."""
    try:
        end_with_parent()
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        with os.fdopen(orders, "r") as source:
            while line := source.readline():
                os.write(answers, b"{}\n")
                source.readline()
                before = used()
                found = act(number, int(line))
                found.setdefault("used", [after - then for after, then in zip(used(), before)])
                send = (json.dumps(found) + "\n").encode()
                while send:
                    send = send[os.write(answers, send):]
    except Exception as error:  # whatever it is, the parent must not wait for an answer
        print(f"cpython peer: {error!r}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def timed(operations, operation):
    """Each operation timed, after one that is not."""
    operation()
    latencies, start = [], time.monotonic_ns()
    last = start
    for _ in range(operations):
        operation()
        now = time.monotonic_ns()
        latencies.append(now - last)
        last = now
    return {"start": start, "end": last, "latencies": latencies}


def both(ask, answer):
    """Member 0 asks and is timed, member 1 answers."""
    def act(number, operations):
        if number == 0:
            return timed(operations, ask)
        for _ in range(operations + 1):
            answer()
        return {}
    return act, 2, lambda number: number
