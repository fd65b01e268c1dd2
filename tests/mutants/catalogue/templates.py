"""I9: no release of the controller restarts pods; versions of the pod template."""

from typing import Final

from tests.mutants.mutant import Mutant

_TESTS = "tests/planning/resources/test_template_version_2.py"

TEMPLATES: Final = (
    Mutant(
        name="the-hash-follows-the-newest-version",
        invariant="I9",
        file="gco_stream/planning/resources/pod_template.py",
        old="spec, served = self.spec, self._served(1)\n",
        new="spec, served = self.spec, self._served(2)\n",
        breaks="an upgrade of the controller restarts pods whose arguments version 2 would change",
        tests=(f"{_TESTS}::test_the_digest_of_an_item_is_the_same_in_every_release",),
    ),
    Mutant(
        name="version-1-gets-the-order-of-version-2",
        invariant="I9",
        file="gco_stream/planning/resources/deployment.py",
        old="    if version >= REFERENCES_FIRST_SINCE:\n",
        new="    if version:\n",
        breaks="an apply that corrects a label restarts pods because of the order of their variables",
        tests=(f"{_TESTS}::test_version_1_keeps_its_order_also_in_an_apply",),
    ),
    Mutant(
        name="the-live-order-hides-a-reference",
        invariant="I9",
        file="gco_stream/planning/resources/deployment.py",
        old="    if version >= REFERENCES_FIRST_SINCE:\n",
        new="    if False:\n",
        breaks="a new variable comes last, although an existing one refers to it",
        tests=(f"{_TESTS}::test_a_variable_that_an_existing_one_refers_to_is_added_before_it",),
    ),
    Mutant(
        name="the-load-balancer-asks-where-nothing-answers",
        invariant="I9",
        file="gco_stream/planning/lifecycle/running.py",
        old="inputs.probe_path(main.version)",
        new="inputs.probe_path(2)",
        breaks="the health check of a Deployment with version 1 changes without a change of its pods",
        tests=(f"{_TESTS}::test_health_checks_ask_where_the_live_template_serves",),
    ),
    Mutant(
        name="a-rejection-is-reported-anew-with-each-attempt",
        invariant="I9",
        file="gco_stream/planning/policies/rollout_conditions.py",
        old='_IN_USE.sub("", _POD_NAME.sub("", message))',
        new="message",
        breaks="each attempt to create a pod writes the item, because the report has the pod's name",
        tests=(
            "tests/planning/policies/test_rollout_conditions.py::test_the_report_does_not_change_with_each_attempt",
        ),
    ),
    Mutant(
        name="a-stale-regional-image-is-replaced-without-a-promotion",
        invariant="I9",
        file="gco_stream/planning/policies/regional_images.py",
        old="return regional if is_promoted else None",
        new="return regional",
        breaks="an upgrade of the controller rolls out another image where region_image_uris is older than the image",
        tests=(
            "tests/planning/policies/test_regional_images.py"
            "::test_an_updated_image_does_not_replace_a_regional_one_without_a_promotion",
        ),
    ),
    Mutant(
        name="a-promotion-is-forgotten",
        invariant="I1",
        file="gco_stream/planning/policies/regional_images.py",
        old="main.annotations.get(names.SUPERSEDED_IMAGE_ANNOTATION) == regional",
        new="False",
        breaks="the main goes back to the old regional image once the canary is removed",
        tests=(
            "tests/planning/policies/test_regional_images.py"
            "::test_a_promoted_image_is_rolled_out_although_the_regional_one_is_stale",
        ),
    ),
)
