"""Writes to the cluster: each names the object's uid, and none is sent that could be applied after the lease expires.

Every response is stored in the cache immediately. If the server shows that the cache was stale (the object was changed,
deleted or recreated), the cache is refreshed before the error is raised, so that the next plan uses current data.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import Conflict, NotFound, NotLeading, Rejected, UidMismatch
from gco_stream.cluster.api.objects import checked, object_path, ref_of, upgraded_managed_fields
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.model import names
from gco_stream.model.objects import API_VERSIONS, JsonObject, Kind, ObjectRef, ObservedObject

_APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML
_MERGE: Final = "application/merge-patch+json"
_JSON_PATCH: Final = "application/json-patch+json"
# No object ever has this version, so an apply that names it can only create.
_ABSENT_VERSION: Final = "1"


class ObjectWriter:
    """Server-side apply and delete.

    `remaining`: returns the seconds for which this process may still write (the remaining lease time less a margin).
    `timeout`: maximum seconds for one write. All methods raise ClusterError's subclasses: NotLeading if no time
    remains; Conflict, UidMismatch and NotFound if the cache was stale (it is current again by then); Rejected if the
    same manifest will never be accepted.
    """

    def __init__(
        self, client: KubeClient, cache: ClusterCache, remaining: Callable[[], float], *, timeout: float = 30
    ) -> None:
        self._client = client
        self._cache = cache
        self._remaining = remaining
        self._timeout = timeout

    def live_object(self, ref: ObjectRef) -> ObservedObject | None:
        """The cached Deployment or Service; None if it does not exist."""
        return self._cache.observed(ref.name).objects.get(ref)

    async def create(self, manifest: JsonObject) -> ObservedObject:
        """Creates an object. Raises Conflict if it exists; the cache then shows who owns it."""
        return await self._apply(manifest, {"resourceVersion": _ABSENT_VERSION}, names.FIELD_MANAGER)

    async def apply(self, manifest: JsonObject, uid: str) -> ObservedObject:
        """Applies the manifest to the object with this uid; fields that only earlier applies set are removed."""
        return await self._apply(manifest, {"uid": uid}, names.FIELD_MANAGER)

    async def apply_replicas(self, ref: ObjectRef, uid: str, replicas: int) -> ObservedObject:
        """Own a Deployment's replicas as a second field manager, so that the main apply can safely drop the field."""
        manifest = {
            "apiVersion": API_VERSIONS[ref.kind],
            "kind": str(ref.kind),
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "spec": {"replicas": replicas},
        }
        return await self._apply(manifest, {"uid": uid}, names.REPLICAS_FIELD_MANAGER)

    async def scale(self, ref: ObjectRef, uid: str, replicas: int) -> ObservedObject:
        """Set replicas through the scale subresource, so that nothing else of the Deployment becomes ours."""
        patch = {"metadata": {"uid": uid}, "spec": {"replicas": replicas}}
        await self._patch(ref, uid, patch, _MERGE, subresource="/scale")
        # The response is the Scale, not the Deployment.
        scaled = await self._cache.refresh(ref)
        if scaled is None or scaled.uid != uid:
            raise _recreated_error(ref, uid)
        return scaled

    async def annotate(self, ref: ObjectRef, uid: str, annotations: Mapping[str, str | None]) -> ObservedObject:
        """Sets annotations (None: remove) and changes nothing else."""
        patch = {"metadata": {"uid": uid, "annotations": dict(annotations)}}
        return self._cache.put(await self._patch(ref, uid, patch, _MERGE))

    async def replace(self, ref: ObjectRef, uid: str, field: str, value: Any) -> ObservedObject:
        """Replaces a whole field regardless of its owners; `field` is a JSON pointer (/spec/ports)."""
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "replace", "path": field, "value": value},
        ]
        return self._cache.put(await self._patch(ref, uid, patch, _JSON_PATCH))

    async def upgrade_managed_fields(self, observed: ObservedObject) -> ObservedObject:
        """Take over the fields that GCO's manager set, as if we had applied them; values do not change."""
        ref = observed.ref
        allowed = self._allowed(ref)
        try:
            raw = await self._client.request("GET", object_path(ref), timeout=allowed)
        except NotFound:
            self._cache.forget(ref, observed.uid)
            raise
        metadata = checked(raw)["metadata"]
        managed_fields = upgraded_managed_fields(metadata.get("managedFields") or [])
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": observed.uid},
            {"op": "replace", "path": "/metadata/managedFields", "value": managed_fields},
            # The owners are those of this version: any write since then makes it a conflict.
            {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        ]
        return self._cache.put(await self._patch(ref, observed.uid, patch, _JSON_PATCH))

    async def delete(
        self, ref: ObjectRef, uid: str, *, resource_version: str | None = None, background: bool = False
    ) -> None:
        """Deletes the object with this uid; it is not an error if it no longer exists.

        A Deployment remains, terminating, until its pods are gone, unless `background` is set. `resource_version`:
        delete only if the object still has this version.
        """
        preconditions = {"uid": uid, **({"resourceVersion": resource_version} if resource_version else {})}
        foreground = ref.kind is Kind.DEPLOYMENT and not background
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": "Foreground" if foreground else "Background",
        }
        try:
            answer = await self._send("DELETE", ref, uid, {}, options, "application/json")
        except (NotFound, UidMismatch):
            self._cache.forget(ref, uid)
            return
        # The response is the terminating object if finalizers remain; otherwise, a Status or the object's last state.
        if answer.get("kind") != "Status" and checked(answer)["metadata"].get("finalizers"):
            self._cache.put(answer)
        else:
            self._cache.forget(ref, uid)

    async def _apply(self, manifest: JsonObject, identity: Mapping[str, str], manager: str) -> ObservedObject:
        named = {**manifest, "metadata": {**manifest["metadata"], **identity}}
        query = {"fieldManager": manager, "force": "true"}
        answer = await self._send("PATCH", ref_of(manifest), identity.get("uid"), query, named, _APPLY)
        return self._cache.put(answer)

    async def _patch(
        self, ref: ObjectRef, uid: str, patch: Any, content_type: str, *, subresource: str = ""
    ) -> JsonObject:
        query = {"fieldManager": names.FIELD_MANAGER}
        return await self._send("PATCH", ref, uid, query, patch, content_type, subresource)

    async def _send(
        self,
        method: str,
        ref: ObjectRef,
        uid: str | None,
        query: Mapping[str, str],
        body: Any,
        content_type: str,
        subresource: str = "",
    ) -> JsonObject:
        allowed = self._allowed(ref)
        try:
            return await self._client.request(
                method,
                object_path(ref) + subresource,
                query=query,
                body=body,
                content_type=content_type,
                timeout=allowed,
            )
        except (Conflict, UidMismatch, NotFound, Rejected) as error:
            current = await self._cache.refresh(ref)
            # A different uid can cause any of these: 409 for a delete or a scale, a bare 422 for a JSON patch's test.
            if uid is not None and current is not None and current.uid != uid:
                raise _recreated_error(ref, uid) from error
            raise

    def _allowed(self, ref: ObjectRef) -> float:
        if ref.namespace not in self._cache.namespaces:
            raise Rejected(0, "NamespaceNotAllowed", f"{ref}: namespace is not one of {self._cache.namespaces}")
        remaining = self._remaining()
        if remaining <= 0:
            raise NotLeading(0, "NotLeading", "write not sent: this replica no longer holds a valid lease")
        return min(self._timeout, remaining)


def _recreated_error(ref: ObjectRef, uid: str) -> UidMismatch:
    return UidMismatch(422, "Invalid", f"{ref} was deleted and recreated: its uid is no longer {uid}")
