"""A language model as judge, and the gate that it must pass itself."""
