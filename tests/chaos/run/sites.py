"""A replica's site: its process, its clock, and a faulty network and proxy on its routes to both servers.

replica -> relay (packets) -> proxy (requests) -> server. Each replica has its own. If no fault needs them, the routes
are direct, which costs less.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import libfaketime  # type: ignore[import-untyped]  # the package has no types
import orjson

from gco_stream.local.certificates import write_private
from gco_stream.local.control_plane import ControlPlane
from tests.chaos.proxies.faulty_http import FaultyProxy
from tests.chaos.proxies.relay import Relay
from tests.chaos.run.replicas import Replica

_FAKETIME = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"


@dataclass(frozen=True, slots=True)
class Route:
    """The route to one server."""

    relay: Relay
    proxy: FaultyProxy

    def restore(self) -> None:
        self.proxy.clear()
        self.relay.restore()


@dataclass(frozen=True, slots=True)
class Site:
    """One replica and its faults; `ways` is None if the routes are direct."""

    replica: Replica
    user: str
    ways: tuple[Route, Route] | None
    clock: Path

    @property
    def cluster(self) -> Route:
        """The route to the API server."""
        assert self.ways is not None
        return self.ways[0]

    @property
    def table(self) -> Route:
        """The route to DynamoDB."""
        assert self.ways is not None
        return self.ways[1]

    def set_clock(self, seconds: float) -> None:
        """Sets the offset of the wall clock from this machine's; the monotonic clock is unaffected."""
        written = self.clock.with_suffix(".new")
        written.write_text(f"{seconds:+g}")
        written.replace(self.clock)


def build(
    plane: ControlPlane,
    stack: ExitStack,
    folder: Path,
    host: str,
    environment: dict[str, str],
    *,
    seed: int | None,
    code: Path | None = None,
) -> Site:
    """Returns a replica that has not been started.

    `environment`: settings that do not depend on its routes. `seed`: the seed of its proxies; None for direct routes.
    `code`: a folder with another version of the program.
    """
    user = f"{environment['INFERENCE_NAMESPACE']}:{host}"
    kubeconfig, address = plane.kubeconfig_for(user), plane.dynamodb_url
    ways = None
    if seed is not None:
        cluster = _way(stack, FaultyProxy.before_kubernetes(kubeconfig, seed=seed))
        kubeconfig = _through(cluster, folder / f"kubeconfig-{host}")
        table = _way(stack, FaultyProxy(plane.dynamodb_url, seed=seed + 1))
        address = f"http://127.0.0.1:{table.relay.port}"
        ways = (cluster, table)
    clock = folder / f"clock-{host}"
    clock.write_text("+0")
    replica = Replica(
        host,
        {
            **environment,
            "HOSTNAME": host,
            "KUBECONFIG": str(kubeconfig),
            "AWS_ENDPOINT_URL_DYNAMODB": address,
            "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": address,
            "LD_PRELOAD": str(_FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
        folder / f"{host}.log",
        code,
    )
    return Site(replica, user, ways, clock)


def _way(stack: ExitStack, proxy: FaultyProxy) -> Route:
    stack.enter_context(proxy)
    return Route(stack.enter_context(Relay(proxy.port)), proxy)


def _through(way: Route, path: Path) -> Path:
    """Writes a kubeconfig for the complete route."""
    config = orjson.loads(way.proxy.kubeconfig(path).read_bytes())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{way.relay.port}"
    return write_private(path, orjson.dumps(config))
