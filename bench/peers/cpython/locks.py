"""Locks and what is built like them."""
import time

from blocks import FORK, both, timed
from managers import KEPT, started_manager


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
