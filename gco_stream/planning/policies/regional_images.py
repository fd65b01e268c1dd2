"""The image of the main Deployment in this region, after a promotion that left an old image in region_image_uris.

GCO's `promote` sets spec.image to the canary's image and removes the canary, but leaves region_image_uris as it is. The
promoted image then supersedes the regional one. The main Deployment's annotation records which regional image that is,
so the promoted image stays until region_image_uris changes. In every other case, the regional image is used, as in GCO.
"""

from gco_stream.model import names
from gco_stream.model.image_reference import ImageReference
from gco_stream.model.item.spec import EndpointSpec
from gco_stream.model.objects import Kind
from gco_stream.planning.resources.deployment import image_of
from gco_stream.planning.types.context import ReconcileContext


def main_image(context: ReconcileContext, spec: EndpointSpec) -> str:
    """Returns the image that the main Deployment should run in this region."""
    return spec.image if _superseded(context, spec) else spec.image_in(context.policy.region)


def annotations(context: ReconcileContext, spec: EndpointSpec) -> dict[str, str]:
    """Returns the annotation of the main Deployment that records the superseded regional image, if there is one."""
    superseded = _superseded(context, spec)
    return {names.SUPERSEDED_IMAGE_ANNOTATION: superseded} if superseded else {}


def _superseded(context: ReconcileContext, spec: EndpointSpec) -> str | None:
    regional = spec.region_image_uris.get(context.policy.region)
    if regional is None or not _is_stale(regional, spec.image):
        return None
    main = context.owned(Kind.DEPLOYMENT, context.endpoint.name)
    if main is not None and main.annotations.get(names.SUPERSEDED_IMAGE_ANNOTATION) == regional:
        return regional
    canary = None if context.endpoint.has_canary else context.owned(Kind.DEPLOYMENT, context.canary)
    is_promoted = canary is not None and image_of(canary) == spec.image
    return regional if is_promoted else None


def _is_stale(regional: str, image: str) -> bool:
    one, other = ImageReference.parse(regional), ImageReference.parse(image)
    return one.has_repository_of(other) and one.is_other_version_of(other)
