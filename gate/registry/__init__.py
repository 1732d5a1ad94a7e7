"""Slots, ledger, policy, promotion, release, signatures, contaminated cases, rounds."""
