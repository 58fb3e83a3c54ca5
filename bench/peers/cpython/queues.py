"""Queue and SimpleQueue."""
import time

from blocks import FORK, WORD, Wrong, both

NUMBER_BITS = 48


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
