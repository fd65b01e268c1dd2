"""Certificate rotation while a client runs: the server's CA and the client's own certificate."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.config import load_config
from gco_stream.cluster.api.errors import Unauthorized, Unreachable
from gco_stream.local.certificates import Authority, Pair
from tests.support.fake_api_server import json_answer, status_answer


def pem(folder: Path, name: str, pair: Pair) -> str:
    path = folder / name
    path.write_bytes(pair.certificate + pair.key)
    return str(path)


def write_config(path: Path, url: str, authority: Authority, client: Pair | None = None) -> None:
    def data(raw: bytes) -> str:
        return base64.b64encode(raw).decode()

    user = (
        {"token": "known"}
        if client is None
        else {
            "client-certificate-data": data(client.certificate),
            "client-key-data": data(client.key),
        }
    )
    cluster = {"server": url, "certificate-authority-data": data(authority.certificate)}
    path.write_bytes(
        orjson.dumps(
            {
                "current-context": "it",
                "clusters": [{"name": "it", "cluster": cluster}],
                "users": [{"name": "it", "user": user}],
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            }
        )
    )


@asynccontextmanager
async def serving(context: ssl.SSLContext, answer: Callable[[web.BaseRequest], web.Response]) -> AsyncIterator[str]:
    async def handle(request: web.BaseRequest) -> web.Response:
        return answer(request)

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def closed(_: web.BaseRequest) -> web.Response:
    return web.Response(body=b"{}", headers={"Connection": "close"})


async def test_a_server_certificate_from_a_new_ca_is_trusted_once_the_kubeconfig_has_it(
    tmp_path: Path,
) -> None:
    context, old, new = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Authority(), Authority()
    context.load_cert_chain(pem(tmp_path, "old.pem", old.server()))
    config = tmp_path / "config"
    async with serving(context, closed) as url:
        write_config(config, url, old)
        async with KubeClient.connect(kubeconfig=str(config), renewal_pause=0) as client:
            await client.request("GET", "/x")
            context.load_cert_chain(pem(tmp_path, "new.pem", new.server()))
            with pytest.raises(Unreachable, match="certificate"):
                await client.request("GET", "/x")
            write_config(config, url, new)
            assert await client.request("GET", "/x") == {}


async def test_a_refused_client_certificate_is_reread(tmp_path: Path) -> None:
    authority = Authority()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.certificate.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(pem(tmp_path, "server.pem", authority.server()))

    def answer(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        peer: Any = request.transport.get_extra_info("peercert") or {}
        names = [value for parts in peer.get("subject", ()) for _, value in parts]
        return json_answer({}) if "second" in names else status_answer(401, "Unauthorized")

    config = tmp_path / "config"
    async with serving(context, answer) as url:
        write_config(config, url, authority, authority.client("first"))
        async with KubeClient.connect(kubeconfig=str(config), renewal_pause=0) as client:
            with pytest.raises(Unauthorized):
                await client.request("GET", "/x")
            write_config(config, url, authority, authority.client("second"))
            assert await asyncio.gather(*(client.request("GET", "/x") for _ in range(4))) == [{}] * 4


async def test_unchanged_files_keep_their_connections(tmp_path: Path) -> None:
    authority = Authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem(tmp_path, "server.pem", authority.server()))
    peers, codes = set(), iter([200, 401, 401, 200])

    def answer(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        code = next(codes)
        return json_answer({}) if code == 200 else status_answer(code, "Unauthorized")

    config = tmp_path / "config"
    async with serving(context, answer) as url:
        write_config(config, url, authority)
        async with KubeClient.connect(kubeconfig=str(config), renewal_pause=0) as client:
            await client.request("GET", "/x")
            for _ in range(2):
                with pytest.raises(Unauthorized):
                    await client.request("GET", "/x")
            await client.request("GET", "/x")
    assert len(peers) == 1


async def test_a_pods_ca_is_read_with_its_token(tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    (tmp_path / "token").write_text("t")
    digests = []
    for _ in range(2):
        (tmp_path / "ca.crt").write_bytes(Authority().certificate)
        found = await load_config(environ=environ, service_account=tmp_path)
        assert found.renew_at is not None
        digests.append(found.digest)
    assert digests[0] != digests[1]
