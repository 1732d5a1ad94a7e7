# mypy: disable-error-code="import-not-found"
# (it is run by path: task and scoring are in the same folder)
"""No harness: the openai client in a plain loop, one request after the other, as its README begins.

https://github.com/openai/openai-python#usage: `client.chat.completions.create(…)`. Its two retries are off.
"""

from __future__ import annotations

import openai
import scoring
import task


def main() -> None:
    asked = task.given()
    client = openai.OpenAI(base_url=asked.url, api_key=asked.key, max_retries=0)
    hits = []
    for row in asked.rows:
        try:
            choice = client.chat.completions.create(**asked.body(row)).choices[0]
            given = scoring.answer(choice.message.model_dump(), choice.finish_reason)
        except openai.APIError:
            given = scoring.NONE
        hits.append(scoring.hit(row, given))
    asked.done(hits)


if __name__ == "__main__":
    main()
