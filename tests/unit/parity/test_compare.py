"""Hops are compared on constructed answers whose differences are known."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.parity import table
from gate.parity.answer import Answer, Hop, Step, Token, steps
from gate.parity.compare import TOKENS, Comparison, Difference, compare, kl, pair
from gate.parity.verdict import legs, reasons, summary

WORDS = ("The", " capital", " is", " Paris", ".", "<|im_end|>")


def step(text: str, *, gap: float = 3.0, other: str = " other", number: int | None = None) -> Step:
    """A token that was preferred to `other` by `gap` nats; the two share 0.9 of the probability."""
    best = math.log(0.9 / (1 + math.exp(-gap)))
    token = Token(number, text, best)
    return Step(token, (token, Token(None if number is None else number + 1000, other, best - gap)))


def answer(
    number: int, written: Sequence[Step | str] = WORDS, *, finish: str = "stop", prompt_tokens: int = 40
) -> Answer:
    """Answer number `number` of a hop; the first half has tools."""
    each = tuple(step(one) if isinstance(one, str) else one for one in written)
    text = "".join(one.token.text for one in each)
    return Answer(f"p{number}", number < 4, each, text, (), finish, prompt_tokens)


def hop(name: str, *answers: Answer) -> Hop:
    """A hop of eight answers: these, and default ones after them."""
    rest = [answer(number) for number in range(len(answers), 8)]
    return Hop(name, "mlx", f"/{name}", 1_000_000, 1.0, (*answers, *rest))


def differing(number: int, *, gap: float, at: int = 3) -> tuple[Answer, Answer]:
    """Two answers that differ first at a token where the first preferred its own by `gap` nats."""
    sure = step(WORDS[at], gap=gap, other=" Rome")
    first = answer(number, [*WORDS[:at], sure, *WORDS[at + 1 :]])
    return first, answer(number, [*WORDS[:at], step(" Rome"), " and", " more"])


def pairs_of(*pairs: tuple[Answer, Answer]) -> Comparison:
    return compare(hop("first", *(a for a, _ in pairs)), hop("second", *(b for _, b in pairs)))


def test_identical_hops_agree_and_stand() -> None:
    comparison = pairs_of()
    assert comparison.agreement == 1
    assert comparison.divergence == 0
    assert comparison.counts == {Difference.SAME: 8}
    assert reasons(comparison) == ()


def test_differences_below_the_bound_are_fragile_and_no_fall() -> None:
    comparison = pairs_of(*(differing(number, gap=0.1) for number in range(8)))
    assert comparison.counts == {Difference.FRAGILE: 8}
    assert comparison.pairs[0].margin == pytest.approx(0.1)
    assert comparison.agreement == pytest.approx(3 / 6)
    assert reasons(comparison) == ()


def test_many_differences_above_the_bound_are_a_fall() -> None:
    comparison = pairs_of(*(differing(number, gap=2.0) for number in range(4)))
    assert comparison.counts == {Difference.FAULT: 4, Difference.SAME: 4}
    (reason,) = reasons(comparison)
    assert reason.startswith("4 of 8 answers differ, 4 of them at a margin of 0.5 nats or more; mean KL 0.")


def test_a_third_of_the_answers_may_be_faults_and_no_more() -> None:
    """A healthy Q4_K_M of the demo model has 6 in 24."""
    assert reasons(pairs_of(*(differing(number, gap=2.0) for number in range(2)))) == ()
    assert reasons(pairs_of(*(differing(number, gap=2.0) for number in range(3))))


def test_two_faults_with_a_large_margin_are_a_fall_however_much_else_is_equal() -> None:
    """An adapter that has changed only some answers can be erased too."""
    assert reasons(pairs_of(differing(0, gap=7.0))) == ()
    (reason,) = reasons(pairs_of(differing(0, gap=7.0), differing(1, gap=5.0)))
    assert reason.startswith(
        "2 of 8 answers differ, 2 of them at a margin of 0.5 nats or more, 2 at 3 or more; mean KL"
    )


@pytest.mark.parametrize(
    ("gap", "suspect"), [(0.9, "too coarse a quantisation?"), (9.0, "the adapter was lost, or weights are wrong?")]
)
def test_the_divergence_tells_a_coarse_quantisation_from_a_lost_adapter(gap: float, suspect: str) -> None:
    """Four answers in eight differ, and their second hop has swapped the same two tokens."""
    first = [answer(number, [*WORDS[:3], step(" Paris", gap=gap, other=" Rome")]) for number in range(4)]
    second = [answer(number, [*WORDS[:3], step(" Rome", gap=gap, other=" Paris")]) for number in range(4)]
    (reason,) = reasons(compare(hop("first", *first), hop("second", *second)))
    assert reason.endswith(suspect)


def test_the_bound_tells_fragile_from_fault() -> None:
    first, second = differing(0, gap=0.7)
    assert compare(hop("a", first), hop("b", second)).counts[Difference.FAULT] == 1
    assert compare(hop("a", first), hop("b", second), bound=0.8).counts[Difference.FRAGILE] == 1


def test_the_margin_is_over_the_token_that_the_other_generated_not_over_the_second_best() -> None:
    best = Token(None, " Paris", -0.7)
    unsure = Step(best, (best, Token(None, " Lyon", -0.8), Token(None, " Rome", -4.0)))
    first = answer(0, [*WORDS[:3], unsure])
    comparison = compare(hop("a", first), hop("b", answer(0, [*WORDS[:3], " Rome"])))
    assert comparison.pairs[0].margin == pytest.approx(3.3)
    unlisted = compare(hop("a", first), hop("b", answer(0, [*WORDS[:3], " 42"])))
    assert unlisted.pairs[0].margin == pytest.approx(3.3), "at least the gap to the last that is listed"


def test_only_the_first_tokens_count() -> None:
    long = [f" {number}" for number in range(TOKENS)]
    comparison = pairs_of((answer(0, [*long, " a"], finish="length"), answer(0, [*long, " b"], finish="length")))
    assert comparison.counts == {Difference.SAME: 8}
    assert comparison.pairs[0].length == TOKENS


def test_a_doubled_bos_is_named() -> None:
    second = hop("gguf", *(answer(number, prompt_tokens=41) for number in range(8)))
    assert reasons(compare(hop("fused"), second)) == ("8 of 8 prompts have another length (+1 tokens): a doubled BOS?",)


@pytest.mark.parametrize(
    ("lengths", "suspect"),
    [
        ([39] * 8, "(-1 tokens): a missing BOS?"),
        ([55] * 8, "(+15 tokens): another chat template, perhaps another default system text"),
        (
            [47, 47, 52, 52, 40, 40, 40, 40],
            "4 of 8 prompts have another length (+7 to +12 tokens): the chat template r",
        ),
        (
            [40, 40, 40, 40, 40, 40, 43, 38],
            "2 of 8 prompts have another length (-2 to +3 tokens): another chat template o",
        ),
    ],
)
def test_another_template_is_named_by_where_the_prompts_are_longer(lengths: list[int], suspect: str) -> None:
    second = hop("gguf", *(answer(number, prompt_tokens=count) for number, count in enumerate(lengths)))
    (reason,) = reasons(compare(hop("fused"), second))
    assert suspect in reason


def test_an_answer_that_runs_on_after_its_end_is_another_stop_token() -> None:
    ran = answer(0, [*WORDS, "\n", "<|im_start|>", "user"], finish="length")
    comparison = pairs_of((answer(0), ran))
    assert comparison.counts[Difference.RAN_ON] == 1
    assert reasons(comparison) == ("1 of 8 answers run on after the token that ended them: another stop token",)


def test_an_answer_that_stops_early_is_another_stop_token() -> None:
    comparison = pairs_of((answer(0), answer(0, WORDS[:4])))
    assert comparison.counts[Difference.STOPPED_EARLY] == 1
    assert "end where the first goes on" in reasons(comparison)[0]


def test_a_server_that_does_not_list_the_last_token_is_no_fault() -> None:
    unlisted = replace(answer(0, WORDS[:5]), text="".join(WORDS))
    assert pairs_of((answer(0), unlisted)).counts == {Difference.SAME: 8}
    assert pairs_of((unlisted, answer(0))).counts == {Difference.SAME: 8}


def test_the_same_tokens_read_as_other_calls_are_another_parser() -> None:
    called = replace(answer(0), calls=({"name": "terminal", "arguments": {}},), finish="tool_calls")
    (reason,) = reasons(pairs_of((called, answer(0))))
    assert "parses other calls: another tool parser" in reason


def test_the_divergence_is_that_of_the_listed_tokens_and_one_bucket_for_the_rest() -> None:
    ours = [Token(None, "a", math.log(0.5)), Token(None, "b", math.log(0.3))]
    theirs = [Token(None, "b", math.log(0.6)), Token(None, "a", math.log(0.3))]
    by_hand = 0.5 * math.log(0.5 / 0.3) + 0.3 * math.log(0.3 / 0.6) + 0.2 * math.log(0.2 / 0.1)
    assert kl(ours, theirs) == pytest.approx(by_hand)
    assert kl(ours, ours) == 0


def test_a_token_that_the_other_does_not_list_gets_no_more_than_the_others_last() -> None:
    ours = [Token(None, "a", math.log(0.5)), Token(None, "b", math.log(0.3))]
    theirs = [Token(None, "a", math.log(0.8)), Token(None, "c", math.log(0.1))]
    by_hand = 0.5 * math.log(0.5 / 0.8) + 0.3 * math.log(0.3 / 0.1) + 0.2 * math.log(0.2 / 0.2)
    assert kl(ours, theirs) == pytest.approx(by_hand)


WEIGHTS = st.lists(st.floats(0.001, 1), min_size=6, max_size=6)


@given(WEIGHTS, WEIGHTS, st.integers(1, 6))
def test_the_divergence_is_never_more_than_the_true_one(ours: list[float], theirs: list[float], listed: int) -> None:
    p, q = ([value / sum(weights) for value in weights] for weights in (ours, theirs))
    true = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert kl(best(p, listed), best(q, listed)) <= true + 1e-4


def best(distribution: list[float], listed: int) -> list[Token]:
    tokens = [Token(number, str(number), math.log(value)) for number, value in enumerate(distribution)]
    return sorted(tokens, key=lambda token: -token.logprob)[:listed]


def test_a_rest_of_nothing_stays_finite() -> None:
    certain = [Token(None, "a", 0.0)]
    assert math.isfinite(kl([Token(None, "b", 0.0)], certain))
    assert kl(certain, certain) == 0


def test_the_divergence_includes_the_step_of_the_first_difference_and_none_after_it() -> None:
    comparison = pairs_of(differing(0, gap=2.0, at=2))
    assert len(comparison.pairs[0].divergences) == 3
    assert comparison.pairs[0].divergences[2] > 0.5


def test_numbers_are_compared_where_both_have_them_else_texts() -> None:
    numbered = answer(0, [step(word, number=n) for n, word in enumerate(WORDS)])
    others = answer(0, [step(word, number=n + 7) for n, word in enumerate(WORDS)])
    assert pairs_of((numbered, others)).pairs[0].equal == 0
    assert pairs_of((numbered, answer(0))).pairs[0].equal == len(WORDS)


def silent(number: int, text: str) -> Answer:
    """An answer by a server without log-probabilities."""
    return Answer(f"p{number}", False, (), text, (), "stop", None)


def test_without_log_probabilities_words_are_compared_and_a_difference_is_a_fault() -> None:
    texts = ["It is Rome."] * 3 + ["It is Paris."] * 5
    first = hop("a", *(silent(number, "It is Paris.") for number in range(8)))
    comparison = compare(first, hop("b", *(silent(number, text) for number, text in enumerate(texts))))
    assert comparison.divergence is None
    assert comparison.counts == {Difference.FAULT: 3, Difference.SAME: 5}
    assert "3 at an unknown margin" in reasons(comparison)[0]
    shown = table.text([first, first], legs([first, first]), bound=0.5)
    assert shown.count("unknown") >= 2


def test_the_line_names_the_hop_that_fell_and_not_those_after_it() -> None:
    lost = [answer(number, [" something", " else"]) for number in range(8)]
    chain = [hop("adapter"), hop("fused"), hop("4bit", *lost), hop("gguf", *lost)]
    compared = legs(chain)
    assert [leg.fell_here for leg in compared] == [False, True, False]
    assert all(leg.fell for leg in compared[1:])
    text = summary(chain, compared)
    assert text.startswith("fell between fused and 4bit: 8 of 8 answers differ, 8 of them at a margin of 0.5 nats or m")
    assert text.endswith("the adapter was lost, or weights are wrong? | gguf is like 4bit, which had fallen already")


def test_a_hop_that_was_not_exported_from_the_fallen_one_stands() -> None:
    lost = [answer(number, [" something", " else"]) for number in range(8)]
    chain = [hop("adapter"), hop("4bit", *lost), hop("gguf")]
    assert [bool(leg.fell) for leg in legs(chain)] == [True, False]


def test_the_table_shows_no_control_character_of_a_model() -> None:
    first, second = differing(0, gap=2.0)
    rude = replace(second, steps=(*second.steps[:4], step("\x1b[2J"), step("‮")))
    chain = [hop("a", first), hop("b", rude)]
    shown = table.text(chain, legs(chain), bound=0.5)
    assert "\x1b" not in shown
    assert "‮" not in shown
    assert "p0: fault at token 4, 2.00 nats" in shown


def completion(*content: object) -> str:
    return json.dumps({"choices": [{"message": {}, "logprobs": {"content": list(content)}}]})


def test_steps_of_llama_server_are_the_tokens_that_it_generated() -> None:
    top = [{"id": 5, "token": " a", "logprob": -0.1}, {"id": 6, "token": " b", "logprob": -2.5}]
    (read,) = steps(completion(top[1] | {"top_logprobs": top}), best=False)
    assert read.token == Token(6, " b", -2.5)
    assert [token.id for token in read.top] == [5, 6]


def test_steps_of_mlx_lm_are_the_best_tokens_whichever_it_reports() -> None:
    """mlx_lm.server 0.32.2 lists the best tokens in no order and repeats the first of them as the generated one."""
    top = [{"id": 6, "token": "Ġb", "logprob": -2.5}, {"id": 5, "token": "Ġa", "logprob": -0.1}]
    (read,) = steps(completion(top[0] | {"top_logprobs": top}), best=True)
    assert read.token == Token(5, " a", -0.1)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        completion(),
        completion({}),
        completion(3),
        completion({"token": "a", "logprob": None, "top_logprobs": []}),
        completion({"token": "a", "logprob": 7.0, "top_logprobs": []}),
        '{"choices": [{"message": {}, "logprobs": null}]}',
        '{"choices": []}',
    ],
)
@pytest.mark.parametrize("best", [True, False])
def test_steps_that_cannot_be_parsed_are_empty(body: str, best: bool) -> None:
    assert steps(body, best=best) == ()


def test_a_token_that_a_grammar_forbids_is_no_fault() -> None:
    """llama-server's best token was the first's, and it generated another: without the grammar they would be equal."""
    word = step(" list_files", gap=6.0, other=" read_file")
    forbidden = replace(word, token=word.top[1])
    one, other = answer(1, [word, " b"]), answer(1, [forbidden, " c"])
    assert pair(one, other).difference is Difference.CONSTRAINED
    assert pair(other, one).difference is Difference.CONSTRAINED
    swapped = replace(forbidden, top=(word.top[1], word.top[0]))
    assert pair(one, answer(1, [swapped, " c"])).difference is Difference.FAULT
