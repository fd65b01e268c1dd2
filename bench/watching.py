"""A separate watch on Deployments, which confirms changes independently of the program."""

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import orjson
import urllib3

from bench.place import Place
from gco_stream.local.kube_api import path_of
from gco_stream.model import names

_USER = "onlooker"


class DeploymentWatch:
    """Context manager that records when each gco.io/revision of a Deployment first arrives, by `time.monotonic`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._received: dict[str, dict[str, float]] = {}
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._response: urllib3.BaseHTTPResponse | None = None

    def __enter__(self) -> Self:
        access = self._place.access(_USER)
        pool = urllib3.PoolManager(ssl_context=access.tls, retries=False)
        path = path_of("Deployment", self._place.namespace)
        listed = self._place.plane.kube.get(f"{path}?limit=1")
        version = listed["metadata"]["resourceVersion"]
        self._response = pool.request(
            "GET", f"{access.configuration.host}{path}?watch=true&resourceVersion={version}", preload_content=False
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            self._response.shutdown()
        self._thread.join(5)

    def seen(self, name: str, revision: str, seconds: float) -> float:
        """When the Deployment arrived at this revision, or at a later one if this one was superseded.

        Revisions are timestamps in the same format, so they compare as text. Raises TimeoutError after `seconds`.
        """
        with self._news:
            if not self._news.wait_for(lambda: self._from(name, revision), seconds):
                raise TimeoutError(f"{name}: revision {revision} was not applied within {seconds:g} s")
            return min(self._from(name, revision))

    def _from(self, name: str, revision: str) -> list[float]:
        return [at for one, at in self._received.get(name, {}).items() if one >= revision]

    def _run(self) -> None:
        pending = b""
        # __exit__ shuts down the connection, which ends the loop with an error.
        with suppress(urllib3.exceptions.HTTPError, OSError):
            for chunk in self._response.read_chunked() if self._response is not None else ():
                received = time.monotonic()
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    self._note(orjson.loads(line), received)

    def _note(self, event: dict[str, Any], received: float) -> None:
        metadata = event["object"]["metadata"]
        revision = (metadata.get("annotations") or {}).get(names.REVISION_ANNOTATION)
        if revision:
            with self._news:
                self._received.setdefault(metadata["name"], {}).setdefault(revision, received)
                self._news.notify_all()
