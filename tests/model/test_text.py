"""Display of item text in terminals and logs."""

from hypothesis import given
from hypothesis import strategies as st

from gco_stream.model.text import printable, terminal_safe, truncate


@given(st.text())
def test_printable_text_stays_and_everything_else_is_escaped(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    assert text != printable(text) or text.isprintable()


@given(st.text(), st.integers(2, 80))
def test_shown_text_is_never_longer_than_the_limit(text: str, longest: int) -> None:
    assert len(truncate(text, longest)) <= longest
    assert truncate(text, longest).isprintable()


def test_a_terminal_gets_no_control_sequences_except_colours() -> None:
    hyperlink, title, cursor = "\x1b]8;;http://evil\x07", "\x1b]0;title\x07", "\x1b[2J\x1b[H"
    line = terminal_safe(f"\x1b[31mred\x1b[0m {hyperlink}{title}{cursor}\r\n\u202e")
    assert line.startswith("\x1b[31mred\x1b[0m \\x1b]8;;http://evil\\x07")
    assert line.replace("\x1b[31m", "").replace("\x1b[0m", "").isprintable()
