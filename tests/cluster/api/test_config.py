import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.config import ClusterConfig, TokenSource, load_config
from gco_stream.cluster.api.errors import Misconfigured, Unauthorized, Unreachable
from gco_stream.local.certificates import Authority
from tests.support.fake_api_server import json_answer, kubeconfig, listening, status_answer

pytestmark = pytest.mark.slow


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_bytes(Authority().certificate)
    return tmp_path


def token(found: ClusterConfig) -> str:
    return str(found.configuration.api_key["BearerToken"])


def address_and_token(found: ClusterConfig) -> tuple[str, str]:
    return found.configuration.host, token(found)


IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


async def test_a_kubeconfig_takes_precedence_over_the_pods_service_account(pod: Path) -> None:
    path = kubeconfig(pod / "config", "https://elsewhere:1", {"token": "t"})
    found = await load_config(environ={**IN_A_POD, "KUBECONFIG": path}, service_account=pod)
    assert address_and_token(found) == ("https://elsewhere:1", "Bearer t")


async def test_a_pods_service_account_is_used_if_there_is_no_kubeconfig(pod: Path) -> None:
    found = await load_config(environ=IN_A_POD, service_account=pod)
    assert address_and_token(found) == ("https://10.0.0.1:6443", "Bearer first")
    assert found.configuration.ssl_ca_cert == str(pod / "ca.crt")


async def test_an_ipv6_address_is_bracketed(pod: Path) -> None:
    found = await load_config(environ={**IN_A_POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}, service_account=pod)
    assert found.configuration.host == "https://[fd00::1]:6443"


async def test_without_configuration_one_line_names_the_places_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Misconfigured, match=r"KUBECONFIG is not set, .*/\.kube/config does not exist"):
        await load_config(environ={}, service_account=tmp_path)


async def test_the_kubeconfig_in_the_home_directory_is_the_last_resort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config", "http://home:1", {})
    assert (await load_config(environ={}, service_account=tmp_path)).configuration.host == "http://home:1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just words",
        "- a\n- list",
        "a: [",
        "current-context: it",
        json.dumps({"current-context": "it", "contexts": [], "clusters": []}),
        json.dumps(
            {
                "current-context": "it",
                "clusters": [{"name": "it", "cluster": {}}],
                "contexts": [{"name": "it", "context": {"cluster": "it"}}],
            }
        ),
        json.dumps(
            {
                "current-context": "it",
                "clusters": [{"name": "it", "cluster": {"server": "https://x", "certificate-authority": "absent"}}],
                "users": [{"name": "it", "user": {}}],
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            }
        ),
        json.dumps(
            {
                "current-context": "it",
                "clusters": [{"name": "it", "cluster": {"server": "https://x"}}],
                "users": [{"name": "it", "user": {"exec": {"apiVersion": "v1", "command": "no-such-plugin"}}}],
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            }
        ),
    ],
)
async def test_an_invalid_kubeconfig_is_reported_in_one_line_with_its_path(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(Misconfigured) as caught:
        await load_config(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_missing_kubeconfig_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"kubeconfig .*/absent does not exist"):
        await load_config(str(tmp_path / "absent"))


async def test_unreadable_certificates_are_reported_in_one_line(pod: Path) -> None:
    (pod / "ca.crt").write_text("not a certificate")
    with pytest.raises(Misconfigured, match=r"cannot load the certificates for https://10\.0\.0\.1:6443"):
        await load_config(environ=IN_A_POD, service_account=pod)


def plugin(folder: Path, *, expires: datetime | None) -> dict[str, object]:
    """Credential plugin that counts its runs in a file and returns the count in its token."""
    count = folder / "count"
    status = {"expirationTimestamp": expires.isoformat()} if expires else {}
    program = (
        "import json,pathlib,sys;p=pathlib.Path(sys.argv[1]);"
        "n=int(p.read_text() if p.exists() else 0)+1;p.write_text(str(n));"
        "print(json.dumps({'apiVersion':'client.authentication.k8s.io/v1','kind':'ExecCredential',"
        "'status':{'token':f'token-{n}',**json.loads(sys.argv[2])}}))"
    )
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", program, str(count), json.dumps(status)],
    }


async def test_a_plugins_token_is_renewed_when_it_is_about_to_expire(tmp_path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=60)
    path = kubeconfig(tmp_path / "config", "http://x:1", {"exec": plugin(tmp_path, expires=soon)})
    access = await load_config(path)
    credentials = TokenSource(access, lambda: load_config(path), 0)
    assert token(access) == "Bearer token-1"
    assert token(await credentials.current()) == "Bearer token-2"


async def test_a_plugins_token_is_kept_while_it_is_valid(tmp_path: Path) -> None:
    late = datetime.now(UTC) + timedelta(hours=1)
    path = kubeconfig(tmp_path / "config", "http://x:1", {"exec": plugin(tmp_path, expires=late)})
    credentials = TokenSource(await load_config(path), lambda: load_config(path), 0)
    assert token(await credentials.current()) == "Bearer token-1"


async def test_a_pods_token_is_reread_every_minute(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = TokenSource(
        await load_config(environ=IN_A_POD, service_account=pod),
        lambda: load_config(environ=IN_A_POD, service_account=pod),
        0,
    )
    (pod / "token").write_text("second")
    assert token(await credentials.current()) == "Bearer first"
    monkeypatch.setattr("time.time", lambda: datetime.now(UTC).timestamp() + 61)
    assert token(await credentials.current()) == "Bearer second"
    (pod / "token").unlink()
    monkeypatch.setattr("time.time", lambda: datetime.now(UTC).timestamp() + 122)
    assert token(await credentials.current()) == "Bearer second"


async def test_a_refused_token_is_renewed_and_the_request_is_retried_once(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        good = request.headers.get("Authorization") == "Bearer token-2"
        return json_answer({"you": "are in"}) if good else status_answer(401, "Unauthorized")

    async with listening(answer) as (url, seen):
        path = kubeconfig(tmp_path / "config", url, {"exec": plugin(tmp_path, expires=None)})
        async with KubeClient.connect(kubeconfig=path, renewal_pause=0) as client:
            assert await client.request("GET", "/x") == {"you": "are in"}
            assert await client.request("GET", "/x") == {"you": "are in"}
    assert len(seen.requests) == 3


async def test_concurrent_refusals_renew_the_token_once(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        good = request.headers.get("Authorization") == "Bearer token-2"
        return json_answer({}) if good else status_answer(401, "Unauthorized")

    async with listening(answer) as (url, _):
        path = kubeconfig(tmp_path / "config", url, {"exec": plugin(tmp_path, expires=None)})
        async with KubeClient.connect(kubeconfig=path, renewal_pause=0) as client:
            await asyncio.gather(*(client.request("GET", "/x") for _ in range(8)))
    assert (tmp_path / "count").read_text() == "2"


async def test_a_token_that_stays_refused_is_not_looked_up_on_every_request(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return status_answer(401, "Unauthorized")

    async with listening(answer) as (url, _):
        path = kubeconfig(tmp_path / "config", url, {"exec": plugin(tmp_path, expires=None)})
        async with KubeClient.connect(kubeconfig=path, renewal_pause=60) as client:
            for _ in range(3):
                with pytest.raises(Unauthorized):
                    await client.request("GET", "/x")
    assert int((tmp_path / "count").read_text()) == 1


async def test_credentials_that_take_longer_than_one_call_are_renewed_eventually(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        first = request.headers.get("Authorization") in {"Bearer token-1", None}
        return status_answer(401, "Unauthorized") if first else json_answer({"you": "are in"})

    async with listening(answer) as (url, _):
        spec = plugin(tmp_path, expires=None)
        slow = tmp_path / "slow"
        pause = f"import os,time;time.sleep(1 if os.path.exists({str(slow)!r}) else 0);"
        spec["args"][1] = pause + spec["args"][1]
        path = kubeconfig(tmp_path / "config", url, {"exec": spec})
        async with KubeClient.connect(kubeconfig=path, renewal_pause=0) as client:
            slow.touch()
            cut = 0
            async with asyncio.timeout(100):
                while True:
                    try:
                        assert await client.request("GET", "/x", timeout=0.2) == {"you": "are in"}
                        break
                    except Unreachable:
                        cut += 1
            assert cut
