"""Finds the command blocks in the documentation, and what each needs that a test cannot provide."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
# What a block may need beyond the local control plane: an AWS account, Docker, minutes, or nodes that run images.
NEEDS = {"aws", "docker", "time", "cluster"}
# Pages whose commands tests/integration/operations/test_docs_commands.py runs in one shell. It runs the last block of
# the first
# page at the end.
SESSION = ("start.md", "concepts.md", "development.md")
# Pages with a test of their own that follows their commands.
WALKED = {"migration.md": "tests/integration/chart/test_migration.py"}

_BLOCK = re.compile(
    r"(?:^<!-- needs: (?P<needs>[^>]*?) -->\n)?^```(?P<language>sh|console)\n(?P<text>.*?)^```\n"
    r"(?:\n^```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `missing_inputs` is empty if it can run in a test; `output` is the output that the page
    shows.
    """

    page: Path
    line: int
    language: str
    text: str
    needs: str
    output: str

    @property
    def runs(self) -> bool:
        """Whether a test can run it. The other blocks are transcripts, or need something that a test does not have."""
        return self.language == "sh" and not self.needs

    def script(self) -> str:
        """The commands without prompts and output, as input for a shell."""
        if self.language == "sh":
            return self.text
        return "".join(f"{line[2:]}\n" for line in self.text.splitlines() if line.startswith("$ "))


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start("text")),
            language=match["language"],
            text=match["text"],
            needs=match["needs"] or "",
            output=match["output"] or "",
        )
        for match in _BLOCK.finditer(text)
    ]


def commands(script: str) -> list[list[str]]:
    """Splits a script into simple commands, each as a list of words. Joins continued lines, splits chains and pipes."""
    found = []
    for line in re.sub(r"\\\n\s*", " ", script).splitlines():
        for part in re.split(r"&&|\|\||[|;&](?![>\d])", re.sub(r"(^|\s)#.*", "", line)):
            words = re.findall(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""", part)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words.pop(0)
            if words:
                found.append([word.strip("\"'") for word in words])
    return found
