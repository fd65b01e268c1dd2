"""The doctor's look at the cluster: the way there, namespaces, every permission, the IngressClass, and who leads."""

import time
from collections.abc import AsyncIterator
from itertools import groupby
from typing import Final
from urllib.parse import quote

import orjson

from gco_stream.admin.doctor.findings import Finding, failed, passed, warning
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ClusterError, Forbidden, NotFound
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.cluster.permissions import is_granted, required_permissions
from gco_stream.settings import LEASE_NAME, Settings

INGRESS_CLASS: Final = "alb"
# Watch lists and server-side apply as they are used here are as of this release.
_MIN_VERSION: Final = (1, 29)


async def check_cluster(settings: Settings) -> AsyncIterator[Finding]:
    """Findings on the cluster, in the order in which one needs the other."""
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
        yield failed("cluster", error.message, "look at KUBECONFIG, the service account, and the network's policies")


def _version(host: str, version: dict[str, object]) -> Finding:
    message = str(version.get("gitVersion", "of an unknown version"))
    numbers = tuple(int("".join(filter(str.isdigit, str(version.get(part, "0")))) or 0) for part in ("major", "minor"))
    if numbers < _MIN_VERSION:
        minimum = ".".join(map(str, _MIN_VERSION))
        return warning("cluster", f"{host}: {message}", f"upgrade the cluster: releases before {minimum} are not tried")
    return passed("cluster", f"{host}: {message}")


async def _namespace(client: KubeClient, namespace: str) -> Finding:
    path = f"/apis/events.k8s.io/v1/namespaces/{quote(namespace)}/events"
    # Reading a namespace is nothing that the controller is allowed to. A dry run of what it may make tells as well.
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
    subject = f"namespace {namespace}"
    try:
        await client.request("POST", path, query={"dryRun": "All"}, body=orjson.dumps(event))
    except NotFound:
        return failed(subject, "missing", f"kubectl create namespace {namespace}")
    except Forbidden as error:
        return warning(subject, f"not known to exist: {error.message}", f"kubectl create namespace {namespace}")
    return passed(subject, "there")


async def _permissions(client: KubeClient, settings: Settings) -> AsyncIterator[Finding]:
    required = tuple(required_permissions(settings.namespaces, settings.inference_namespace, LEASE_NAME))
    missing = [permission for permission in required if not await is_granted(client, permission)]
    for namespace, of_namespace in groupby(missing, key=lambda permission: permission.namespace):
        message = ", ".join(str(one).removesuffix(f" in {namespace}") for one in of_namespace)
        yield failed(
            f"permissions in {namespace}",
            f"not allowed: {message}",
            f"grant them by a Role and a RoleBinding in {namespace}; the chart makes both",
        )
    if not missing:
        yield passed("permissions", f"all {len(required)} that the controller uses are granted")


async def _ingress_class(client: KubeClient) -> Finding:
    try:
        await client.request("GET", f"/apis/networking.k8s.io/v1/ingressclasses/{INGRESS_CLASS}")
    except NotFound:
        return warning(
            "IngressClass",
            f"there is no {INGRESS_CLASS}: endpoints run, and nobody outside reaches them",
            "install the AWS Load Balancer Controller, which brings it",
        )
    except Forbidden:
        # Cluster-wide, and nothing that the controller reads itself.
        return passed("IngressClass", f"{INGRESS_CLASS} was not looked for: this process may not read IngressClasses")
    return passed("IngressClass", f"{INGRESS_CLASS} is there")


async def _leader(client: KubeClient, settings: Settings) -> Finding:
    path = f"/apis/{lease.API_VERSION}/namespaces/{quote(settings.inference_namespace)}/leases/{LEASE_NAME}"
    try:
        record = lease.parse(await client.request("GET", path))
    except NotFound:
        return passed("leader", "none yet: there is no Lease")
    except Forbidden as error:
        return warning("leader", f"not known: {error.message}", "see the permissions above")
    if not record.holder:
        return passed("leader", "none: the Lease is free")
    age = (time.time_ns() // 1000 - (record.renewed or 0)) / 1e6
    if not lease.is_gco_stream_identity(record.holder):
        return warning(
            "leader",
            f"{record.holder}, which is no gco-stream: it looks like GCO's inference_monitor, renewed {age:.0f} s ago",
            "scale the monitor to 0; this controller takes over when its lease has run out",
        )
    if record.renewed is None or age > (record.duration or settings.lease_duration_seconds):
        return warning(
            "leader",
            f"{record.holder}, but not renewed for {age:.0f} s: nobody leads",
            "start the controller; its log says why it does not lead",
        )
    return passed("leader", f"{record.holder}, renewed {age:.0f} s ago")
