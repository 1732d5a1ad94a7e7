"""Serve a checkpoint: one module a runtime."""
