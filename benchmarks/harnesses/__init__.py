"""The gate beside other harnesses: the same questions, the same server, the same machine, in turns."""
