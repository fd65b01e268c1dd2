"""Ownership of live objects. The controller never changes or deletes an object that it does not own."""

from gco_stream.model import names
from gco_stream.model.objects import Kind, ObservedObject
from gco_stream.model.reasons import Cause, Reason

_REQUIRED_MARKS = 2


def is_owned_by(observed: ObservedObject, *, endpoint: str, app: str, table_arn: str) -> bool:
    """Returns whether the object belongs to this endpoint of this table.

    An object does not belong to it if an annotation names another endpoint or table. Otherwise, two of three must hold:
    it has the labels of `app`, it has the endpoint's annotation, and our field manager has an entry in managedFields.
    An object with the labels alone was created by GCO's monitor, or by a tool whose objects are not to be touched.
    """
    if observed.endpoint not in {None, endpoint}:
        return False
    if observed.annotations.get(names.TABLE_ANNOTATION) not in {None, table_arn}:
        return False
    is_labelled = all(observed.labels.get(label) == value for label, value in names.labels(app).items())
    is_managed = observed.ownership.applied or observed.ownership.stamped
    if is_labelled + is_managed + (observed.endpoint == endpoint) >= _REQUIRED_MARKS:
        return True
    return is_labelled and _is_from_gco(observed)


def _is_from_gco(observed: ObservedObject) -> bool:
    """Whether GCO's monitor created the object: by its field manager, and a Deployment also by its container."""
    if observed.ref.kind is not Kind.DEPLOYMENT:
        return observed.ownership.legacy
    containers = observed.spec.get("template", {}).get("spec", {}).get("containers") or ()
    return observed.ownership.legacy and names.CONTAINER in {one.get("name") for one in containers}


def not_owned(observed: ObservedObject, table_arn: str) -> Cause:
    """Returns the cause to report for an object that belongs to another owner."""
    owner = observed.endpoint
    if observed.annotations.get(names.TABLE_ANNOTATION) not in {None, table_arn}:
        message = f"{observed.ref} belongs to another installation (another table); it is left unchanged"
    elif owner:
        message = f"{observed.ref} belongs to the endpoint {owner}; it is left unchanged"
    else:
        message = (
            f"{observed.ref} exists and was not created by this controller; it is left unchanged: rename the endpoint, "
            "or uninstall the other application with the tool that installed it"
        )
    return Cause(Reason.OBJECT_NOT_OWNED, message)
