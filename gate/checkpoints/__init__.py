"""Which bytes: what a path is, its digest, its tensors, probes in child processes with limits, the demo model."""
