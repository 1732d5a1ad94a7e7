"""Results to verdict, as pure functions: paired tests, attribution of a miss, early stopping."""
