"""Before a checkpoint is served: what its files show to be wrong. One module a family of checks."""
