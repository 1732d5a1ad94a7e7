"""Child: the tokens of chat requests as an MLX folder's tokenizer makes them for mlx_lm.server. Run by path.

    python tokens.py < {"folder", "asked": [{"messages", "tools"}]} > [[id, …], …]

Source: mlx_lm/server.py, ResponseGenerator._tokenize.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mlx_lm.server import process_message_content
from mlx_lm.utils import load_tokenizer


def main() -> None:
    request = json.load(sys.stdin)
    tokenizer = load_tokenizer(Path(request["folder"]), {"trust_remote_code": False})  # type: ignore[no-untyped-call]
    made = []
    for asked in request["asked"]:
        process_message_content(asked["messages"])
        made.append(tokenizer.apply_chat_template(asked["messages"], tools=asked["tools"], add_generation_prompt=True))
    print(json.dumps([[int(token) for token in tokens] for tokens in made]))


if __name__ == "__main__":
    main()
