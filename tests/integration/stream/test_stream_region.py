"""STREAM_REGION: the stream is read in the replica's region; all other calls go to the home region."""

from pathlib import Path

import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.table import bootstrap
from tests.chaos.proxies.faulty_http import Fault, FaultyProxy, Request, Rewrite
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.items import item

pytestmark = pytest.mark.integration
ELSEWHERE = "eu-west-1"


def test_a_replicas_stream_is_found_by_its_own_region(
    control_plane: ControlPlane, controller_env: dict[str, str], world: World, tmp_path: Path
) -> None:
    arn = bootstrap.describe(world.table.client, world.table.name).stream_arn or ""

    def at_home(request: Request) -> bool:
        target = request.headers.get("X-Amz-Target", "")
        return target.endswith("DescribeTable") and f"/{ELSEWHERE}/" not in request.headers.get("Authorization", "")

    with FaultyProxy(control_plane.dynamodb_url) as proxy:
        # One server plays both regions, so the proxy changes the home region's stream ARN.
        proxy.inject(
            Fault("home", at_home, Rewrite(lambda body: body.replace(arn.encode(), arn[:-3].encode() + b"000")))
        )
        addresses = dict.fromkeys(("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"), proxy.url)
        program = Program(controller_env | addresses | {"STREAM_REGION": ELSEWHERE}, tmp_path / "log").start()
        try:
            program.wait_working()
            program.until(lambda: program.status()["stream"]["mode"] == "stream", "the stream is read")
            assert program.status()["stream"]["arn"] == arn
            assert proxy.injected["home"] > 0
            world.put(item("chat"))
            program.until(lambda: world.state("chat"), "the status is written to the home region")
        finally:
            program.kill()
