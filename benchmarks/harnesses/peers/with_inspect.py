# mypy: disable-error-code="import-not-found, untyped-decorator"
# (it is run by path, and by another environment's interpreter)
"""inspect-ai: a task of samples, a solver that offers each sample's tools, a scorer; run by `eval`.

Concurrency: the default, adaptive connections (20 at first, 10 to 100), which docs/models-concurrency (Model
Concurrency, Adaptive Connections) recommends over a fixed number. Local servers: docs/providers, OpenAI API.
Its tools lose what its own schema class does not know and get `strict`: `extra_body`, a documented setting of
GenerateConfig, sends them as they are. Retries are off, its own and the client's; a sample that the server answers with
an error is a miss (fail_on_error: docs/errors-and-limits).
"""

from __future__ import annotations

import json
from typing import Any

import scoring
import task
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    GenerateConfig,
    get_model,
)
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall, ToolInfo, ToolParams

ROLES = {"system": ChatMessageSystem, "user": ChatMessageUser, "tool": ChatMessageTool}


@solver
def asked_once() -> Solver:
    async def solve(state: TaskState, _generate: Generate) -> TaskState:
        row = state.metadata
        more = {"tools": row["tools"]} if row["tools"] else {}
        config = GenerateConfig(max_tokens=row["max_tokens"], extra_body={"messages": row["messages"], **more})
        state.output = await get_model().generate(state.messages, tools=_tools(row), config=config)
        return state

    return solve


@scorer(metrics=[accuracy()])
def exact() -> Scorer:
    async def score(state: TaskState, _target: Target) -> Score:
        message, cut = state.output.message, state.output.stop_reason == "max_tokens"
        calls = [
            {"name": call.function, "arguments": None if call.parse_error else call.arguments}
            for call in message.tool_calls or []
        ]
        right = scoring.hit(state.metadata, {"content": message.text, "calls": calls, "cut": cut})
        return Score(value=CORRECT if right else INCORRECT)

    return score


def main() -> None:
    asked = task.given()
    samples = [Sample(id=row["id"], input=_messages(row["messages"]), metadata=row) for row in asked.rows]
    (log,) = eval(
        Task(dataset=samples, solver=asked_once(), scorer=exact()),
        model=f"openai-api/local/{asked.model}",
        model_base_url=asked.url,
        model_args={"api_key": asked.key, "max_retries": 0},
        max_retries=0,
        fail_on_error=False,
        display="none",
        **asked.sampling,
    )
    if log.status != "success":
        raise SystemExit(f"inspect: {log.status}: {log.error}")
    asked.done([bool(sample.scores) and sample.scores["exact"].value == CORRECT for sample in log.samples])


def _tools(row: dict[str, Any]) -> list[ToolInfo]:
    return [_tool(tool["function"]) for tool in row["tools"]]


def _tool(given: dict[str, Any]) -> ToolInfo:
    parameters = ToolParams(**given["parameters"])
    return ToolInfo(name=given["name"], description=given.get("description", ""), parameters=parameters)


def _messages(messages: list[dict[str, Any]]) -> list[ChatMessage]:
    return [_assistant(each) if each["role"] == "assistant" else ROLES[each["role"]](**each) for each in messages]


def _assistant(message: dict[str, Any]) -> ChatMessageAssistant:
    calls = [
        ToolCall(id=call["id"], function=call["function"]["name"], arguments=json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls", [])
    ]
    return ChatMessageAssistant(content=message["content"] or "", tool_calls=calls or None)


if __name__ == "__main__":
    main()
