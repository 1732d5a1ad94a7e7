"""`gate proxy`: an OpenAI-compatible pass-through that records real traffic for `gate add`."""
