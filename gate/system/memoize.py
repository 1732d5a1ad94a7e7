"""What was found out about a JSON value holds for every equal one: thousands of cases offer the same tools."""

from __future__ import annotations

import marshal
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

Found = TypeVar("Found")
PLAIN = 2
"""The version of marshal whose bytes do not tell how often an object is used. They do tell 1 from true and from 1.0."""


def recalled(most: int) -> Callable[[Callable[[Any], Found]], Callable[[Any], Found]]:
    """Make a function of one value remember what it found for the `most` values that it saw last.

    A value that has changed is another one. What is found is shared: it must not be changed.
    """

    def around(look: Callable[[Any], Found]) -> Callable[[Any], Found]:
        known = lru_cache(maxsize=most)(lambda dumped: look(marshal.loads(dumped)))

        @wraps(look)
        def recall(value: Any) -> Found:
            try:
                dumped = marshal.dumps(value, PLAIN)
            except ValueError:  # an object of another kind: it is no JSON, and is looked at each time
                return look(value)
            return known(dumped)

        return recall

    return around
