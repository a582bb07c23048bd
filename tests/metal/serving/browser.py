"""A headless Chromium, told what to do over its debugging pipe, as a person would use a page."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_S = 30
_BEGIN = ("import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
          "os.execv(sys.argv[3], sys.argv[3:])")


def chromium() -> str | None:
    """The browser of this machine, if it has one."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One page of one browser."""

    def __init__(self, program: str, folder: Path) -> None:
        # The browser reads at 3 and writes at 4: what is moved there may lie at neither.
        pipes = [os.pipe(), os.pipe()]
        (theirs_in, self.to), (self.back, theirs_out) = [
            tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pipe) for pipe in pipes]
        for end in (*pipes[0], *pipes[1]):
            os.close(end)
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
                   "--no-first-run", "--disable-background-networking", "--disable-extensions", "--use-mock-keychain",
                   "--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN, str(theirs_in), str(theirs_out), program, *options],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self.number, self.rest, self.session = 0, b"", ""
        self.heard: list[dict[str, Any]] = []
        page = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """A command of the protocol, and what comes back; events are kept in `heard`."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self.next()).get("id") != self.number:
            self.heard.append(answer)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def next(self) -> dict[str, Any]:
        """One message."""
        while b"\0" not in self.rest:
            data = os.read(self.back, 1 << 16)
            assert data, "the browser went away"
            self.rest += data
        message, _, self.rest = self.rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def size(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """What the page is shown on."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is there."""
        self.heard.clear()
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.ask(expression):
            assert time.monotonic() < deadline, f"{expression}: {self.ask('document.body.innerText')}"
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Letters into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key, down and up."""
        code = {"Enter": 13, "Tab": 9}[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", text="\r" if key == "Enter" else "", **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        """The middle of an element, where a person would press; it has to be there and on top."""
        x, y = self.ask(f"(() => {{ const r = document.querySelector({selector!r}).getBoundingClientRect();"
                        " return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        assert self.ask(f"document.querySelector({selector!r}).contains(document.elementFromPoint({x}, {y}))"), selector
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def complaints(self) -> list[str]:
        """What the page did wrong in the browser's opinion, and where it went outside of its own node."""
        found = []
        for event in self.heard:
            entry = event.get("params", {}).get("entry", {})
            if event["method"] == "Runtime.exceptionThrown" or (
                    entry.get("level") == "error" and entry.get("source") != "network"):
                found.append(json.dumps(event))
        return found

    def asked(self) -> list[str]:
        """The addresses that were asked for since the page was opened."""
        return [event["params"]["request"]["url"] for event in self.heard
                if event["method"] == "Network.requestWillBeSent"]

    def close(self) -> None:
        """The end of it: of its children too, which it waits for."""
        self.session = ""
        self.call("Browser.close")
        os.close(self.to)
        os.close(self.back)
        self.process.wait(PATIENCE_S)
