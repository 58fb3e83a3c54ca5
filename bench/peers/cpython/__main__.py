"""CPython's multiprocessing as a peer: does a workload in blocks, as a benchmark program asks for them.

usage: python3 cpython WORKLOAD OBJECT FIRST SECOND BYTES CPUS

WORKLOAD is exchange (FIRST producers, SECOND consumers of a Queue), round_trip, uncontended, handoff, contended, ping_pong, fan_out or
barrier (FIRST processes), dict_get, dict_set, dict_mixed or list_append (FIRST clients of a Manager, SECOND keys), pool_apply,
pool_map, pool_start or pool_stop (FIRST workers, chunks of SECOND, 0 being the default); OBJECT a class of multiprocessing,
Manager.Lock or ProcessPoolExecutor; CPUS two numbers with a comma, or "-" for unpinned. Says on stdout
what it is, then, for each line "OPERATIONS" on stdin, what the block came to, as JSON. Only the standard library.
"""
import json
import platform
import sys

import locks
import managers
import pools
import queues
from blocks import Gang

WORKLOADS = {make.__name__: make for make in (
    queues.exchange, queues.round_trip, locks.uncontended, locks.handoff, locks.contended, locks.ping_pong, locks.fan_out,
    locks.barrier, managers.list_append, pools.pool_apply, pools.pool_map, pools.pool_start, pools.pool_stop)}
WORKLOADS.update(dict_get=managers.dictionary(0), dict_set=managers.dictionary(1), dict_mixed=managers.dictionary(10))


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
