"""Tokens and the API server's certificate authority are rotated while the program runs."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gco_stream.local.certificates import Authority
from tests.chaos.api_server.behind_proxy import SETTINGS, ProgramBehindProxy
from tests.chaos.proxies.faulty_http import FaultyProxy
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World

pytestmark = pytest.mark.integration
Start = Callable[..., Program]


def rotated(path: Path, text: str) -> None:
    """Replaces a file atomically, as the kubelet does."""
    new = path.with_name(f"{path.name}-new")
    new.write_text(text)
    new.rename(path)


def test_a_rotated_token_file_is_reloaded_and_a_late_token_is_awaited(
    world: World, program: Start, controller_env: dict[str, str], tmp_path: Path
) -> None:
    user = Path(controller_env["KUBECONFIG"])
    with FaultyProxy.before_kubernetes(user) as proxy:
        token, old = tmp_path / "token", proxy.admit(user)
        token.write_text(old)
        config = proxy.kubeconfig(tmp_path / "kubeconfig-faulty", tokenFile=str(token))
        one = ProgramBehindProxy(world, proxy, program(KUBECONFIG=str(config), **SETTINGS))
        one.until_working()
        one.put("chat")
        one.until_in_desired_state("chat")
        one.record_objects()
        rotated(token, new := proxy.admit(user))
        proxy.revoke(old)
        one.put("second")
        one.until_in_desired_state("chat", "second")
        assert one.world.kube.healthy()
        # The next token is late: for a while all requests are rejected, watches included.
        mark = time.monotonic()
        proxy.revoke(new)
        proxy.drop_connections()
        one.put("third")
        one.until(lambda: not one.ready(), "the program reports that it is unauthorized")
        one.world.update_spec("chat", replicas=2)
        one.until(lambda: len(proxy.seen) and time.monotonic() > mark + 3, "a few seconds have passed")
        refused, took = len([seen for seen in proxy.seen if seen.at > mark]), time.monotonic() - mark
        assert refused < 60 + 15 * took, "watches do not back off"
        rotated(token, proxy.admit(user))
        one.until_in_desired_state("chat", "second", "third")
        one.assert_none_was_replaced()
        one.assert_clean_end()


def test_a_rotated_ca_and_an_exec_plugin_token_are_reloaded(
    world: World, program: Start, controller_env: dict[str, str], tmp_path: Path
) -> None:
    user = Path(controller_env["KUBECONFIG"])
    with FaultyProxy.before_kubernetes(user) as proxy:
        token = tmp_path / "token"
        token.write_text(proxy.admit(user))
        script = 'printf \'{"apiVersion":"%s","kind":"ExecCredential","status":{"token":"%s"}}\' "$0" "$(cat "$1")"'
        version = "client.authentication.k8s.io/v1"
        plugin = {"apiVersion": version, "command": "sh", "args": ["-c", script, version, str(token)]}
        config = proxy.kubeconfig(tmp_path / "kubeconfig-faulty", exec=plugin)
        one = ProgramBehindProxy(world, proxy, program(KUBECONFIG=str(config), **SETTINGS))
        one.until_working()
        one.put("chat")
        one.until_in_desired_state("chat")
        one.record_objects()
        # The server's certificate changes first; the program's kubeconfig gets the new authority later.
        proxy.serve_as(Authority())
        proxy.drop_connections()
        one.until(lambda: not one.ready(), "the program reports that it does not trust the server")
        proxy.kubeconfig(config, exec=plugin)
        old, new = token.read_text(), proxy.admit(user)
        rotated(token, new)
        proxy.revoke(old)
        one.put("second")
        one.until_in_desired_state("chat", "second")
        one.assert_none_was_replaced()
        one.assert_clean_end()
