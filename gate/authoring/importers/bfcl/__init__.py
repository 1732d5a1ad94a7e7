"""The Berkeley Function Calling Leaderboard (bfcl-eval) as cases."""
