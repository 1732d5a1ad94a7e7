"""Trains a model by a recipe: from rows to a promoted checkpoint, always through the gate.

Only `engine`, `loss`, `model`, `state` and `sft` import mlx and mlx_lm; they run in a process of their own.
"""
