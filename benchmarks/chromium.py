"""A page in headless Chromium, driven over the DevTools protocol's pipe: no package is needed, only the browser.

`with Page(size) as page: page.open(path); page.value("document.title")`. What the page asks for over the network, and what
it complains of, is kept in `requests` and `errors`.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# the protocol wants file descriptors 3 and 4, which may be taken here
_EXEC = """import fcntl, os, sys
r, w = (fcntl.fcntl(int(a), fcntl.F_DUPFD, 10) for a in sys.argv[1:3])
os.dup2(r, 3), os.dup2(w, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_FLAGS = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--use-angle=swiftshader",  # graphics on any machine
    "--enable-unsafe-swiftshader",
]

_PLACE = """(({{ x, y, width, height }}) => ({{ x: x + scrollX, y: y + scrollY, width, height, scale: 1 }}))(
  document.querySelector({}).getBoundingClientRect())"""


def browser() -> str | None:
    """The path of a Chromium on this machine, or None."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


class Page:
    """One tab of a browser of its own, `size` (width, height) pixels; a context manager. Raises RuntimeError on trouble."""

    def __init__(self, size: tuple[int, int] = (1200, 900), *, dark: bool = False, timeout: float = 60.0) -> None:
        self._size, self._dark, self._timeout = size, dark, timeout
        self._buffer, self._number, self._session = b"", 0, ""
        self.requests: list[str] = []
        self.errors: list[str] = []

    def __enter__(self) -> "Page":
        path = browser()
        if path is None:
            raise RuntimeError("no Chromium on this machine")
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        arguments = [path, *_FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _EXEC, str(theirs_in), str(theirs_out), *arguments],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._attach()
        return self

    def _attach(self) -> None:
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        width, height = self._size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = "dark" if self._dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def __exit__(self, *exception: object) -> None:
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (RuntimeError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer; what happens meanwhile is noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session and not method.startswith(("SystemInfo.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._note(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], self._timeout)
            part = os.read(self._in, 1 << 20) if ready else b""
            if not part:
                raise RuntimeError("the browser does not answer")
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _note(self, event: dict[str, Any]) -> None:
        name, said = event.get("method"), event.get("params", {})
        if name == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif name == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(said["exceptionDetails"])[:500])
        elif (name == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning")) or (
            name == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert")
        ):
            self.errors.append(json.dumps(said)[:500])

    def open(self, path: Path) -> float:
        """Open a file; the seconds until the page has loaded."""
        start = time.monotonic()
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.until("document.readyState === 'complete' && location.protocol === 'file:'")
        return time.monotonic() - start

    def value(self, expression: str) -> Any:
        """What JavaScript makes of an expression; a promise is waited for. Raises RuntimeError if it throws."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"])[:500])
        return found["result"].get("value")

    def until(self, expression: str) -> float:
        """Wait until an expression is true; the seconds that took. Raises RuntimeError if it takes too long."""
        start = time.monotonic()
        while not self.value(expression):
            if time.monotonic() - start > self._timeout:
                raise RuntimeError(f"still not: {expression}")
            time.sleep(0.02)
        return time.monotonic() - start

    def processor(self) -> float:
        """Seconds of processor that all the browser's processes have used so far."""
        return sum(process["cpuTime"] for process in self.call("SystemInfo.getProcessInfo")["processInfo"])

    def picture(self, selector: str | None = None, whole: bool = False) -> bytes:
        """What is to be seen, as PNG: of one element, of the `whole` page, or of the window."""
        settings: dict[str, Any] = {"captureBeyondViewport": whole or selector is not None}
        if selector is not None:
            settings["clip"] = self.value(_PLACE.format(json.dumps(selector)))
        if whole:
            self.value("document.querySelectorAll('img[loading]').forEach((image) => (image.loading = 'eager'))")
            self.until("[...document.images].every((image) => image.complete)")
        return base64.b64decode(self.call("Page.captureScreenshot", **settings)["data"])
