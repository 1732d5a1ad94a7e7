"""Where a recipe's rows come from: one module a kind, each with `rows(recipe) -> list of chat rows`."""
