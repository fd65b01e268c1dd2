"""Turns the stream on in a CDK app that makes the table, GCO's own included, and allows what the controller needs.

In the app, before `app.synth()`:

    from stream import StreamsOn, allow_controller
    Aspects.of(app).add(StreamsOn("gco-inference-endpoints"))
"""

import jsii
from aws_cdk import IAspect, aws_dynamodb, aws_iam
from constructs import IConstruct

TABLE_ACTIONS = ("DescribeTable", "Scan", "GetItem", "UpdateItem", "DeleteItem")
STREAM_ACTIONS = ("DescribeStream", "GetShardIterator", "GetRecords")


@jsii.implements(IAspect)
class StreamsOn:
    """Gives the table `name`, wherever the app makes it, a stream. A stream that is there already stays as it is.

    Changing this in place keeps the table and its items: CloudFormation updates it without replacement.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def visit(self, node: IConstruct) -> None:
        """Called by CDK with each construct."""
        if isinstance(node, aws_dynamodb.CfnTable) and node.table_name == self._name:
            if node.stream_specification is None:
                node.stream_specification = aws_dynamodb.CfnTable.StreamSpecificationProperty(
                    stream_view_type="NEW_AND_OLD_IMAGES"
                )
        elif isinstance(node, aws_dynamodb.CfnGlobalTable) and node.table_name == self._name:
            # What a TableV2 has set cannot be read here; with replicas no other view type is allowed.
            node.add_property_override("StreamSpecification.StreamViewType", "NEW_AND_OLD_IMAGES")


def allow_controller(role: aws_iam.IGrantable, table_arn: str) -> None:
    """Grants `role` the controller's actions on the table and on its stream, and nothing else."""
    for actions, resource in ((TABLE_ACTIONS, table_arn), (STREAM_ACTIONS, f"{table_arn}/stream/*")):
        role.grant_principal.add_to_principal_policy(
            aws_iam.PolicyStatement(actions=[f"dynamodb:{action}" for action in actions], resources=[resource])
        )
