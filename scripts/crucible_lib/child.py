"""Runs programs in process groups of their own, which end with them."""
import collections
import contextlib
import dataclasses
import os
import select
import signal
import subprocess
import time

GRACE_S = 2.0


@dataclasses.dataclass(frozen=True)
class Command:
    argv: list
    output: object                                             # file that stdout and stderr are appended to
    environment: dict = dataclasses.field(default_factory=dict)  # beside this process's own


@dataclasses.dataclass(frozen=True)
class Ended:
    status: int        # negative: ended by this signal
    timed_out: bool
    seconds: float

    def describe(self):
        if self.timed_out:
            return f"timed out after {self.seconds:.0f} s"
        return f"signal {-self.status}" if self.status < 0 else f"exit status {self.status}"


class _Running:
    """One started program. The session of its own keeps a terminal's Ctrl-C from it: it would die before its result is
    dealt with."""

    def __init__(self, command):
        self._start = time.monotonic()
        with open(command.output, "ab") as sink:
            self._process = subprocess.Popen(command.argv, stdin=subprocess.DEVNULL, stdout=sink,
                                             stderr=subprocess.STDOUT, start_new_session=True,
                                             env={**os.environ, **command.environment})
        self.descriptor = os.pidfd_open(self._process.pid)

    def seconds(self):
        return time.monotonic() - self._start

    def end(self, timed_out=False):
        """Ends what is left of its group; after an interrupt, again. The leader is not reaped before, so that its id
        still names this group alone."""
        if self._process.returncode is None:
            poller = select.poll()
            poller.register(self.descriptor, select.POLLIN)
            if not poller.poll(0):
                os.killpg(self._process.pid, signal.SIGTERM)
                poller.poll(GRACE_S * 1000)
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        with contextlib.suppress(OSError):
            os.close(self.descriptor)
        return Ended(self._process.returncode, timed_out, self.seconds())


def run_all(commands, at_once, timeout_s, tick=None, tick_s=1.0):
    """How each command ended, in their order; at most `at_once` run at a time, each for at most `timeout_s`.

    Waits without polling, so that a benchmark has the CPUs to itself; `tick` is called every `tick_s`. An interrupt
    (KeyboardInterrupt) ends all that run before it is passed on.
    """
    waiting, running, ended = collections.deque(enumerate(commands)), {}, {}
    poller = select.poll()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, command = waiting.popleft()
                started = _Running(command)
                running[started.descriptor] = number, started
                poller.register(started.descriptor, select.POLLIN)
            over = {descriptor for descriptor, _ in poller.poll(tick_s * 1000)}
            late = {d for d, (_, program) in running.items() if program.seconds() > timeout_s} - over
            for descriptor in over | late:
                poller.unregister(descriptor)
                number, program = running[descriptor]
                ended[number] = program.end(timed_out=descriptor in late)
                del running[descriptor]
            if tick and not over:
                tick()
    finally:
        for _, program in running.values():
            program.end()
    return [ended[number] for number in sorted(ended)]


def run(argv, output, timeout_s, tick=None, tick_s=1.0):
    """How one program ended; see run_all()."""
    return run_all([Command(argv, output)], 1, timeout_s, tick, tick_s)[0]
