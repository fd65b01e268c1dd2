"""What would be done, and why, without doing it: the plans of some or all endpoints, from one look."""

from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from gco_stream.cluster.cache import ClusterCache
from gco_stream.cluster.client import KubeClient
from gco_stream.cluster.errors import ClusterError
from gco_stream.cluster.pods import pods_of
from gco_stream.engine.bystander import Bystander
from gco_stream.engine.controller import policy_of
from gco_stream.engine.desired import DesiredState
from gco_stream.engine.guard import doomed
from gco_stream.engine.one_look import look_once
from gco_stream.engine.reconciler import claimed, not_known
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint, Unreadable, read_endpoint
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.explanation import Explanation, explain
from gco_stream.planning.plan import plan
from gco_stream.planning.policy import Fleet, Policy
from gco_stream.planning.steps import Need, Plan
from gco_stream.settings import Settings
from gco_stream.table.clients import table_client
from gco_stream.table.endpoints import EndpointTable

# Of more endpoints than this, only pods that a decision hangs on are listed: each takes a call.
_MOST_PODS = 200


@dataclass(frozen=True, slots=True)
class Preview:
    """The plans made, explained, and what stood in the way of more.

    `items` by name, None where the table has no item of the name; the others are in `explanations` or, with the reason,
    in `unknown`, where what stands of them cannot be read. `unclaimed`: plans of the names of which objects stand
    without an item. `blind`: namespaces that cannot be read, and why. `now`: when it was looked.
    """

    now: datetime
    items: Mapping[str, Endpoint | Unreadable | None]
    blind: Mapping[str, str]
    explanations: dict[str, Explanation] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    unclaimed: dict[str, Plan] = field(default_factory=dict)


async def preview(settings: Settings, wanted: Collection[str] | None) -> Preview:
    """Plans for the named endpoints, or for all. Reads only. Raises TableError, ClusterError."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(KubeClient.connect(timeout=settings.k8s_api_timeout))
        dynamodb = await stack.enter_async_context(
            table_client(settings.home_region, timeout=settings.dynamodb_timeout_seconds, connections=4)
        )
        table = EndpointTable(
            dynamodb, settings.inference_endpoints_table_name, timeout=settings.dynamodb_timeout_seconds
        )
        info = await table.describe()
        every = DesiredState(settings.region) if wanted is None else None
        cache = await look_once(client, settings.namespaces)
        # After the cluster: whatever was made by then has its item here.
        items = await _items(table, wanted, every)
        found = Preview(datetime.now(UTC), items, cache.unsynced)
        policy = policy_of(settings, info.arn)
        look = _Look(
            settings=settings,
            policy=policy,
            client=client,
            table=table,
            cache=cache,
            now=found.now,
            fleet=Bystander(
                settings=settings,
                policy=policy,
                client=client,
                table=table,
                cache=cache,
                now=found.now,
                every=every,
            ),
        )
        for name, item in items.items():
            if item is None:
                continue
            if reason := not_known(item, found.blind, policy):
                found.unknown[name] = reason
            else:
                others = items if wanted is None else await _namesakes(table, name)
                found.explanations[name] = await look.explained(
                    item, claimed(name, others.get), with_pods=len(found.explanations) < _MOST_PODS
                )
        lacking = cache.endpoint_names() - items.keys() if wanted is None else {n for n in items if items[n] is None}
        for name in sorted(lacking & cache.endpoint_names()):
            found.unclaimed[name] = await look.fleet.decide_orphan(name)
        return found


async def _namesakes(table: EndpointTable, name: str) -> dict[str, Endpoint | Unreadable]:
    """The items that might want names of this one's objects."""
    found = {}
    for other in {names.canary_name(name), name.removesuffix(names.CANARY_SUFFIX)} - {name}:
        if (item := await table.get(other)) is not None:
            found[other] = read_endpoint(item)
    return found


async def _items(
    table: EndpointTable, wanted: Collection[str] | None, every: DesiredState | None
) -> dict[str, Endpoint | Unreadable | None]:
    found: dict[str, Endpoint | Unreadable | None] = {}
    if wanted is not None:
        for name in wanted:
            item = await table.get(name)
            found[name] = None if item is None else read_endpoint(item)
        return found
    async for page in table.scan():
        for item in page:
            found[item["endpoint_name"]["S"]] = read_endpoint(item)
            if every is not None:
                every.put(item)
    return found


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one moment. What only some plans need is looked up for those."""

    settings: Settings
    policy: Policy
    client: KubeClient
    table: EndpointTable
    cache: ClusterCache
    now: datetime
    fleet: Bystander

    async def explained(self, item: Endpoint | Unreadable, claimed: frozenset[str], *, with_pods: bool) -> Explanation:
        """The plan with whatever it turns out to need, explained. Raises TableError.

        `with_pods`: pods that are not ready are looked at too, for the reason alone.
        """
        fleet, observed = Fleet(claimed=claimed), self.cache.observed(item.name)
        make = partial(plan, item, observed, now=self.now, policy=self.policy)
        made, warnings = make(fleet), list[Cause]()
        if Need.CENSUS in made.needs:
            fleet = replace(fleet, census=await self.fleet.counted())
        if isinstance(item, Endpoint) and (Need.PODS in made.needs or (with_pods and _lacks_pods(made))):
            namespace, timeout = item.namespace or self.policy.namespace, self.settings.k8s_api_timeout
            try:
                pods = await pods_of(self.client, namespace, item.name, timeout=timeout)
                observed = replace(observed, pods=pods)
            except ClusterError as error:
                warnings.append(Cause(Reason.PODS_UNKNOWN, f"its pods cannot be listed: {error.message}"))
        make = partial(plan, item, observed, now=self.now, policy=self.policy)
        made = make(fleet)
        if doomed(made):
            made, fleet = await self.fleet.decide(item.name, fleet, make)
            warnings += [Cause(Reason.LIMITS_UNKNOWN, self.fleet.doubt)] if self.fleet.doubt else []
        made = replace(made, warnings=(*made.warnings, *warnings))
        return explain(item, observed, fleet, self.now, self.policy, made)


def _lacks_pods(made: Plan) -> bool:
    return made.report is not None and made.report.ready < made.report.desired
