"""What runs in a child process with limits (gate.sandbox): readers of bytes that nobody has vouched for."""
