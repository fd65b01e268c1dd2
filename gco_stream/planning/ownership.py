"""Whose an object is. What is not ours is never changed or deleted, whatever the item says."""

from gco_stream.model import names
from gco_stream.model.objects import ObservedObject


def is_ours(observed: ObservedObject, *, endpoint: str, app: str, table_arn: str) -> bool:
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


def why_not_ours(observed: ObservedObject, table_arn: str) -> str:
    """What an author is told whose endpoint needs a name that is taken."""
    owner = observed.endpoint
    if observed.annotations.get(names.TABLE_ANNOTATION) not in {None, table_arn}:
        return f"{observed.ref} belongs to another installation (another table); it is left as it is"
    if owner:
        return f"{observed.ref} belongs to the endpoint {owner}; it is left as it is"
    return f"{observed.ref} exists and is not this controller's; it is left as it is: delete it or rename the endpoint"
