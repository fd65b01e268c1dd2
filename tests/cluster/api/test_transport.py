"""What holds on kubernetes-asyncio's transport beyond what the library does by default."""

import asyncio
import base64
import socket
import ssl
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from gco_stream.cluster.api import errors
from gco_stream.cluster.api.client import KubeClient
from gco_stream.local.certificates import Authority
from tests.support.fake_api_server import connected, json_answer, kubeconfig, listening, stream

PROXY_VARIABLES = tuple(name for one in ("http_proxy", "https_proxy", "no_proxy") for name in (one, one.upper()))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def edit_cluster(path: str, **fields: Any) -> None:
    config = orjson.loads(Path(path).read_bytes())
    config["clusters"][0]["cluster"].update(fields)
    Path(path).write_bytes(orjson.dumps(config))


async def ok(_: web.Request) -> web.Response:
    return json_answer({})


async def read_until_reset(connection: socket.socket) -> int:
    """Returns the number of bytes that arrive before the connection is reset. Raises EOFError if it ends in order."""
    received, loop = 0, asyncio.get_running_loop()
    while True:
        try:
            chunk = await loop.sock_recv(connection, 2**20)
        except ConnectionResetError:
            return received
        if not chunk:
            raise EOFError
        received += len(chunk)


@pytest.mark.slow
async def test_a_write_that_is_abandoned_is_reset_and_its_unsent_data_discarded(tmp_path: Path) -> None:
    body = {"data": "x" * 900_000}
    with socket.socket() as server:
        # The client's kernel holds what the server does not read.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        path = kubeconfig(tmp_path / "k", f"http://127.0.0.1:{server.getsockname()[1]}", {"token": "t"})
        async with KubeClient.connect(kubeconfig=path) as client:
            request = asyncio.create_task(client.request("PUT", "/x", body=body, timeout=0.3))
            connection, _ = await asyncio.get_running_loop().sock_accept(server)
            with connection:
                with pytest.raises(errors.Unreachable, match="timed out"):
                    await request
                # The client is still open: the deadline itself has ended the connection.
                assert await read_until_reset(connection) < 900_000


@pytest.mark.slow
async def test_closing_a_client_does_not_wait_for_a_server_that_has_stopped_responding(tmp_path: Path) -> None:
    authority = Authority()
    pair = authority.server()
    (tmp_path / "server.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem")
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            ended.set_result(f"closed in order: {await reader.read()!r}")
        except ConnectionResetError:
            ended.set_result("reset")

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        path = kubeconfig(tmp_path / "k", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", {"token": "t"})
        edit_cluster(path, **{"certificate-authority-data": base64.b64encode(authority.certificate).decode()})
        async with KubeClient.connect(kubeconfig=path) as client:
            with pytest.raises(errors.Unreachable):
                await client.request("GET", "/x", timeout=0.3)
        async with asyncio.timeout(5):
            assert await ended == "reset"


async def test_a_watch_may_last_longer_than_a_call(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await stream(request, [{"n": 1}])
        await asyncio.sleep(0.3)
        await response.write(b'{"n": 2}\n')
        return response

    async with (
        connected(answer, tmp_path, timeout=0.1) as (client, _),
        aclosing(client.watch("/w", inactivity=5)) as events,
    ):
        assert [event["n"] async for event in events] == [1, 2]


async def test_the_proxy_of_the_kubeconfig_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    async with listening(ok) as (proxy, seen):
        path = kubeconfig(tmp_path / "k", "http://api.test", {"token": "t"})
        edit_cluster(path, **{"proxy-url": proxy})
        async with KubeClient.connect(kubeconfig=path) as client:
            assert await client.request("GET", "/x") == {}
    assert seen.requests[0].host == "api.test"


async def test_the_proxy_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(ok) as (proxy, seen):
        monkeypatch.setenv("http_proxy", proxy)
        path = kubeconfig(tmp_path / "k", "http://api.test", {"token": "t"})
        async with KubeClient.connect(kubeconfig=path) as client:
            assert await client.request("GET", "/x") == {}
    assert seen.requests[0].host == "api.test"


@pytest.mark.parametrize(("no_proxy", "asked"), [("192.0.2.0/24", 0), ("192.0.2.1", 0), ("192.0.2.1:81", 1)])
async def test_no_proxy_is_honored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxy: str, asked: int) -> None:
    async with listening(ok) as (proxy, seen):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", no_proxy)
        path = kubeconfig(tmp_path / "k", "http://192.0.2.1", {"token": "t"})
        async with KubeClient.connect(kubeconfig=path, timeout=0.2) as client:
            # Nothing answers at this address (RFC 5737), so only the proxy does.
            with suppress(errors.ClusterError):
                await client.request("GET", "/x")
    assert len(seen.requests) == asked


async def test_the_local_machine_is_never_asked_through_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with connected(ok, tmp_path) as (client, seen):
        assert await client.request("GET", "/x") == {}
    assert len(seen.requests) == 1


async def test_a_netrc_file_is_not_a_source_of_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with (
        listening(ok) as (url, seen),
        KubeClient.connect(kubeconfig=kubeconfig(tmp_path / "k", url, {})) as client,
    ):
        await client.request("GET", "/x")
    assert "Authorization" not in seen.requests[0].headers


@pytest.mark.slow
async def test_a_tls_server_name_replaces_the_hosts_name(tmp_path: Path) -> None:
    authority = Authority()
    pair = authority.server()
    (tmp_path / "server.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem")
    names: list[str | None] = []
    context.sni_callback = lambda _, name, __: names.append(name)

    async def answer(_: web.BaseRequest) -> web.Response:
        return json_answer({})

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        path = kubeconfig(tmp_path / "k", f"https://127.0.0.1:{runner.addresses[0][1]}", {"token": "t"})
        edit_cluster(path, **{"certificate-authority-data": base64.b64encode(authority.certificate).decode()})
        edit_cluster(path, **{"tls-server-name": "localhost"})
        async with KubeClient.connect(kubeconfig=path) as client:
            assert await client.request("GET", "/x") == {}
        edit_cluster(path, **{"tls-server-name": "elsewhere.test"})
        async with KubeClient.connect(kubeconfig=path) as client:
            with pytest.raises(errors.Unreachable, match="certificate"):
                await client.request("GET", "/x")
        edit_cluster(path, **{"insecure-skip-tls-verify": True})
        async with KubeClient.connect(kubeconfig=path) as client:
            assert await client.request("GET", "/x") == {}
    finally:
        await runner.cleanup()
    assert names == ["localhost", "elsewhere.test", "elsewhere.test"]
