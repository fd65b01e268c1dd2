"""Checks of the cluster: connection, namespaces, permissions, IngressClass and leader."""

import time
from collections.abc import AsyncIterator
from itertools import groupby
from typing import Final
from urllib.parse import quote

from gco_stream.admin.doctor.findings import Finding, fail, ok, warn
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ClusterError, Forbidden, NotFound
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.cluster.permissions import is_granted, required_permissions
from gco_stream.settings import LEASE_NAME, Settings

INGRESS_CLASS: Final = "alb"
# The oldest Kubernetes release that the controller supports.
_MIN_VERSION: Final = (1, 29)


async def check_cluster(settings: Settings) -> AsyncIterator[Finding]:
    """Yields the findings about the cluster. Each check follows the checks that it depends on."""
    try:
        async with KubeClient.connect(timeout=settings.k8s_api_timeout) as client:
            version = await client.request("GET", "/version")
            yield _version(client.host, version)
            for namespace in settings.namespaces:
                yield await _namespace(client, namespace)
            async for finding in _permissions(client, settings):
                yield finding
            yield await _ingress_class(client)
            yield await _leader(client, settings)
    except ClusterError as error:
        yield fail("cluster", error.message, "check KUBECONFIG, the service account and the network policies")


def _version(host: str, version: dict[str, object]) -> Finding:
    release = str(version.get("gitVersion", "unknown version"))
    numbers = tuple(int("".join(filter(str.isdigit, str(version.get(part, "0")))) or 0) for part in ("major", "minor"))
    if numbers < _MIN_VERSION:
        minimum = ".".join(map(str, _MIN_VERSION))
        return warn("cluster", f"{host}: {release}", f"upgrade the cluster: releases before {minimum} are not tested")
    return ok("cluster", f"{host}: {release}")


async def _namespace(client: KubeClient, namespace: str) -> Finding:
    path = f"/apis/events.k8s.io/v1/namespaces/{quote(namespace)}/events"
    # The controller has no permission to read Namespaces. The dry run of an Event shows whether the namespace exists.
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": "doctor-", "namespace": namespace},
        "eventTime": lease.micro_time(time.time_ns() // 1000),
        "type": "Normal",
        "reason": "Examined",
        "action": "Examine",
        "regarding": {"apiVersion": "v1", "kind": "Namespace", "name": namespace, "namespace": namespace},
        "reportingController": "gco-stream",
        "reportingInstance": "doctor",
    }
    check = f"namespace {namespace}"
    try:
        await client.request("POST", path, query={"dryRun": "All"}, body=event)
    except NotFound:
        return fail(check, "does not exist", f"kubectl create namespace {namespace}")
    except Forbidden as error:
        return warn(check, f"cannot be checked: {error.message}", f"kubectl create namespace {namespace}")
    return ok(check, "exists")


async def _permissions(client: KubeClient, settings: Settings) -> AsyncIterator[Finding]:
    required = tuple(required_permissions(settings.namespaces, settings.inference_namespace, LEASE_NAME))
    missing = [permission for permission in required if not await is_granted(client, permission)]
    for namespace, of_namespace in groupby(missing, key=lambda permission: permission.namespace):
        denied = ", ".join(str(one).removesuffix(f" in {namespace}") for one in of_namespace)
        yield fail(
            f"permissions in {namespace}",
            f"not allowed: {denied}",
            f"grant them with a Role and a RoleBinding in {namespace}; the Helm chart creates both",
        )
    if not missing:
        yield ok("permissions", f"all {len(required)} required permissions are granted")


async def _ingress_class(client: KubeClient) -> Finding:
    try:
        await client.request("GET", f"/apis/networking.k8s.io/v1/ingressclasses/{INGRESS_CLASS}")
    except NotFound:
        return warn(
            "IngressClass",
            f"{INGRESS_CLASS} does not exist: endpoints run but are not reachable from outside the cluster",
            "install the AWS Load Balancer Controller, which creates it",
        )
    except Forbidden:
        # Not a problem: the controller does not read IngressClasses and needs no permission for them.
        return ok("IngressClass", f"{INGRESS_CLASS} was not checked: this process may not read IngressClasses")
    return ok("IngressClass", f"{INGRESS_CLASS} exists")


async def _leader(client: KubeClient, settings: Settings) -> Finding:
    path = lease.LeaseRef(settings.inference_namespace, LEASE_NAME).path
    try:
        record = lease.parse(await client.request("GET", path))
    except NotFound:
        return ok("leader", "none yet: the Lease does not exist")
    except Forbidden as error:
        return warn("leader", f"unknown: {error.message}", "grant the missing permissions listed above")
    if not record.holder:
        return ok("leader", "none: the Lease is not held")
    age = (time.time_ns() // 1000 - (record.renewed or 0)) / 1e6
    if not lease.is_gco_stream_identity(record.holder):
        return warn(
            "leader",
            f"{record.holder}, which is not gco-stream but probably GCO's inference_monitor; renewed {age:.0f} s ago",
            "scale the monitor to 0; this controller takes over when the monitor's lease expires",
        )
    if record.renewed is None or age > (record.duration or settings.lease_duration_seconds):
        return warn(
            "leader",
            f"none: the lease of {record.holder} has expired; last renewed {age:.0f} s ago",
            "start the controller; if it runs, check in its log why it does not become leader",
        )
    return ok("leader", f"{record.holder}, renewed {age:.0f} s ago")
