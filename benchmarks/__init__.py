"""Benchmarks. As for users, modules are compiled once, not by each process again."""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
