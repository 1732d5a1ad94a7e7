"""A served model: starting it, sending requests, reading replies and the tool calls in them, caching replies."""
