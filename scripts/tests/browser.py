"""A headless Chromium that tests ask about a page, by the DevTools protocol over a pair of pipes."""
import base64
import fcntl
import itertools
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

ANSWER_S = 60


def find():
    """The path of a Chromium or Chrome; None without one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for path in map(shutil.which, names) if path), None)


class Browser:
    """One page at a time; every request that it makes is kept in `requests`."""

    def __init__(self, program):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        their_read, self._write = os.pipe()
        self._read, their_write = os.pipe()
        # Above 10, so that neither is in the place of the other when the child gives them the numbers 3 and 4.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (their_read, their_write)]

        def give_ends():
            for number, end in zip((3, 4), ends):
                os.dup2(end, number)
        self._process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
             # Whatever a page may want from elsewhere, nothing is asked of any name server or host.
             "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking", "--disable-component-update",
             "--no-first-run", f"--user-data-dir={self._profile.name}", "about:blank"],
            # Nothing else is inherited: what Python opens is close-on-exec.
            preexec_fn=give_ends, close_fds=False, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in (their_read, their_write, *ends):
            os.close(end)
        self._numbers, self._buffer, self._events, self.requests = itertools.count(1), b"", [], []
        self._session = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in (self._write, self._read):
            os.close(end)
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)  # its own session: only what this object started
                self._process.wait(10)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()
        self._profile.cleanup()

    def _message(self, deadline):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser did not answer")
            part = os.read(self._read, 1 << 20)
            if not part:
                raise ConnectionError("the browser ended")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def _ask(self, method, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + ANSWER_S
        while True:
            answer = self._message(deadline)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._take(answer)

    def _take(self, event):
        self._events.append(event)
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])

    def open(self, path, width=1280, height=900, dark=False):
        """Shows a file and waits until it has been loaded."""
        self.requests, self._events = [], []
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self._ask("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self._ask("Page.navigate", url=pathlib.Path(path).resolve().as_uri())
        deadline = time.monotonic() + ANSWER_S
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._take(self._message(deadline))

    def evaluate(self, expression, wait=False):
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=wait)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def picture(self, path, top=0, height=None):
        """A PNG of the page from `top` on, as wide as its window."""
        width = self.evaluate("window.innerWidth")
        height = height or self.evaluate("document.documentElement.scrollHeight") - top
        shot = self._ask("Page.captureScreenshot", captureBeyondViewport=True,
                         clip={"x": 0, "y": top, "width": width, "height": height, "scale": 1})
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))
