"""Makes a recipe's rows: one module per kind, each with `rows(recipe)`, which returns chat rows."""
