"""CPython's multiprocessing as a peer: does a workload in blocks, as a benchmark program asks for them.

usage: cpython.py WORKLOAD OBJECT FIRST SECOND BYTES CPUS

WORKLOAD is exchange (FIRST producers, SECOND consumers of a Queue), round_trip, uncontended, handoff, contended, ping_pong, fan_out or
barrier (FIRST processes), dict_get, dict_set, dict_mixed or list_append (FIRST clients of a Manager, SECOND keys), pool_apply,
pool_map, pool_start or pool_stop (FIRST workers, chunks of SECOND, 0 being the default); OBJECT a class of multiprocessing,
Manager.Lock or ProcessPoolExecutor; CPUS two numbers with a comma, or "-" for unpinned. Says on stdout
what it is, then, for each line "OPERATIONS" on stdin, what the block came to, as JSON. Only the standard library.
"""
import concurrent.futures
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


def used(who=resource.RUSAGE_SELF):
    usage = resource.getrusage(who)
    return usage.ru_utime * 1e6, usage.ru_stime * 1e6, usage.ru_nvcsw + usage.ru_nivcsw


def used_by(pids):
    """The same of other processes. The clock is exact, the part of it that was their own is told in ticks."""
    total = [0.0, 0.0, 0]
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat, open(f"/proc/{pid}/status", encoding="utf-8") as status:
            ticks = int(stat.read().rpartition(")")[2].split()[11])
            switches = [int(line.split()[1]) for line in status if "voluntary_ctxt_switches" in line]
        both = time.clock_gettime(~pid << 3 | 2) * 1e6
        user = min(both, ticks * 1e6 / os.sysconf("SC_CLK_TCK"))
        total = [total[0] + user, total[1] + both - user, total[2] + sum(switches)]
    return total


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
                found.setdefault("used", [after - then for after, then in zip(used(), before)])
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


def become_worker(cpu):
    """Ends with its parent, which may be killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


def echo(message):
    return message


def successor(number):
    return number + 1


class OwnPool:
    """One of the two pools that CPython has, made by the process that first asks for it."""

    def __init__(self, name, workers, cpus):
        self.name, self.workers, self.cpu, self.pool = name, workers, cpus and cpus[1], None

    def start(self):
        start = {"initializer": become_worker, "initargs": (self.cpu,)}
        if self.name == "Pool":
            self.pool = FORK.Pool(self.workers, **start)
        else:
            self.pool = concurrent.futures.ProcessPoolExecutor(self.workers, mp_context=FORK, **start)

    def stop(self):
        if self.name == "Pool":
            self.pool.close()
            self.pool.join()
        else:
            self.pool.shutdown()

    def apply(self, function, argument):
        if self.name == "Pool":
            return self.pool.apply(function, (argument,))
        return self.pool.submit(function, argument).result()

    def map(self, function, elements, chunk):
        if self.name == "Pool":
            return self.pool.map(function, elements, chunk or None)
        return list(self.pool.map(function, elements, chunksize=chunk or 1))

    def block(self, warm, work):
        """What work() says, with what the workers used for it."""
        if self.pool is None:
            self.start()
        warm()
        pids = [worker.pid for worker in self.pool._pool] if self.name == "Pool" else list(self.pool._processes)
        helped, own = used_by(pids), used()
        found = work()
        now = [mine + theirs for mine, theirs in zip(used(), used_by(pids))]
        return {**found, "used": [after - mine - theirs for after, mine, theirs in zip(now, own, helped)]}


def pool_apply(name, workers, _second, size, cpus):
    own, filler, count = OwnPool(name, workers, cpus), b"x" * (size - WORD.size), [0]

    def ask():
        count[0] += 1
        message = WORD.pack(count[0]) + filler
        if own.apply(echo, message) != message:
            raise Wrong(f"answer {count[0]}")

    return lambda _number, operations: own.block(ask, lambda: timed(operations, ask)), 1, lambda number: 0


def pool_map(name, workers, chunk, _size, cpus):
    own, count = OwnPool(name, workers, cpus), [0]

    def mapped(tasks):
        first = count[0]
        count[0] += tasks
        start = time.monotonic_ns()
        if own.map(successor, range(first, count[0]), chunk) != list(range(first + 1, count[0] + 1)):
            raise Wrong("results")
        return {"start": start, "end": time.monotonic_ns()}

    return lambda _number, operations: own.block(lambda: mapped(4 * workers), lambda: mapped(operations)), 1, lambda _: 0


def pool_life(name, workers, cpus, half):
    own = OwnPool(name, workers, cpus)

    def live():
        start = time.monotonic_ns()
        own.start()
        if own.apply(successor, 1) != 2:
            raise Wrong("result")
        stop = time.monotonic_ns()
        own.stop()
        return stop - start if half == "start" else time.monotonic_ns() - stop

    def act(_number, operations):
        live()
        before = [mine + theirs for mine, theirs in zip(used(), used(resource.RUSAGE_CHILDREN))]
        start, latencies = time.monotonic_ns(), [live() for _ in range(operations)]
        now = [mine + theirs for mine, theirs in zip(used(), used(resource.RUSAGE_CHILDREN))]
        return {"start": start, "end": start + sum(latencies), "latencies": latencies,
                "used": [after - then for after, then in zip(now, before)]}

    return act, 1, lambda number: 0


def pool_start(name, workers, _second, _size, cpus):
    return pool_life(name, workers, cpus, "start")


def pool_stop(name, workers, _second, _size, cpus):
    return pool_life(name, workers, cpus, "stop")


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
                                               barrier, list_append, pool_apply, pool_map, pool_start, pool_stop)}
WORKLOADS.update(dict_get=dictionary(0), dict_set=dictionary(1), dict_mixed=dictionary(10))


def main(workload, name, first, second, size, cpus):
    cpus = None if cpus == "-" else [int(cpu) for cpu in cpus.split(",")]
    of = (name, int(first), int(second), int(size))
    gang = Gang(*WORKLOADS[workload](*of, *([cpus] if workload.startswith("pool_") else [])), cpus)
    print(json.dumps({"interpreter": f"{platform.python_implementation()} {platform.python_version()}",
                      "object": f"concurrent.futures.{name}" if "Executor" in name else f"multiprocessing.{name}"}),
          flush=True)
    for line in sys.stdin:
        print(json.dumps(gang.block(int(line))), flush=True)
    gang.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
