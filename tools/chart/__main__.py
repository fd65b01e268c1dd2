"""`python -m tools.chart` regenerates values.schema.json and the tables of the README."""

import json

from tools.chart.readme import with_tables
from tools.chart.schema import schema_of
from tools.chart.values import CHART, documented


def made() -> dict[str, str]:
    """The generated files: text by name."""
    values = list(documented((CHART / "values.yaml").read_text()))
    schema = schema_of(values)
    readme = with_tables((CHART / "README.md").read_text(), values, schema["properties"]["settings"])
    return {"values.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n", "README.md": readme}


if __name__ == "__main__":
    for name, text in made().items():
        (CHART / name).write_text(text)
