"""Enables the stream in a CDK app that creates the table, such as GCO's, and grants the controller's permissions.

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
    """Adds a stream to the table `name`, in any stack of the app. Leaves the existing stream of a `Table` unchanged.

    CloudFormation updates the table in place, without replacement, so the table keeps its items.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def visit(self, node: IConstruct) -> None:
        """Called by CDK for each construct."""
        if isinstance(node, aws_dynamodb.CfnTable) and node.table_name == self._name:
            if node.stream_specification is None:
                node.stream_specification = aws_dynamodb.CfnTable.StreamSpecificationProperty(
                    stream_view_type="NEW_AND_OLD_IMAGES"
                )
        elif isinstance(node, aws_dynamodb.CfnGlobalTable) and node.table_name == self._name:
            # The setting of a TableV2 cannot be read here. Replicas allow no other view type.
            node.add_property_override("StreamSpecification.StreamViewType", "NEW_AND_OLD_IMAGES")


def allow_controller(role: aws_iam.IGrantable, table_arn: str) -> None:
    """Grants `role` only the actions that the controller needs on the table and its stream."""
    for actions, resource in ((TABLE_ACTIONS, table_arn), (STREAM_ACTIONS, f"{table_arn}/stream/*")):
        role.grant_principal.add_to_principal_policy(
            aws_iam.PolicyStatement(actions=[f"dynamodb:{action}" for action in actions], resources=[resource])
        )
