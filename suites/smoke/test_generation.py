"""Plain prompts are answered by prose that is not empty, stops by itself, shows no special token and does not loop.

A loop is measured by seq-rep-4 (Welleck et al. 2020) and by a repeated end (Holtzman et al. 2020): see repetition.py.
"""

import pytest
from repetition import collapse
from special_tokens import special_tokens


@pytest.mark.gate("smoke/generation.jsonl", floor=1.0)
def test_generates_prose(model, case):
    reply = model.ask(case)
    found = (reply.content.strip() != "", reply.finish, special_tokens(reply.content), collapse(reply.content))
    assert found == (True, "stop", [], [])
