"""Nothing that a model writes can steer the terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from gate.system.text import clean

STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")


@given(st.text(st.characters(codec=None)))
def test_clean_text_holds_nothing_that_steers(text: str) -> None:
    assert not [c for c in clean(text) if unicodedata.category(c) in STEERING]


def test_clean_keeps_ordinary_text_and_shows_the_rest() -> None:
    assert clean("Käse, 日本 ✓") == "Käse, 日本 ✓"
    assert clean("a\x1b[31mb\u202ec\n") == "a\\x1b[31mb\\u202ec\\n"
