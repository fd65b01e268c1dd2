"""Checks the pinned packages for known vulnerabilities with pip-audit, and reports packages that it could not check.

pip-audit skips a package that its advisory source does not know, and still reports that no vulnerabilities were found.
Behind a mirror that has packages but no advisories, everything would look safe. This script treats a skipped package as
not checked.

    python tools/audit/check.py [--pins requirements/dev.txt] [-- options for pip-audit]

Exit codes: 0 if every pin was checked and none is vulnerable, 1 if some are, 3 if not every pin could be checked.
"""

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
SAFE, VULNERABLE, UNCHECKED = 0, 1, 3
_SHOWN: Final = 5


def verdict(report: Mapping[str, Any]) -> tuple[int, list[str]]:
    """The exit code and the output lines for a JSON report of pip-audit."""
    pins: Sequence[Mapping[str, Any]] = report.get("dependencies") or ()
    unchecked = [pin["name"] for pin in pins if "skip_reason" in pin or "vulns" not in pin]
    found = [(pin, one) for pin in pins for one in pin.get("vulns") or ()]
    lines = [f"{pin['name']} {pin['version']}: {one['id']}; fixed in {_fixes(one)}" for pin, one in found]
    if unchecked or not pins:
        more = f" and {len(unchecked) - _SHOWN} more" if len(unchecked) > _SHOWN else ""
        names = f": {', '.join(unchecked[:_SHOWN])}{more}" if unchecked else ""
        lines.append(f"NOT CHECKED: {len(unchecked)} of {len(pins)} pins{names}.")
        lines.append("No reachable advisory source knows these packages, so they may still be vulnerable.")
    if found:
        return VULNERABLE, [*lines, f"{len({pin['name'] for pin, _ in found})} pins have known vulnerabilities."]
    if unchecked or not pins:
        return UNCHECKED, lines
    return SAFE, [f"{len(pins)} pins checked, none has a known vulnerability."]


def _fixes(vulnerability: Mapping[str, Any]) -> str:
    return ", ".join(vulnerability.get("fix_versions") or ()) or "no version"


def _auditor(folder: Path) -> Path:
    """Installs pip-audit into its own virtual environment if needed, with the user's pip configuration."""
    python = folder / "bin" / "python"
    pins = Path(__file__).with_name("requirements.txt")
    made_of = folder / "made-of"
    if not made_of.exists() or made_of.read_text() != pins.read_text():
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "-r", str(pins)], check=True)  # noqa: S603 - our own pins
        made_of.write_text(pins.read_text())
    return folder / "bin" / "pip-audit"


def main() -> int:
    """Runs pip-audit and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pins", type=Path, default=ROOT / "requirements" / "dev.txt")
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv" / "audit")
    parser.add_argument("options", nargs="*", help="options for pip-audit, after --")
    arguments = parser.parse_args()
    try:
        auditor = _auditor(arguments.environment)
    except (subprocess.CalledProcessError, OSError) as error:
        sys.stderr.write(f"NOT CHECKED: pip-audit cannot be installed: {error}\n")
        return UNCHECKED
    fixed = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(  # noqa: S603 - our own tool
        [str(auditor), "-r", str(arguments.pins), *fixed, *arguments.options],
        # pip-audit prints "No known vulnerabilities found" even if it could not check every package.
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.stderr.write(
            f"NOT CHECKED: pip-audit exited with {done.returncode} and gave no report: {done.stderr[-500:]}\n"
        )
        return UNCHECKED
    code, lines = verdict(report)
    sys.stdout.write("\n".join([*lines, ""]))
    return code


if __name__ == "__main__":
    sys.exit(main())
