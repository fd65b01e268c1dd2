"""Simulated API server with server-side apply, per-field ownership and changes by other field managers.

It is more exact than SimulatedCluster, as the state machine requires: dropped fields are removed only if no other
manager owns them, a change by another manager takes over the field, an apply to a terminating object is accepted
without effect, and uids are preconditions.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject, Ownership, ref_of
from gco_stream.planning.types.steps import (
    Annotate,
    Apply,
    Create,
    Delete,
    Replace,
    Scale,
    Step,
    TransferReplicas,
    UpgradeManagedFields,
)
from tests.support.observed_objects import MERGE_KEYS, ONE_WHOLE
from tests.support.simulated_cluster import START

Manager = tuple[str, str]
"""A field manager and how it writes: Apply, Update, or Scale (an update of the subresource)."""

Path = tuple[str, ...]
OURS: Manager = ("gco-stream", "Apply")
OUR_UPDATES: Manager = ("gco-stream", "Update")
OUR_SCALE: Manager = ("gco-stream", "Scale")
FOR_HPA: Manager = ("gco-stream-replicas", "Apply")
LEGACY: Manager = ("OpenAPI-Generator", "Update")
KUBECTL: Manager = ("kubectl-edit", "Update")
HPA: Manager = ("kube-controller-manager", "Scale")


class RequestRefused(Exception):
    """409, 404 or 422: the live object is not the one that the step expects."""


@dataclass(slots=True)
class Stored:
    """One object. `body` has labels, annotations and spec; `owners` maps each manager to its leaves."""

    ref: ObjectRef
    uid: str
    created: str
    body: JsonObject = field(default_factory=dict)
    owners: dict[Manager, set[Path]] = field(default_factory=dict)
    status: JsonObject = field(default_factory=dict)
    generation: int = 0
    version: int = 0
    deleting_since: str = ""
    running: bytes = b""
    seen: ObservedObject | None = None

    @property
    def template(self) -> bytes:
        """The serialized pod template; different bytes mean a new ReplicaSet."""
        return orjson.dumps(self.body["spec"].get("template"), option=orjson.OPT_SORT_KEYS)


class ApiServer:
    """Objects by reference. `wrote` is called on each change. `slow_ingresses`: only `collect` removes Ingresses."""

    def __init__(self, wrote: Callable[[Stored], None]) -> None:
        self.stored: dict[ObjectRef, Stored] = {}
        self.now = START
        self.slow_ingresses = False
        self._wrote = wrote
        self._serial = 0

    def seen(self, ref: ObjectRef) -> ObservedObject | None:
        """The object as cluster/ provides it; None if it does not exist."""
        stored = self.stored.get(ref)
        return None if stored is None else self._seen(stored)

    def observed_in(self, ref: ObjectRef, annotation: str) -> str | None:
        """An annotation of an existing object."""
        value: str | None = self.stored[ref].body["metadata"].get("annotations", {}).get(annotation)
        return value

    def execute(self, step: Step) -> None:
        """Executes one step. Raises RequestRefused."""
        if isinstance(step, Create):
            if step.ref in self.stored:
                raise RequestRefused(step)
            self.create(OURS, step.manifest)
            return
        stored = self.stored.get(step.ref)
        uid = step.observed.uid if isinstance(step, UpgradeManagedFields) else step.uid
        if stored is None or stored.uid != uid:
            raise RequestRefused(step)
        match step:
            case Apply():
                self._apply(stored, OURS, body_of(step.manifest))
            case TransferReplicas():
                self._apply(stored, FOR_HPA, {"spec": {"replicas": step.replicas}})
            case Scale():
                self.edit(step.ref, OUR_SCALE, ("f:spec", "f:replicas"), step.replicas)
            case Annotate():
                for name, value in step.annotations.items():
                    self.edit(step.ref, OUR_UPDATES, ("f:metadata", "f:annotations", f"f:{name}"), value)
            case Replace():
                self.edit(step.ref, OUR_UPDATES, ("f:spec", f"f:{step.field.rpartition('/')[2]}"), step.value)
            case UpgradeManagedFields():
                taken = stored.owners.pop(LEGACY, set()) | stored.owners.pop(OUR_UPDATES, set())
                stored.owners.setdefault(OURS, set()).update(taken)
                self._written(stored, stored.generation)
            case Delete():
                self.delete(step.ref)

    def create(self, manager: Manager, manifest: Mapping[str, Any]) -> Stored:
        """Creates an object."""
        self._serial += 1
        ref = ref_of(manifest)
        stored = Stored(ref, f"uid-{self._serial}", self.now.isoformat())
        self.stored[ref] = stored
        self._apply(stored, manager, body_of(manifest))
        return stored

    def delete(self, ref: ObjectRef) -> None:
        """Deletes an object. Deployments wait for their pods, and slow Ingresses for their controller."""
        stored = self.stored[ref]
        if ref.kind is Kind.DEPLOYMENT or (ref.kind is Kind.INGRESS and self.slow_ingresses):
            stored.deleting_since = stored.deleting_since or self.now.isoformat()
            self._written(stored, stored.generation)
        else:
            self.remove(ref)

    def remove(self, ref: ObjectRef) -> None:
        """Removes an object immediately."""
        self._wrote(self.stored.pop(ref))

    def edit(self, ref: ObjectRef, manager: Manager, path: Path, value: Any) -> None:
        """Sets a value (None removes it) as another manager, which then owns it."""
        stored = self.stored[ref]
        if not _is_there(stored.body, path):
            return
        before, spec = dict(leaves(stored.body)), orjson.dumps(stored.body["spec"])
        parent = stored.body
        for step in path[:-1]:
            inner = _inside(parent, step)
            if inner is None:
                inner = parent[step[2:]] = {}
            parent = inner
        parent.pop(path[-1][2:], None)
        if value is not None:
            parent[path[-1][2:]] = value
        _default(stored)
        after = dict(leaves(stored.body))
        for owned in stored.owners.values():
            owned.difference_update([one for one in owned if before.get(one) != after.get(one)])
        mine = {one for one, there in after.items() if before.get(one) != there}
        stored.owners.setdefault(manager, set()).update(mine)
        self._written(stored, stored.generation + (orjson.dumps(stored.body["spec"]) != spec))

    def set_status(self, ref: ObjectRef, status: JsonObject) -> None:
        """Sets the status, as the Deployment controller does."""
        stored = self.stored[ref]
        if stored.status != status:
            stored.status = status
            self._written(stored, stored.generation)

    def _apply(self, stored: Stored, manager: Manager, body: JsonObject) -> None:
        old = dict(leaves(stored.body))
        spec = orjson.dumps(stored.body.get("spec"), option=orjson.OPT_SORT_KEYS)
        new = dict(leaves(body))
        mine = stored.owners.get(manager, set())
        others = set().union(*(owned for other, owned in stored.owners.items() if other != manager))
        _remove(stored.body, mine - new.keys() - others)
        for other, owned in stored.owners.items():
            if other != manager:
                owned.difference_update([path for path in owned & new.keys() if old.get(path) != new[path]])
        stored.body = _merged(stored.body, body)
        stored.owners[manager] = set(new)
        _default(stored)
        changed = spec != orjson.dumps(stored.body.get("spec"), option=orjson.OPT_SORT_KEYS)
        self._written(stored, stored.generation + changed)

    def _written(self, stored: Stored, generation: int) -> None:
        self._serial += 1
        stored.version, stored.generation, stored.seen = self._serial, generation, None
        stored.owners = {manager: owned for manager, owned in stored.owners.items() if owned}
        self._wrote(stored)

    def _seen(self, stored: Stored) -> ObservedObject:
        if stored.seen is None:
            body = _copied(stored.body)
            stored.seen = ObservedObject(
                ref=stored.ref,
                uid=stored.uid,
                resource_version=str(stored.version),
                generation=stored.generation,
                deleting=bool(stored.deleting_since),
                labels=body["metadata"].get("labels", {}),
                annotations=body["metadata"].get("annotations", {}),
                spec=body["spec"],
                status=dict(stored.status),
                ownership=Ownership(
                    applied=OURS in stored.owners,
                    stamped=OUR_UPDATES in stored.owners,
                    legacy=LEGACY in stored.owners,
                    replicas=FOR_HPA in stored.owners,
                    fields=_fields_v1(stored.owners.get(OURS, set())),
                ),
                created=stored.created if stored.ref.kind is Kind.INGRESS else "",
                deleting_since=stored.deleting_since,
            )
        return stored.seen


def body_of(manifest: Mapping[str, Any]) -> JsonObject:
    """A copy of the part of a manifest that has field owners."""
    metadata = {name: manifest["metadata"].get(name, {}) for name in ("labels", "annotations")}
    return _copied({"metadata": metadata, "spec": manifest["spec"]})


def leaves(value: Any, path: Path = (), name: str = "") -> Iterator[tuple[Path, Any]]:
    """Every leaf, named as in fieldsV1, with its value."""
    if isinstance(value, dict) and value and name not in ONE_WHOLE:
        for key, inner in value.items():
            yield from leaves(inner, (*path, f"f:{key}"), key)
    elif isinstance(value, list) and value and name in MERGE_KEYS:
        for item in value:
            yield from leaves(item, (*path, _key(item, name)))
    else:
        yield path, value


def _key(item: JsonObject, name: str) -> str:
    return "k:" + orjson.dumps({key: item[key] for key in MERGE_KEYS[name] if key in item}).decode()


def _inside(value: Any, step: str) -> Any:
    if step.startswith("f:"):
        return value.get(step[2:]) if isinstance(value, dict) else None
    wanted = orjson.loads(step[2:])
    return next((item for item in value if wanted.items() <= item.items()), None)


def _remove(body: JsonObject, paths: set[Path]) -> None:
    """Removes leaves and the maps and items that are then empty."""
    # Resolved before anything is removed, because items are found by fields that may be removed too.
    chains = [[body, *_along(body, path)] for path in paths]
    for chain, path in zip(chains, paths, strict=True):
        if len(chain) <= len(path):
            continue
        for parent, inner, step in zip(reversed(chain[:-1]), reversed(chain[1:]), reversed(path), strict=True):
            if inner is not chain[-1] and inner:
                break
            if isinstance(parent, list):
                parent[:] = [item for item in parent if item is not inner]
            else:
                parent.pop(step[2:], None)


def _is_there(body: JsonObject, path: Path) -> bool:
    """Whether all list items on the path exist. Missing maps are created."""
    items = max((position for position, step in enumerate(path) if step.startswith("k:")), default=-1)
    return len([*_along(body, path[: items + 1])]) == items + 1


def _along(value: Any, path: Path) -> Iterator[Any]:
    for step in path:
        value = _inside(value, step)
        if value is None:
            return
        yield value


def _merged(there: Any, applied: Any, name: str = "") -> Any:
    if isinstance(there, dict) and isinstance(applied, dict) and name not in ONE_WHOLE:
        return there | {key: _merged(there.get(key), inner, key) for key, inner in applied.items()}
    if isinstance(there, list) and isinstance(applied, list) and name in MERGE_KEYS:
        standing = {_key(item, name): item for item in there}
        items = [_merged(standing.pop(_key(item, name), None), item) for item in applied]
        return items + list(standing.values())
    return applied


def _default(stored: Stored) -> None:
    if stored.ref.kind is Kind.DEPLOYMENT:
        stored.body["spec"].setdefault("replicas", 1)


def _fields_v1(owned: set[Path]) -> JsonObject:
    fields: JsonObject = {}
    for path in owned:
        inner = fields
        for step in path:
            inner = inner.setdefault(step, {".": {}} if step.startswith("k:") else {})
    return fields


def _copied(value: JsonObject) -> JsonObject:
    copied: JsonObject = orjson.loads(orjson.dumps(value))
    return copied
