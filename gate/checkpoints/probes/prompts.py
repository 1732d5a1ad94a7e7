"""Child: prompts as an MLX folder's own tokenizer renders them for mlx_lm.server, and its tokens as text.

Nothing of the folder is run as code: trust_remote_code stays off.
Source: mlx_lm/server.py (0.32.2), ResponseGenerator._tokenize: a chat is rendered and encoded without further special
tokens, a text prompt is encoded with them. So a text that begins with a BOS of its own would get two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlx_lm.server import convert_chat, process_message_content
from mlx_lm.utils import load_tokenizer

from gate.system import sandbox
from gate.types import Json


def probe(request: Json) -> list[Any]:
    """The texts of `tokens`, special tokens included; or the prompts of `asked`, as the API takes messages and tools.

    A prompt is {"prompt"}, or {"problem"} where no text would be read as the same tokens.
    """
    tokenizer = load_tokenizer(Path(request["folder"]), {"trust_remote_code": False})
    if "tokens" in request:
        return [tokenizer.decode(tokens, skip_special_tokens=False) for tokens in request["tokens"]]
    return [_rendered(tokenizer, asked["messages"], asked["tools"] or None) for asked in request["asked"]]


def _rendered(tokenizer: Any, messages: list[Json], tools: list[Json] | None) -> Json:
    if not tokenizer.has_chat_template:
        return {"prompt": convert_chat(messages)}
    process_message_content(messages)
    wanted = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True)
    text = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True, tokenize=False)
    for prompt in (text, text.removeprefix(tokenizer.bos_token or "")):
        if list(tokenizer.encode(prompt)) == list(wanted):
            return {"prompt": prompt}
    return {"problem": "mlx_lm.server would read the rendered prompt as other tokens than those of the chat"}


if __name__ == "__main__":
    sandbox.answer(probe)
