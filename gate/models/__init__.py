"""A served model: starting it, asking it, its replies, calls written as text, the reply cache."""
