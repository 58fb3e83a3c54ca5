"""What a Manager keeps, and its proxies."""
import multiprocessing.managers
import os
import random
import signal

from blocks import FORK, WORD, Wrong, end_with_parent, timed

KEPT = []  # or the server would let go of them


def begin_serving():
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def started_manager():
    """At an abstract address, since who is killed leaves no file there."""
    manager = multiprocessing.managers.SyncManager(f"\0crucible-peer-{os.urandom(16).hex()}", ctx=FORK)
    manager.start(begin_serving)
    return manager


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
