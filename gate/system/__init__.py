"""The machine: files that outlive a kill, hashing, child processes with limits, the platform, terminal text,
progress."""
