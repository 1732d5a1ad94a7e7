"""What is measured runs as it does for its users: a module is compiled once, and not by each process again."""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
