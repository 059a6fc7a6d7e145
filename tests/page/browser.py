"""A real headless Chromium, driven over its debugging pipe: opens pages, asks them, takes pictures.

The pipe, not a port: so it may run inside a network namespace and two never meet.
"""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

DEADLINE_S = 90.0
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--remote-debugging-pipe", "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-US",
)  # fmt: skip


class Browser:
    """One window. `problems` holds what its console, its scripts and its policies complained about."""

    def __init__(self, *flags: str, prefix: Sequence[str] = ()) -> None:
        self._argv = [*prefix, "chromium", *_FLAGS, *flags]
        self._home = tempfile.TemporaryDirectory(prefix="flanpy-browser-", ignore_cleanup_errors=True)
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        theirs_in, self._write = os.pipe()
        self._read, theirs_out = os.pipe()
        # The pipe must be descriptors 3 and 4 of the browser.
        moved = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
        self._running = subprocess.Popen(
            ["bash", "-c", moved, "bash", *self._argv, f"--user-data-dir={self._home.name}", "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            self._attach()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.killpg(self._running.pid, signal.SIGKILL)
        self._running.wait()
        os.close(self._write)
        os.close(self._read)
        self._home.cleanup()

    def _attach(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call one command of the DevTools protocol."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._receive()
            if found.get("id") == number:
                assert "error" not in found, (method, found["error"])
                return dict(found["result"])
            self._note(found)

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + DEADLINE_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(self._read, 1 << 20) if ready else b""
            assert chunk, f"chromium said nothing (exit code {self._running.poll()})"
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, found: dict[str, Any]) -> None:
        params = found.get("params", {})
        match found.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(str(params["exceptionDetails"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
                self.problems.append(str(params["args"]))
            case _:
                pass

    def window(self, width: int, height: int, *, dark: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def ask(self, expression: str) -> Any:
        """The JSON value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """Return the text that people read at the selector."""
        return str(self.ask(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def until(self, expression: str, is_right: Callable[[Any], bool] = bool) -> Any:
        """Ask until the answer is right."""
        end = time.monotonic() + DEADLINE_S
        while not is_right(found := self.ask(expression)):
            assert time.monotonic() < end, f"{expression}: still {found!r}; {self.problems}"
            time.sleep(0.05)
        return found

    def press(self, key: str) -> None:
        text, number = "\r" if key == "Enter" else "", 27 if key == "Escape" else 0
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind, key=key, code=key, text=text, windowsVirtualKeyCode=number,
            )  # fmt: skip

    def write(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def picture(self, path: Path, *, height: int | None = None) -> None:
        """All of the page, also what one scrolls to, or its upper `height` pixels."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))
