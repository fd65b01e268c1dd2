"""What other hands keep from being as asked: contested objects, deletions that hang, a Deployment that is paused.

One look over a plan's steps, the same for all kinds and parts, so that none of the policies has to think of it.
"""

from collections.abc import Iterator
from dataclasses import replace

from gco_stream.model.objects import Kind, ObjectRef, ObservedObject
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.lifecycle.running import Outcome
from gco_stream.planning.policies import contested
from gco_stream.planning.policies import stuck_finalizers as terminating
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.types.context import Situation
from gco_stream.planning.types.plan import Annotate, Part, earliest


def hindered(situation: Situation, outcome: Outcome) -> Outcome:
    """The outcome of an endpoint that stays, without what is of no use now and with what there is to say of it."""
    held = contested.hold_back(outcome.steps, situation.observed.objects, situation.now)
    remade = tuple(_remade(situation))
    slow = terminating.decide(_terminating(situation), remade, situation.now)
    # Where something is in the way of all, no step tells nothing about an object.
    whole = not outcome.errors and situation.endpoint.spec is not None
    over = tuple(_over(situation, outcome)) if whole else ()
    return replace(
        outcome,
        steps=(*held.steps, *slow.steps, *over),
        errors=(*outcome.errors, *held.errors),
        complaints=(*outcome.complaints, *held.complaints, *slow.complaints, *_paused(situation, remade)),
        look_again=earliest(outcome.look_again, held.look_again, slow.look_again),
    )


def hanging(situation: Situation, outcome: Outcome) -> Outcome:
    """The outcome of an endpoint that goes, with what its deletion waits for."""
    found = terminating.decide(_terminating(situation), (), situation.now)
    return replace(
        outcome,
        complaints=(*outcome.complaints, *found.complaints),
        look_again=earliest(outcome.look_again, found.look_again),
    )


def _terminating(situation: Situation) -> Iterator[ObservedObject]:
    if any(obj.deleting for obj in situation.observed.objects.values()):
        yield from (obj for obj in situation.all_ours() if obj.deleting)


def _remade(situation: Situation) -> Iterator[tuple[ObjectRef, Part]]:
    """The Deployments that the item asks for now."""
    endpoint, spec = situation.endpoint, situation.endpoint.spec
    if spec is None or not endpoint.is_wanted_in(situation.policy.region):
        return
    yield ObjectRef(Kind.DEPLOYMENT, situation.namespace, endpoint.name), Part.MAIN
    if spec.canary is not None:
        yield ObjectRef(Kind.DEPLOYMENT, situation.namespace, situation.canary), Part.CANARY


def _over(situation: Situation, outcome: Outcome) -> Iterator[Annotate]:
    for obj in situation.observed.objects.values():
        if contested.is_over(obj, outcome.steps) and not obj.deleting and situation.is_ours(obj):
            yield contested.unmark(obj, _part_of(situation, obj.ref))


def _part_of(situation: Situation, ref: ObjectRef) -> Part:
    if ref.kind is Kind.INGRESS:
        return Part.ROUTE
    return Part.CANARY if ref.name == situation.canary else Part.MAIN


def _paused(situation: Situation, asked: tuple[tuple[ObjectRef, Part], ...]) -> Iterator[Cause]:
    for ref, _ in asked:
        observed = situation.ours(ref.kind, ref.name)
        if observed is not None and observed.spec.get("paused") and not deployments.rolled_out(observed):
            message = f"{ref} is paused (spec.paused): nothing is rolled out until somebody resumes it"
            yield Cause(Reason.DEPLOYMENT_PAUSED, message)
