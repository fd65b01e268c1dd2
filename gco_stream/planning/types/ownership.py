"""Whose an object is. What is not ours is never changed or deleted, whatever the item says."""

from gco_stream.model import names
from gco_stream.model.objects import ObservedObject
from gco_stream.model.reasons import Cause, Reason


def is_owned_by(observed: ObservedObject, *, endpoint: str, app: str, table_arn: str) -> bool:
    """Whether the object is this endpoint's, of this table.

    Annotations of ours that name another endpoint or another table make it somebody else's. Without contradiction it
    is ours by GCO's labels, or, where somebody edited a label away, by our entry in managedFields and the endpoint's
    annotation together.
    """
    if observed.endpoint not in {None, endpoint}:
        return False
    if observed.annotations.get(names.TABLE_ANNOTATION) not in {None, table_arn}:
        return False
    if all(observed.labels.get(label) == value for label, value in names.labels(app).items()):
        return True
    return observed.endpoint == endpoint and (observed.ownership.applied or observed.ownership.stamped)


def not_owned(observed: ObservedObject, table_arn: str) -> Cause:
    """Why an endpoint cannot have an object of a name that is taken."""
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
