"""The IAM policies allow exactly the calls in the code, and match those of Terraform and CDK."""

import ast
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gco_stream.table import bootstrap

ROOT = Path(__file__).parents[2]
IAM = ROOT / "deploy" / "iam"
TERRAFORM = ROOT / "deploy" / "terraform" / "main.tf"
CDK = ROOT / "deploy" / "cdk" / "stream.py"
BOTO = re.compile(r"client\.([a-z_]+)\(")
CONTROLLER = re.compile(r'_(?:call|write|try)\w*\(\s*"([a-z_]+)"')


def called(pattern: re.Pattern[str], *sources: str) -> set[str]:
    """IAM names of the DynamoDB operations that `sources` call."""
    found = {
        operation for source in sources for operation in pattern.findall((ROOT / "gco_stream" / source).read_text())
    }
    return {"".join(word.capitalize() for word in operation.split("_")) for operation in found}


def allowed(name: str) -> dict[str, set[str]]:
    """The actions of a policy by kind of resource: table or stream."""
    by_kind: dict[str, set[str]] = {}
    for statement in json.loads((IAM / f"{name}.json").read_text())["Statement"]:
        assert statement["Effect"] == "Allow"
        assert isinstance(statement["Resource"], str)
        assert re.fullmatch(
            r"arn:aws:dynamodb:[a-z0-9-]+:111122223333:table/gco-inference-endpoints(/stream/\*)?",
            statement["Resource"],
        )
        kind = "stream" if statement["Resource"].endswith("/stream/*") else "table"
        by_kind.setdefault(kind, set()).update(action.removeprefix("dynamodb:") for action in statement["Action"])
    return by_kind


TABLE = called(CONTROLLER, "table/endpoints.py")
STREAM = called(CONTROLLER, "stream/client.py")


@pytest.mark.parametrize("name", ["controller", "controller-stream-region"])
def test_the_controller_policies_match_its_calls(name: str) -> None:
    assert allowed(name) == {"table": TABLE, "stream": STREAM}
    assert {"DescribeTable", "Scan", "GetItem", "UpdateItem", "DeleteItem"} == TABLE
    assert {"DescribeStream", "GetShardIterator", "GetRecords"} == STREAM


def test_the_user_policy_matches_the_calls_of_the_endpoint_commands() -> None:
    assert allowed("user") == {"table": called(BOTO, "table/sync_table.py")}
    assert allowed("reader")["table"] == {
        action for action in allowed("user")["table"] if not action.startswith(("Put", "Update"))
    }


def test_the_setup_policy_matches_the_calls_of_the_table_commands() -> None:
    assert allowed("setup") == {"table": called(BOTO, "table/bootstrap.py")}


def test_no_policy_has_a_wildcard_action() -> None:
    policies = [path.read_text() for path in IAM.glob("*.json")]
    assert len(policies) == 7
    assert [text for text in policies if re.search(r'"(dynamodb:[A-Za-z]*)?\*"', text)] == []


def test_both_trust_policies_name_the_same_service_account() -> None:
    irsa, pod = (
        json.loads((IAM / f"trust-{name}.json").read_text())["Statement"][0] for name in ("irsa", "pod-identity")
    )
    subject = next(value for key, value in irsa["Condition"]["StringEquals"].items() if key.endswith(":sub"))
    tags = pod["Condition"]["StringEquals"]
    named = (tags["aws:RequestTag/kubernetes-namespace"], tags["aws:RequestTag/kubernetes-service-account"])
    assert subject == f"system:serviceaccount:{':'.join(named)}"


def test_terraform_is_well_formed_and_allows_the_same_actions(syntax_tools: Path) -> None:
    done = subprocess.run([syntax_tools / "hclfmt", "-check", TERRAFORM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = TERRAFORM.read_text()
    assert set(re.findall(r'"dynamodb:(\w+)"', text)) == TABLE | STREAM
    assert f'stream_view_type = "{view_type()}"' in text


def test_broken_terraform_is_detected(syntax_tools: Path, tmp_path: Path) -> None:
    broken = tmp_path / "main.tf"
    broken.write_text(TERRAFORM.read_text().replace("statement {", "statement", 1))
    assert subprocess.run([syntax_tools / "hclfmt", "-check", broken], capture_output=True, check=False).returncode


def test_the_cdk_snippet_allows_the_same_actions() -> None:
    constants: dict[str, Any] = {}
    tree = ast.parse(CDK.read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            constants[node.targets[0].id] = ast.literal_eval(node.value)
    assert set(constants["TABLE_ACTIONS"]) == TABLE
    assert set(constants["STREAM_ACTIONS"]) == STREAM
    assert view_type() in {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def view_type() -> str:
    """The stream view type that `gco-stream table create` uses."""
    match = re.search(r'"StreamViewType": "(\w+)"', Path(bootstrap.__file__).read_text())
    assert match is not None
    return match[1]
