"""The environment of a run: its own control plane, a table, two namespaces, and the recorders."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gco_stream.local.audit import AuditLog
from gco_stream.local.cluster_fixtures import create_namespace
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.local.servers import dynamodb
from gco_stream.model import wire
from gco_stream.table.bootstrap import create
from gco_stream.table.sync_table import SyncEndpointTable
from tests.chaos.run import sites
from tests.chaos.run.actors.roster import Roster
from tests.chaos.run.records.cluster_log import ClusterLog
from tests.chaos.run.records.evidence import KINDS, Plain
from tests.chaos.run.records.journal import ActionLog
from tests.chaos.run.records.metronome import Metronome
from tests.chaos.run.records.table_log import TableLog
from tests.chaos.run.sites import Site

NAMESPACES = ("gco-inference", "team-inference")
TABLE = "gco-inference-endpoints"
RESYNC_SECONDS = 10.0

# Intervals are shortened, so that a run of a few minutes contains many of each.
SETTINGS = {
    "LOG_FORMAT": "json",
    "HTTP_HOST": "127.0.0.1",
    "HTTP_PORT": "0",
    "ALLOWED_NAMESPACES": NAMESPACES[1],
    "RESYNC_INTERVAL_SECONDS": f"{RESYNC_SECONDS:g}",
    "RECONCILE_INTERVAL_SECONDS": "5",
    "CANARY_DRAIN_SECONDS": "2",
    "INFERENCE_UNHEALTHY_THRESHOLD_SECONDS": "4",
    "STATUS_INTERVAL_SECONDS": "1",
    "K8S_API_TIMEOUT": "6",
    "DYNAMODB_TIMEOUT_SECONDS": "2",
    "MASS_DELETE_LIMIT": "2000",
}


@dataclass(frozen=True, slots=True)
class Environment:
    """The complete environment, running."""

    plane: ControlPlane
    table: SyncEndpointTable
    client: Any
    roster: Roster
    sites: list[Site]
    cluster_log: ClusterLog
    metronome: Metronome
    table_log: TableLog
    journal: ActionLog
    environment: Mapping[str, str]

    def items(self) -> dict[str, Plain]:
        """Returns the current items of the table."""
        return {item["endpoint_name"]["S"]: wire.decode(item) for item in self.table.scan()}

    def objects(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """Returns the live objects of all kinds that endpoints own."""
        return {
            (kind, namespace, obj["metadata"]["name"]): obj
            for kind in KINDS
            for namespace in NAMESPACES
            for obj in self.plane.kube.list(path_of(kind, namespace))
        }

    def audit_logs(self) -> list[AuditLog]:
        """Returns the audit logs in order; the API server rotates large ones."""
        current = self.plane.audit.path
        older = sorted(current.parent.glob(f"{current.stem}-*{current.suffix}"))
        return [AuditLog(path) for path in (*older, current)]


@contextmanager
def prepared_environment(
    folder: Path, endpoints: int, replicas: int, lease: int, seed: int | None, code: Path | None = None
) -> Iterator[Environment]:
    """Starts everything except the replicas' processes.

    `lease`: the lease duration in seconds. `seed`: the seed of the proxies, None for no proxies. `code`: a folder with
    another version of the program.
    """
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane(folder / "plane"))
        client = dynamodb.client(plane.dynamodb_url)
        stack.callback(client.close)
        made = create(client, TABLE).info
        for namespace in NAMESPACES:
            create_namespace(plane.kube, namespace)
        history = ActionLog(folder / "journal.jsonl")
        stack.callback(history.close)
        streams = dynamodb.client(plane.dynamodb_url, "dynamodbstreams")
        stack.callback(streams.close)
        table_log = stack.enter_context(TableLog(streams, made.stream_arn or ""))
        cluster_log = stack.enter_context(ClusterLog(plane.kubeconfig, frozenset(NAMESPACES)))
        metronome = stack.enter_context(Metronome(plane.kubeconfig))
        environment = {
            "PATH": os.environ["PATH"],
            **plane.environment(namespace=NAMESPACES[0], table=TABLE),
            **SETTINGS,
            "LEASE_DURATION_SECONDS": f"{lease}",
            "LEASE_RENEW_DEADLINE_SECONDS": f"{0.7 * lease:g}",
            "LEASE_RETRY_PERIOD_SECONDS": f"{0.15 * lease:g}",
        }
        built = [
            sites.build(
                plane,
                stack,
                folder,
                f"r{number}",
                environment,
                seed=None if seed is None else seed + 10 * number,
                code=code,
            )
            for number in range(replicas)
        ]
        for site in built:
            stack.callback(site.replica.end)
        yield Environment(
            plane,
            SyncEndpointTable(client, TABLE),
            client,
            Roster(endpoints, NAMESPACES, environment["REGION"]),
            built,
            cluster_log,
            metronome,
            table_log,
            history,
            environment,
        )
