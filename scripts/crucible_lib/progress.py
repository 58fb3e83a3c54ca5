"""One live line on a terminal, plain lines elsewhere; with the time left."""
import shutil
import sys
import time

from . import text


class Progress:
    """Durations are planned; after a few cases the plan is corrected by the pace seen so far."""

    CORRECT_AFTER = 3

    def __init__(self, count, planned_s, stream=None, clock=time.monotonic):
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._clock = clock
        self._begun = self._case_begun = clock()
        self._count, self._planned = count, planned_s
        self._done = self._skipped = 0
        self._finished_planned = self._finished_real = 0.0
        self._now = self._case_planned = None

    def skip(self, count, planned_s):
        """What an earlier part of the run has done: it counts, but says nothing about the pace of this one."""
        self._skipped += count
        self._planned -= planned_s

    def begin(self, what, planned_s):
        self._now, self._case_planned, self._case_begun = what, planned_s, self._clock()
        self.tick()

    def tick(self):
        if self._live:
            # A line that wraps could not be taken back.
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{self.line()[:width]}")
            self._stream.flush()

    def end(self, outcome):
        """`outcome` is what a log wants to keep of this case, e.g. its median."""
        self._done += 1
        self._finished_planned += self._case_planned
        self._finished_real += self._clock() - self._case_begun
        what, self._now = self._now, None
        if not self._live:
            print(f"{self._position()} {what}: {outcome}; about {text.seconds(self.left_s())} left",
                  file=self._stream, flush=True)

    def close(self):
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def left_s(self):
        pace = 1.0
        if self._done >= self.CORRECT_AFTER and self._finished_planned > 0:
            pace = self._finished_real / self._finished_planned
        left = (self._planned - self._finished_planned) * pace
        if self._now is not None:
            left -= min(self._clock() - self._case_begun, self._case_planned * pace)
        return max(0.0, left)

    def line(self):
        return (f"{self._position()} {self._now}  {text.seconds(self._clock() - self._begun)} gone, "
                f"about {text.seconds(self.left_s())} left")

    def _position(self):
        number = self._skipped + self._done + (1 if self._live else 0)
        return f"[{number:>{len(str(self._count))}}/{self._count}]"
