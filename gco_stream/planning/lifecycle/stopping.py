"""An endpoint that shall not run here: stopped, deleted, or no longer meant for this region.

None of it needs a spec that can be read, so that an endpoint with a broken one can always be stopped and deleted.
"""

from gco_stream.model import names
from gco_stream.model.objects import Kind
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.lifecycle.running import Outcome, inputs_of
from gco_stream.planning.policies import canary as canaries
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.resources import manifests
from gco_stream.planning.resources.apply import removal, steps_for
from gco_stream.planning.resources.deployment import Decision, FixedReplicas
from gco_stream.planning.types.context import Situation
from gco_stream.planning.types.plan import HeldBack, LookAgain, Part, Step

MORE_MAY_GO = "one more endpoint may be removed then"


def plan_stopped(situation: Situation) -> Outcome:
    """No pods, no route, no autoscaler; Service and Deployment stay for the next start. Nothing is made."""
    name = situation.endpoint.name
    steps: list[Step] = [
        *removal(situation.ours(Kind.INGRESS, names.ingress_name(name)), "the endpoint is stopped", Part.ROUTE),
        *removal(situation.ours(Kind.HPA, name), "the endpoint is stopped", Part.MAIN),
    ]
    main = _stopped_main(situation)
    canary = _stopped_canary(situation)
    if situation.foreign((Kind.DEPLOYMENT, name)):
        return Outcome(tuple(steps), errors=situation.foreign((Kind.DEPLOYMENT, name)))
    return Outcome(
        (*steps, *_service(situation), *main.steps, *canary.steps),
        notes=(*main.notes, *canary.notes),
        errors=(main.error,) if main.error is not None else (),
        complaints=canary.errors,
    )


def plan_removal(situation: Situation, why: str, *, spends_budget: bool) -> Outcome:
    """Everything of ours goes, in every allowed namespace."""
    steps = tuple(
        step for obj in situation.all_ours() for step in removal(obj, why, Part.MAIN, spends_budget=spends_budget)
    )
    if steps and spends_budget and situation.fleet.deletions_left <= 0:
        return Outcome(
            warnings=(too_many(why),),
            complaints=(too_many(why),),
            held_back=HeldBack.REMOVAL,
            look_again=LookAgain(situation.fleet.deletions_again, MORE_MAY_GO),
        )
    return Outcome(steps)


def too_many(why: str) -> Cause:
    """Why an endpoint is not removed that would be, if the limit on the fleet allowed it."""
    message = (
        f"not removed, although {why}: the limit on removals in one hour is reached; "
        "`gco-stream approve-deletes` lists the pending removals and approves them"
    )
    return Cause(Reason.REMOVAL_LIMIT_REACHED, message)


def _stopped_main(situation: Situation) -> Decision:
    observed = situation.ours(Kind.DEPLOYMENT, situation.endpoint.name)
    if observed is None:
        return Decision()
    spec = situation.endpoint.spec
    if spec is None:
        return deployments.scaled(observed, 0, Part.MAIN, "the endpoint is stopped")
    return deployments.decide(
        inputs_of(situation, spec),
        observed,
        FixedReplicas(0),
        namespace=situation.namespace,
        annotations=situation.annotations,
        part=Part.MAIN,
        renderings=situation.policy.renderings,
    )


def _stopped_canary(situation: Situation) -> canaries.CanaryDecision:
    spec = situation.endpoint.spec
    if spec is None:
        deployment = situation.ours(Kind.DEPLOYMENT, situation.canary)
        if deployment is None or deployment not in situation.all_ours():
            return canaries.CanaryDecision()
        stop = deployments.scaled(deployment, 0, Part.CANARY, "the endpoint is stopped")
        return canaries.CanaryDecision(steps=stop.steps)
    if spec.canary is not None:
        return canaries.wanted(situation, spec.canary, inputs_of(situation, spec), serving=False)
    return canaries.unwanted(situation, None, main_settled=True)


def _service(situation: Situation) -> tuple[Step, ...]:
    name, spec = situation.endpoint.name, situation.endpoint.spec
    observed = situation.ours(Kind.SERVICE, name)
    if observed is None or spec is None:
        return ()
    manifest = manifests.service(situation.namespace, name, spec.port, situation.annotations)
    return steps_for(manifest, observed, Part.MAIN)
