"""What runs in a child process with limits (gate.system.sandbox): readers of bytes that nobody has vouched for."""
