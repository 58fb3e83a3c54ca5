"""Runs one program in a process group of its own, which ends with it."""
import dataclasses
import os
import select
import signal
import subprocess
import time

GRACE_S = 2.0


@dataclasses.dataclass(frozen=True)
class Ended:
    status: int        # negative: ended by this signal
    timed_out: bool
    seconds: float

    def describe(self):
        if self.timed_out:
            return f"timed out after {self.seconds:.0f} s"
        return f"signal {-self.status}" if self.status < 0 else f"exit status {self.status}"


def run(argv, output, timeout_s, tick=None, tick_s=1.0):
    """Waits without polling, so that a benchmark has the CPUs to itself; `tick` is called every `tick_s`.

    An interrupt (KeyboardInterrupt) ends the whole group before it is passed on, and so does the time limit. The
    session of its own keeps a terminal's Ctrl-C from the program: it would die before its result is dealt with.
    """
    start = time.monotonic()
    with open(output, "ab") as sink:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
                                   start_new_session=True)
    descriptor = os.pidfd_open(process.pid)
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    timed_out = False
    try:
        while not poller.poll(tick_s * 1000):
            if time.monotonic() - start > timeout_s:
                timed_out = True
                break
            if tick:
                tick()
    finally:
        _end_group(process.pid, poller)
        process.wait()
        os.close(descriptor)
    return Ended(process.returncode, timed_out, time.monotonic() - start)


def _end_group(leader, poller):
    """The leader is not reaped yet, so its id still names this group and no other."""
    if not poller.poll(0):
        os.killpg(leader, signal.SIGTERM)
        poller.poll(GRACE_S * 1000)
    os.killpg(leader, signal.SIGKILL)
