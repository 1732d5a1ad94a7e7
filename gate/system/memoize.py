"""Memoize a function of one JSON value: thousands of cases offer the same tools."""

from __future__ import annotations

import marshal
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

Result = TypeVar("Result")
VERSION = 2
"""The version of marshal whose bytes do not depend on how often an object is used. They do tell 1 from true and 1.0."""


def memoized(most: int) -> Callable[[Callable[[Any], Result]], Callable[[Any], Result]]:
    """Keep the results of a function for the `most` JSON values that it was last called with.

    The key is the value as it is at the call, so a value that was changed is another one. A result is shared: it must
    not be changed.
    """

    def decorate(function: Callable[[Any], Result]) -> Callable[[Any], Result]:
        cached = lru_cache(maxsize=most)(lambda dumped: function(marshal.loads(dumped)))

        @wraps(function)
        def memoizing(value: Any) -> Result:
            try:
                dumped = marshal.dumps(value, VERSION)
            except ValueError:  # no JSON value: it is not kept
                return function(value)
            return cached(dumped)

        return memoizing

    return decorate
