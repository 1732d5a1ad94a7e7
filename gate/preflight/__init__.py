"""Checks of the files of a checkpoint before it is served; one module for each family of checks."""
