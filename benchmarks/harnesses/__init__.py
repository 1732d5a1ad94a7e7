"""Compares the gate with other harnesses: the same questions, the same server, the same machine, in turns."""
