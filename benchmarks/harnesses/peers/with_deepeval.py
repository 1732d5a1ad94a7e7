# mypy: disable-error-code="import-not-found, untyped-decorator, misc"
# (it is run by path, and by another environment's interpreter)
"""deepeval: goldens, an observed application, a metric of our own; run by `evals_iterator` with tasks of asyncio.

docs/evaluation-end-to-end-single-turn (Approach 1, recommended; tab Manual Instrumentation, Async: "default,
fastest"). Concurrency: the default of AsyncConfig, at most 20 (docs/evaluation-flags-and-configs). The metric is a
custom one without a judge (docs/metrics-custom): its ToolCorrectnessMetric knows no patterns.
"""

from __future__ import annotations

import asyncio
import json

import openai
import scoring
import task
from deepeval.dataset import EvaluationDataset, Golden
from deepeval.evaluate.configs import CacheConfig, DisplayConfig
from deepeval.metrics import BaseMetric
from deepeval.test_case import LLMTestCase
from deepeval.tracing import observe, update_current_trace

ASKED = task.given()
ROWS = {row["id"]: row for row in ASKED.rows}
CLIENT = openai.AsyncOpenAI(base_url=ASKED.url, api_key=ASKED.key, max_retries=0)
HITS: dict[str, bool] = {}


class Exact(BaseMetric):
    """One for the answer that its row expects, else nothing."""

    def __init__(self) -> None:
        self.threshold = 1.0
        self.success = False

    def measure(self, test_case: LLMTestCase) -> float:
        right = scoring.hit(ROWS[test_case.input], json.loads(test_case.actual_output))
        HITS[test_case.input] = right
        self.score, self.success = float(right), right
        return float(right)

    async def a_measure(self, test_case: LLMTestCase, *_: object, **__: object) -> float:
        return self.measure(test_case)

    def is_successful(self) -> bool:
        return self.success

    @property
    def __name__(self) -> str:
        return "exact"


@observe()
async def application(name: str) -> str:
    try:
        choice = (await CLIENT.chat.completions.create(**ASKED.body(ROWS[name]))).choices[0]
        given = scoring.answer(choice.message.model_dump(), choice.finish_reason)
    except openai.APIError:
        given = scoring.NONE
    update_current_trace(input=name, output=json.dumps(given))
    return json.dumps(given)


def main() -> None:
    dataset = EvaluationDataset(goldens=[Golden(input=name) for name in ROWS])
    display = DisplayConfig(show_indicator=False, print_results=False, inspect_after_run=False)
    caches = CacheConfig(write_cache=False, use_cache=False)
    for golden in dataset.evals_iterator(metrics=[Exact()], display_config=display, cache_config=caches):
        dataset.evaluate(asyncio.create_task(application(golden.input)))
    if len(HITS) != len(ROWS):
        raise SystemExit(f"deepeval: {len(HITS)} of {len(ROWS)} cases were scored")
    ASKED.done(list(HITS.values()))


if __name__ == "__main__":
    main()
