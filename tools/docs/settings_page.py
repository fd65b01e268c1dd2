"""Generates docs/settings.md from the code of the settings, so that the page always matches the code.

python tools/docs/settings_page.py          # writes the page
python tools/docs/settings_page.py --check  # checks that the page is up to date
"""

import sys
from pathlib import Path
from typing import Any, Final

from gco_stream.settings import Settings

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
HEAD: Final = """\
# Every setting

<!-- Written by tools/docs/settings_page.py from gco_stream/settings.py: change it there. -->

Settings are environment variables. If any value is invalid, the controller does not start, and lists every invalid
setting with its value and what is allowed. An empty value counts as unset. In the chart, use `settings` and `extraEnv`.
"""
TAIL: Final = """\
## Variables of libraries

| variable | read by |
|---|---|
| `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_DYNAMODB_STREAMS` | botocore, for a DynamoDB outside AWS. If only one of the last two is set, the controller does not start, because the table and the stream would not belong together |
| `AWS_PROFILE`, `AWS_ROLE_ARN`, `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_CONTAINER_CREDENTIALS_FULL_URI`, … | botocore, for credentials. IRSA and Pod Identity set the last three |
| `AWS_REGION`, `AWS_DEFAULT_REGION` | the command line, if none of `--region`, `DYNAMODB_REGION` and `REGION` is set |
| `KUBECONFIG` | kubernetes-asyncio. Without it, a pod uses its ServiceAccount |
"""
# The first setting of each group, in the order of the code, and the heading of the group.
GROUPS: Final = {
    "cluster_name": "Regions, table and namespaces",
    "stream_poll_interval_seconds": "Intervals, timeouts and concurrency",
    "lease_duration_seconds": "Leadership",
    "canary_drain_seconds": "Endpoints",
    "http_host": "HTTP and logs",
}
_DEFAULTS: Final = {
    "hostname": "the host name",
    "dynamodb_region": "`REGION`",
    "stream_region": "`DYNAMODB_REGION`",
    "allowed_namespaces": "`INFERENCE_NAMESPACE`",
    "mass_delete_limit": "max(5, 10 %)",
}


def page() -> str:
    """The text of the page."""
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
        return "comma-separated namespace names"
    if one.get("type") == "boolean":
        return "`true`, `false`"
    if "pattern" in one:
        return f"text that matches `{one['pattern']}`"
    if one.get("type") in {"integer", "number"}:
        kind = "a whole number" if one["type"] == "integer" else "a number"
        low = f"above {one['exclusiveMinimum']:g}" if "exclusiveMinimum" in one else f"from {one['minimum']:g}"
        return f"{kind} {low} to {one['maximum']:,}".replace(",", " ")
    return "text"


def main() -> int:
    """Writes the page, or with --check returns exit code 1 if it is out of date."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
        return 0
    if PAGE.read_text() == text:
        return 0
    print("docs/settings.md is out of date; run: python tools/docs/settings_page.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
