"""Ownership of live objects. The controller never changes or deletes an object that it does not own."""

from gco_stream.model import names
from gco_stream.model.objects import ObservedObject
from gco_stream.model.reasons import Cause, Reason


def is_owned_by(observed: ObservedObject, *, endpoint: str, app: str, table_arn: str) -> bool:
    """Returns whether the object belongs to this endpoint of this table.

    It does not if an annotation names another endpoint or table. Otherwise, it does if it has all labels of `app`. If a
    label is missing, the object must have the gco.io/endpoint annotation, and our field manager must have an entry in
    managedFields.
    """
    if observed.endpoint not in {None, endpoint}:
        return False
    if observed.annotations.get(names.TABLE_ANNOTATION) not in {None, table_arn}:
        return False
    if all(observed.labels.get(label) == value for label, value in names.labels(app).items()):
        return True
    return observed.endpoint == endpoint and (observed.ownership.applied or observed.ownership.stamped)


def not_owned(observed: ObservedObject, table_arn: str) -> Cause:
    """Returns the cause to report for an object that belongs to another owner."""
    owner = observed.endpoint
    if observed.annotations.get(names.TABLE_ANNOTATION) not in {None, table_arn}:
        message = f"{observed.ref} belongs to another installation (another table); it is left unchanged"
    elif owner:
        message = f"{observed.ref} belongs to the endpoint {owner}; it is left unchanged"
    else:
        message = (
            f"{observed.ref} exists and is not managed by this controller; it is left unchanged: "
            "delete it or rename the endpoint"
        )
    return Cause(Reason.OBJECT_NOT_OWNED, message)
