# mypy: disable-error-code="import-not-found, misc"
# (it is run by path, and by another environment's interpreter)
"""lm-eval: its model local-chat-completions, asked for calls too, and a task of ours; run by `simple_evaluate`.

Concurrency: num_concurrent=1, the default, and what the README's example for local servers has ("Model APIs and
Inference Servers"; docs/API_guide.md). One attempt (max_retries=1 is tenacity's count of attempts).
The stock model returns the text alone: docs/API_guide.md, "Implementing Your Own API Model", says to override
`parse_generations`. Its tasks have one set of generation settings: docs/new_task_guide.md, ConfigurableTask, whose
`construct_requests` gives each row its own tools and max_tokens. Its own tasks are left out of the index
(`include_defaults`), which saves it some seconds.
"""

from __future__ import annotations

import json
from typing import Any

import datasets
import requests
import scoring
import task
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.api_models import JsonChatStr
from lm_eval.models.openai_completions import LocalChatCompletion
from lm_eval.tasks import TaskManager

ASKED = task.given()


class CallingModel(LocalChatCompletion):
    """The chat model, returning calls in addition to the text of an answer. A server error is an empty answer."""

    def model_call(self, *positional: Any, **named: Any) -> Any:
        try:
            return super().model_call(*positional, **named)
        except requests.RequestException:
            return {"choices": [{"message": {}, "finish_reason": "error"}]}

    def parse_generations(self, outputs: Any, **_: Any) -> list[str]:
        replies = outputs if isinstance(outputs, list) else [outputs]
        choices = [choice for reply in replies for choice in reply["choices"]]
        return [json.dumps(scoring.answer(choice["message"], choice["finish_reason"])) for choice in choices]


CONFIG = {
    "task": "rows",
    "output_type": "generate_until",
    "test_split": "test",
    "custom_dataset": lambda **_: {
        "test": datasets.Dataset.from_list([{"row": json.dumps(row)} for row in ASKED.rows])
    },
    "doc_to_text": "{{row}}",
    "doc_to_target": "",
    "process_results": lambda doc, results: {"hit": scoring.hit(json.loads(doc["row"]), json.loads(results[0]))},
    "metric_list": [{"metric": "hit", "aggregation": "mean", "higher_is_better": True}],
}


class Rows(ConfigurableTask):
    """The benchmark's rows."""

    def construct_requests(self, doc: dict[str, str], *, metadata: tuple[Any, ...], **_: Any) -> Instance:
        body = ASKED.body(json.loads(doc["row"]))
        arguments = (JsonChatStr(json.dumps(body.pop("messages"))), body)
        return Instance(request_type="generate_until", doc=doc, arguments=arguments, idx=0, metadata=metadata)


def main() -> None:
    model = CallingModel(base_url=f"{ASKED.url}/chat/completions", model=ASKED.model, max_retries=1, timeout=3600)
    tasks = TaskManager(include_defaults=False)
    result = simple_evaluate(model=model, tasks=[Rows(config=CONFIG)], task_manager=tasks)
    ASKED.done([sample["hit"] for sample in result["samples"]["rows"]])


if __name__ == "__main__":
    main()
