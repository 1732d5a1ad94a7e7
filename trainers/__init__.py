"""From rows to a promoted checkpoint, through the gate and no other way.

mlx and mlx_lm are imported by `engine`, `loss`, `model`, `state` and `sft` alone, which run in a process of their own.
"""
