"""A headless Chromium that reaches this machine alone, through its debugging pipe: one browser for many pages."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE = 90.0  # seconds that one command may take on a busy machine


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A running browser; it ends with the block."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert path, "no Chromium: install one (Debian and Ubuntu: apt-get install chromium) or set CHROMIUM to its path"
    (read_commands, write_commands), (read_answers, write_answers) = os.pipe(), os.pipe()

    def place() -> None:  # the browser wants its pipes at 3 and 4
        commands, answers = os.dup(read_commands), os.dup(write_answers)
        os.dup2(commands, 3)
        os.dup2(answers, 4)

    process = subprocess.Popen(
        [path, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"],
        preexec_fn=place,
        close_fds=False,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_commands)
    os.close(write_answers)
    browser = Browser(write_commands, read_answers)
    try:
        yield browser
    finally:
        browser.send("Browser.close")
        process.wait(timeout=PATIENCE)
        os.close(write_commands)
        os.close(read_answers)


class Browser:
    """Commands and events of the debugging protocol."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers = commands, answers
        self.count, self.buffer = 0, b""
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        message |= {} if session is None else {"sessionId": session}
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self.commands, text) :]
        number = self.count
        while (answer := self._receive()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, (method, answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.answers], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(self.answers, 1 << 20) if ready else b""
            assert part, "the browser does not answer"
            self.buffer += part
        text, self.buffer = self.buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        return message

    @contextmanager
    def tab(self, *, width: int = 1280, height: int = 900, dark: bool = False, phone: bool = False) -> Iterator[Tab]:
        """A tab with a window of this size, in a light or a dark scheme, with a mouse or a finger."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log"):
            tab.send(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        tab.send("Emulation.setDeviceMetricsOverride", **size)
        tab.send("Emulation.setTouchEmulationEnabled", enabled=phone)
        tab.emulate(dark=dark)
        try:
            yield tab
        finally:
            self.send("Target.closeTarget", targetId=target)


class Tab:
    """One page."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command to this tab."""
        return self.browser.send(method, self.session, **parameters)

    def emulate(self, *, dark: bool = False, media: str = "") -> None:
        """The colour scheme, and ``print`` or the screen."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def visit(self, address: str) -> None:
        """Go to an address and wait until the document is there."""
        self.send("Page.navigate", url=address)
        self.until(f"document.readyState === 'complete' && location.href === {json.dumps(address)}")

    def open(self, file: Path) -> None:
        """Open a file and wait until its figures are drawn."""
        self.visit(file.absolute().as_uri())
        self.until("Array.from(document.querySelectorAll('figure')).every((one) => one.classList.contains('live'))")
        for index in range(int(self.evaluate("document.querySelectorAll('figure').length"))):
            self.evaluate(f"document.querySelectorAll('figure')[{index}].scrollIntoView()")
            self.until(f"document.querySelectorAll('figure')[{index}].querySelector('.main-svg') !== null")
        self.evaluate("window.scrollTo(0, 0)")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, awaited where it is a promise."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self.send("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, f"it never came: {expression}; said: {self.complaints()}"
            time.sleep(0.05)

    def complaints(self) -> list[str]:
        """What the page said on the console, and what it failed at."""
        self.evaluate("1")  # whatever happened before is told by now
        texts: dict[str, Callable[[dict[str, Any]], str]] = {
            "Log.entryAdded": lambda told: told["entry"]["text"],
            "Runtime.consoleAPICalled": lambda told: str([one.get("value") for one in told["args"]]),
            "Runtime.exceptionThrown": lambda told: json.dumps(told["exceptionDetails"]),
        }
        mine = [event for event in self.browser.events if event.get("sessionId") == self.session]
        return [texts[event["method"]](event["params"]) for event in mine if event["method"] in texts]

    def picture(self) -> bytes:
        """The whole page as PNG."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        told = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(told["data"])

    def pdf(self) -> bytes:
        """The page printed on A4."""
        return base64.b64decode(self.send("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])
