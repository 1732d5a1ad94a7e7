"""Serve a checkpoint: one module a runtime, all through the hook that other plugins can use too."""
