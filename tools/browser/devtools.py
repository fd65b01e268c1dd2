"""Drives Chromium over one DevTools websocket, with the calls that tests and screenshots need."""

import asyncio
import base64
import itertools
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp

from tools.browser.chromium import Browser

_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--font-render-hinting=none",
    "--remote-debugging-port=0",
)
_START_SECONDS: Final = 120.0
_CALL_SECONDS: Final = 60.0
_PATIENCE: Final = 90.0
_POLL_SECONDS: Final = 0.03
_KEYS: Final = {"Escape": 27, "Enter": 13, "Tab": 9}


class PageError(Exception):
    """A call to the browser failed, or a script in the page threw an exception. The message has the details."""


class Tab:
    """One open page. `console` has the errors of its scripts and of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.console: list[str] = []

    async def listen(self) -> None:
        """Receives responses and console errors until the browser closes."""
        async for message in self._socket:
            received = json.loads(message.data)
            if (waiting := self._answers.pop(received.get("id", 0), None)) is not None and not waiting.done():
                waiting.set_result(received)
            elif received.get("method") == "Runtime.exceptionThrown":
                self.console.append(str(received["params"]["exceptionDetails"].get("text")))
            elif received.get("method") == "Log.entryAdded" and received["params"]["entry"]["level"] == "error":
                self.console.append(received["params"]["entry"]["text"])

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends one command and returns its result. Raises PageError."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(_CALL_SECONDS):
            response = await answer
        if "error" in response:
            raise PageError(f"{method}: {response['error'].get('message')}")
        result: dict[str, Any] = response["result"]
        return result

    async def evaluate(self, script: str) -> Any:
        """Returns the value of an expression in the page, and awaits promises. Raises PageError."""
        response = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if problem := response.get("exceptionDetails"):
            raise PageError(f"{script[:80]}: {problem.get('exception', {}).get('description') or problem.get('text')}")
        return response["result"].get("value")

    async def go(self, url: str) -> None:
        """Opens a URL and waits until the page has loaded."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'", f"{url} has loaded")

    async def until(self, script: str, what: str, patience: float = _PATIENCE) -> None:
        """Waits until an expression is true in the page. Raises PageError."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            with suppress(PageError):
                if await self.evaluate(f"Boolean({script})"):
                    return
            if loop.time() > deadline:
                raise PageError(f"timed out after {patience:g} s waiting for: {what}")
            await asyncio.sleep(_POLL_SECONDS)

    async def press(self, key: str) -> None:
        """Presses a key: a character, Escape, Enter or Tab."""
        code = _KEYS.get(key, ord(key[0].upper()))
        text = {} if key in _KEYS and key != "Enter" else {"text": "\r" if key == "Enter" else key}
        common = {"key": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def type(self, text: str) -> None:
        """Types into the focused element."""
        await self.call("Input.insertText", text=text)

    async def media(self, **features: str) -> None:
        """Sets media features for the page, such as prefers_color_scheme="dark"."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=wanted)

    async def size(self, width: int, height: int, scale: float = 1) -> None:
        """Sets the window size in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    async def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Saves the page as a PNG; with `whole`, including the parts outside the window."""
        response = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(response["data"]))


@contextmanager
def running(browser: Browser) -> Iterator[int]:
    """Runs a headless browser while the block runs, and yields its DevTools port. Raises PageError."""
    with TemporaryDirectory(prefix="gco-stream-browser-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(  # noqa: S603 - the browser that was found
            [browser.command, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            env={**os.environ, **browser.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield _port(Path(profile), process)
        finally:
            process.kill()
            process.wait()


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    """The DevTools port, which the browser writes into its profile."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, ValueError, IndexError):
            return int((profile / "DevToolsActivePort").read_text().splitlines()[0])
        time.sleep(_POLL_SECONDS)
    raise PageError(f"the browser exited or did not start within {_START_SECONDS:g} s")


@asynccontextmanager
async def opened(port: int) -> AsyncIterator[Tab]:
    """Opens a new tab in the browser with DevTools on `port`, and closes it after the block."""
    tools = f"http://127.0.0.1:{port}/json"
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{tools}/new?about:blank") as answer:
            target = await answer.json(content_type=None)
        async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=2**28) as socket:
            tab = Tab(socket)
            listening = asyncio.create_task(tab.listen())
            try:
                for domain in ("Page", "Runtime", "Log"):
                    await tab.call(f"{domain}.enable")
                yield tab
            finally:
                listening.cancel()
                with suppress(asyncio.CancelledError):
                    await listening
        async with session.get(f"{tools}/close/{target['id']}"):
            pass
