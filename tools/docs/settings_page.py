"""Writes docs/settings.md from the code of the settings, so that the page cannot tell another story.

python tools/docs/settings_page.py          # writes it
python tools/docs/settings_page.py --check  # says whether it is as the code has it
"""

import sys
from pathlib import Path
from typing import Any, Final

from gco_stream.settings import Settings

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
HEAD: Final = """\
# Every setting

<!-- Written by tools/docs/settings_page.py from gco_stream/settings.py: change it there. -->

Settings come from the environment. A wrong value stops the start, with every wrong one listed, each by its name, its
value and what is allowed. An empty value counts as none. The chart sets them by its `settings` and `extraEnv`.
"""
TAIL: Final = """\
## What the libraries read

| variable | of |
|---|---|
| `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_DYNAMODB_STREAMS` | botocore: another DynamoDB than AWS'. Where only one of the last two is set the program does not start: table and stream would not belong together |
| `AWS_PROFILE`, `AWS_ROLE_ARN`, `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_CONTAINER_CREDENTIALS_FULL_URI`, … | botocore: credentials; the last three are set by IRSA and Pod Identity |
| `AWS_REGION`, `AWS_DEFAULT_REGION` | the command line alone, where neither `--region` nor `DYNAMODB_REGION` nor `REGION` is given |
| `KUBECONFIG` | kubernetes-asyncio: outside of a cluster. In a pod its ServiceAccount is used |
"""
# The first setting of each group, in the order of the code.
GROUPS: Final = {
    "cluster_name": "What is served, and from where",
    "stream_poll_interval_seconds": "Pace and patience",
    "lease_duration_seconds": "Leadership",
    "canary_drain_seconds": "Endpoints",
    "http_host": "HTTP and logs",
}
_DEFAULTS: Final = {
    "hostname": "the machine's name",
    "dynamodb_region": "`REGION`",
    "stream_region": "`DYNAMODB_REGION`",
    "allowed_namespaces": "`INFERENCE_NAMESPACE`",
    "mass_delete_limit": "max(5, 10 %)",
}


def page() -> str:
    """The page's text."""
    parts = [HEAD]
    schema = Settings.model_json_schema()["properties"]
    rows: list[str] = []
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            if rows:
                parts.append("\n".join(rows) + "\n")
            rows = [f"## {GROUPS[name]}\n", "| variable | default | allowed | meaning |", "|---|---|---|---|"]
        meaning = (field.description or "").partition(" (default:")[0]
        cells = (f"`{name.upper()}`", _default(name, field), _allowed(schema[name]), meaning)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    parts.append("\n".join(rows) + "\n")
    return "\n".join([*parts, TAIL])


def _default(name: str, field: Any) -> str:
    if field.is_required():
        return "none: must be set"
    if name in _DEFAULTS:
        return _DEFAULTS[name]
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _allowed(schema: dict[str, Any]) -> str:
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    one = options[0]
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"])
    if one.get("type") == "array":
        return "names of namespaces, separated by commas"
    if one.get("type") == "boolean":
        return "`true`, `false`"
    if "pattern" in one:
        return f"text like `{one['pattern']}`"
    if one.get("type") in {"integer", "number"}:
        kind = "a whole number" if one["type"] == "integer" else "a number"
        low = f"above {one['exclusiveMinimum']:g}" if "exclusiveMinimum" in one else f"from {one['minimum']:g}"
        return f"{kind} {low} to {one['maximum']:,}".replace(",", " ")
    return "text"


def main() -> int:
    """Writes the page, or with --check says whether it is as it should be (exit code 1: it is not)."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
        return 0
    if PAGE.read_text() == text:
        return 0
    print("docs/settings.md is not what the code says: python tools/docs/settings_page.py writes it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
