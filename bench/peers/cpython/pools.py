"""multiprocessing.Pool and concurrent.futures.ProcessPoolExecutor."""
import concurrent.futures
import os
import resource
import time

from blocks import FORK, WORD, Wrong, end_with_parent, timed, used


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


def become_worker(cpu):
    end_with_parent()
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
