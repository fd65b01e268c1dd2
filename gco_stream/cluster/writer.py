"""Writer of endpoints' objects, which sends no write that could be applied after the lease expires.

Each write to an existing object names its uid. Every response is stored in the cache immediately. If an error may mean
that the cache was stale (the object was changed, deleted or recreated), the object is read again before the error is
raised, so that the next plan uses current data.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import Conflict, NotFound, NotLeading, Rejected, UidMismatch
from gco_stream.cluster.api.objects import checked, object_path, upgraded_managed_fields
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.model import names
from gco_stream.model.kinds import RESOURCES
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject, ref_of

_APPLY: Final = "application/apply-patch+yaml"  # JSON is a subset of YAML
_MERGE: Final = "application/merge-patch+json"
_JSON_PATCH: Final = "application/json-patch+json"
# No object ever has this resourceVersion, so an apply with it can only create an object.
_ABSENT_VERSION: Final = "1"


class ObjectWriter:
    """Writer that applies, patches and deletes objects.

    `remaining` returns the seconds for which this process may still write (the remaining lease time less a margin).
    `timeout`: maximum seconds for one write. Writes raise subclasses of ClusterError: NotLeading if no time remains;
    Conflict, UidMismatch or NotFound if the cache was stale (it has been refreshed by then); Rejected if the request
    will never be accepted.
    """

    def __init__(
        self, client: KubeClient, cache: ClusterCache, remaining: Callable[[], float], *, timeout: float = 30
    ) -> None:
        self._client = client
        self._cache = cache
        self._remaining = remaining
        self._timeout = timeout

    def live_object(self, ref: ObjectRef) -> ObservedObject | None:
        """Returns the cached Deployment or Service, or None if it does not exist."""
        return self._cache.observed(ref.name).objects.get(ref)

    async def create(self, manifest: JsonObject) -> ObservedObject:
        """Creates an object. Raises Conflict if it already exists; the cache then contains the existing object."""
        return await self._apply(manifest, {"resourceVersion": _ABSENT_VERSION}, names.FIELD_MANAGER)

    async def apply(self, manifest: JsonObject, uid: str) -> ObservedObject:
        """Applies the manifest to the object with this uid.

        Fields that only our earlier applies own and that the manifest omits are removed.
        """
        return await self._apply(manifest, {"uid": uid}, names.FIELD_MANAGER)

    async def apply_replicas(self, ref: ObjectRef, uid: str, replicas: int) -> ObservedObject:
        """Applies a Deployment's replicas as a second field manager.

        The main field manager can then stop applying the field without removing it.
        """
        manifest = {
            "apiVersion": RESOURCES[ref.kind].api_version,
            "kind": str(ref.kind),
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "spec": {"replicas": replicas},
        }
        return await self._apply(manifest, {"uid": uid}, names.REPLICAS_FIELD_MANAGER)

    async def scale(self, ref: ObjectRef, uid: str, replicas: int) -> ObservedObject:
        """Sets the replicas through the scale subresource, so that we own no other field of the Deployment."""
        patch = {"metadata": {"uid": uid}, "spec": {"replicas": replicas}}
        await self._patch(ref, uid, patch, _MERGE, subresource="/scale")
        # The response is the Scale, not the Deployment.
        scaled = await self._cache.refresh(ref)
        if scaled is None or scaled.uid != uid:
            raise _recreated_error(ref, uid)
        return scaled

    async def annotate(self, ref: ObjectRef, uid: str, annotations: Mapping[str, str | None]) -> ObservedObject:
        """Sets annotations (a None value removes one) and changes nothing else."""
        patch = {"metadata": {"uid": uid, "annotations": dict(annotations)}}
        return self._cache.put(await self._patch(ref, uid, patch, _MERGE))

    async def replace(self, ref: ObjectRef, uid: str, field: str, value: Any) -> ObservedObject:
        """Replaces a whole field regardless of its owners. `field` is a JSON pointer, for example /spec/ports."""
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "replace", "path": field, "value": value},
        ]
        return self._cache.put(await self._patch(ref, uid, patch, _JSON_PATCH))

    async def upgrade_managed_fields(self, observed: ObservedObject) -> ObservedObject:
        """Transfers the ownership of fields from GCO's field manager to ours, without changing their values."""
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
            # The managedFields were computed from this version, so any later write must cause a conflict.
            {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        ]
        return self._cache.put(await self._patch(ref, observed.uid, patch, _JSON_PATCH))

    async def delete(
        self, ref: ObjectRef, uid: str, *, resource_version: str | None = None, background: bool = False
    ) -> None:
        """Deletes the object with this uid; it is not an error if it no longer exists.

        A Deployment remains in the terminating state until its pods are gone, unless `background` is set. If
        `resource_version` is given, the object is deleted only if it still has this version.
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
        # The response is the terminating object if finalizers remain, otherwise a Status or the object's last state.
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
            # A different uid can cause any of these errors: a delete or scale fails with 409, and the test operation of
            # a JSON patch with a 422 that has no details.
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
