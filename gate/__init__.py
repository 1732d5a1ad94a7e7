"""A test-driven evaluation and regression gate for small fine-tuned language models."""

__version__ = "0.1.0"
