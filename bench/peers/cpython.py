"""CPython's multiprocessing as a peer: does a workload in blocks, as a benchmark program asks for them.

usage: cpython.py WORKLOAD OBJECT FIRST SECOND BYTES CPUS

WORKLOAD is exchange (FIRST producers, SECOND consumers of a Queue), round_trip, uncontended, handoff, contended, ping_pong, fan_out or
barrier (FIRST processes), dict_get, dict_set, dict_mixed or list_append (FIRST clients of a Manager, SECOND keys); OBJECT a class of
multiprocessing, or Manager.Lock; CPUS two numbers with a comma, or "-" for unpinned. Says on stdout
what it is, then, for each line "OPERATIONS" on stdin, what the block came to, as JSON. Only the standard library.
"""
import ctypes
import json
import multiprocessing
import multiprocessing.managers
import os
import platform
import random
import resource
import select
import signal
import struct
import sys
import time

WORD = struct.Struct("<Q")
NUMBER_BITS = 48
PR_SET_PDEATHSIG = 1
FORK = multiprocessing.get_context("fork")


class Wrong(Exception):
    """Something else arrived than what was sent."""


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
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
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        with os.fdopen(orders, "r") as source:
            while line := source.readline():
                os.write(answers, b"{}\n")
                source.readline()
                before = used()
                found = act(number, int(line))
                found["used"] = [after - then for after, then in zip(used(), before)]
                send = (json.dumps(found) + "\n").encode()
                while send:
                    send = send[os.write(answers, send):]
    except Exception as error:  # whatever it is, the parent must not wait for an answer
        print(f"cpython peer: {error!r}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def exchange(name, producers, consumers, size):
    """Every consumer takes its share: an end marker would overtake what another producer's feeder still holds."""
    queue, filler = getattr(FORK, name)(), bytes(range(1, 256)) * (size // 255 + 1)
    filler = filler[:size - WORD.size]
    newest = [0] * producers
    sequence = [0]

    def share(operations, number, of):
        return operations // of + (number < operations % of)

    def act(number, operations):
        if number < producers:
            start = time.monotonic_ns()
            for _ in range(share(operations, number, producers)):
                sequence[0] += 1
                queue.put(WORD.pack(number << NUMBER_BITS | sequence[0]) + filler)
            return {"start": start}
        for _ in range(share(operations, number - producers, consumers)):
            message = queue.get()
            stamp, = WORD.unpack_from(message)
            producer, count = stamp >> NUMBER_BITS, stamp & (1 << NUMBER_BITS) - 1
            if message[WORD.size:] != filler or count <= newest[producer]:
                raise Wrong(f"message {count} of {producer}")
            newest[producer] = count
        return {"end": time.monotonic_ns()}

    return act, producers + consumers, lambda number: int(number >= producers)


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


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def started_manager():
    """At an abstract address, since who is killed leaves no file there."""
    manager = multiprocessing.managers.SyncManager(f"\0crucible-peer-{os.urandom(16).hex()}", ctx=FORK)
    manager.start(die_with_parent)
    return manager


KEPT = []  # or the server would let go of them


def both(ask, answer):
    """Member 0 asks and is timed, member 1 answers."""
    def act(number, operations):
        if number == 0:
            return timed(operations, ask)
        for _ in range(operations + 1):
            answer()
        return {}
    return act, 2, lambda number: number


def round_trip(name, _first, _second, size):
    forth, back, filler = getattr(FORK, name)(), getattr(FORK, name)(), b"x" * (size - WORD.size)
    count = [0]

    def ask():
        count[0] += 1
        message = WORD.pack(count[0]) + filler
        forth.put(message)
        if back.get() != message:
            raise Wrong(f"answer {count[0]}")

    return both(ask, lambda: back.put(forth.get()))


def uncontended(name, *_):
    thing = getattr(FORK, name)()

    def act(_number, operations):
        start = time.monotonic_ns()
        for _ in range(operations):
            thing.acquire()
            thing.release()
        return {"start": start, "end": time.monotonic_ns()}

    return act, 1, lambda number: 0


def handoff(name, *_):
    """Locks go round: each process waits for the one that the other is about to give back. Semaphores: one each way."""
    make = started_manager().Lock if name == "Manager.Lock" else getattr(FORK, name)
    if "Lock" not in name:
        forth, back = make(0), make(0)

        def ask():
            forth.release()
            back.acquire()

        def answer():
            forth.acquire()
            back.release()

        return both(ask, answer)
    locks, held = [make(), make(), make()], []
    KEPT.append(locks)

    def turn(number):
        if not held:
            held.append(number)
            locks[number].acquire()
            met.wait()
        wanted = (held[0] + 2) % 3
        locks[wanted].acquire()
        locks[held[0]].release()
        held[0] = wanted

    met = FORK.Barrier(2)
    return both(lambda: turn(0), lambda: turn(1))


def contended(name, members, *_):
    lock, total = getattr(FORK, name)(), FORK.RawValue("q", 0)
    done = [0]

    def act(_number, operations):
        done[0] += operations
        start, share, waits = time.monotonic_ns(), 0, []
        while True:
            asked = time.monotonic_ns()
            lock.acquire()
            waits.append(time.monotonic_ns() - asked)
            if total.value == done[0]:
                lock.release()
                return {"start": start, "end": time.monotonic_ns(), "share": share, "latencies": waits[:share]}
            total.value += 1
            lock.release()
            share += 1

    return act, members, lambda number: number % 2


def ping_pong(name, *_):
    condition, turn = getattr(FORK, name)(), FORK.RawValue("i", 0)

    def play(mine):
        def once():
            with condition:
                if mine == 0:
                    turn.value = 1
                    condition.notify()
                while turn.value != mine:
                    condition.wait()
                if mine == 1:
                    turn.value = 0
                    condition.notify()
        return once

    return both(play(0), play(1))


def fan_out(name, waiters, *_):
    events, gone = [getattr(FORK, name)() for _ in range(2)], FORK.Semaphore(0)
    rounds = [0]

    def act(number, operations):
        if number > 0:
            for _ in range(operations + 1):
                events[rounds[0] % 2].wait()
                rounds[0] += 1
                gone.release()
            return {}

        def pulse():
            event = events[rounds[0] % 2]
            event.set()
            for _ in range(waiters):
                gone.acquire()
            event.clear()
            rounds[0] += 1

        return timed(operations, pulse)

    return act, waiters + 1, lambda number: int(number > 0)


def barrier(name, parties, *_):
    meeting = getattr(FORK, name)(parties)

    def act(number, operations):
        if number == 0:
            return timed(operations, meeting.wait)
        for _ in range(operations + 1):
            meeting.wait()
        return {}

    return act, parties, lambda number: number % 2


def shared_out(clients, operation):
    """Clients that share the operations of a block, each timed; `operation(number)` makes a member's."""
    mine = []

    def act(number, operations):
        if not mine:
            mine.append(operation(number))
        share = operations // clients + (number < operations % clients)
        return {**timed(share, mine[0]), "share": share}

    return act, clients, lambda number: 1


def dictionary(set_each):
    """One operation in `set_each` is a set, 0: none; values begin with the number of their key plus any multiple of the
    number of keys."""
    def workload(_name, clients, entries, size):
        shared, filler = started_manager().dict(), b"x" * (size - WORD.size)
        keys = [f"k{number:07}" for number in range(entries)]
        KEPT.append(shared)
        shared.update({key: WORD.pack(number) + filler for number, key in enumerate(keys)})

        def member(number):
            shared._connect()  # not by the connection that the parent has, as a child of multiprocessing does it
            walk, turn = random.Random(number), [0]

            def once():
                place = int(walk.random() * entries)
                turn[0] += 1
                if set_each and turn[0] % set_each == 0:
                    shared[keys[place]] = WORD.pack(place + entries * turn[0]) + filler
                    return
                value = shared[keys[place]]
                if WORD.unpack_from(value)[0] % entries != place or value[WORD.size:] != filler:
                    raise Wrong(f"key {place}")

            return once

        return shared_out(clients, member)

    return workload


def list_append(_name, clients, _second, size):
    """Emptied now and then, at the beginning of a block."""
    shared, item = started_manager().list(), bytes(size)
    KEPT.append(shared)

    def member(number):
        shared._connect()
        return lambda: shared.append(item)

    act, members, second = shared_out(clients, member)

    def act_on_empty(number, operations):
        if number == 0:
            if len(shared) > 0 and shared[-1] != item:
                raise Wrong("the last item")
            shared[:] = []
        return act(number, operations)

    return act_on_empty, members, second


WORKLOADS = {make.__name__: make for make in (exchange, round_trip, uncontended, handoff, contended, ping_pong, fan_out,
                                               barrier, list_append)}
WORKLOADS.update(dict_get=dictionary(0), dict_set=dictionary(1), dict_mixed=dictionary(10))


def main(workload, name, first, second, size, cpus):
    cpus = None if cpus == "-" else [int(cpu) for cpu in cpus.split(",")]
    gang = Gang(*WORKLOADS[workload](name, int(first), int(second), int(size)), cpus)
    print(json.dumps({"interpreter": f"{platform.python_implementation()} {platform.python_version()}",
                      "object": f"multiprocessing.{name}"}), flush=True)
    for line in sys.stdin:
        print(json.dumps(gang.block(int(line))), flush=True)
    gang.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
