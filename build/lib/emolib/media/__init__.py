"""Sound, video and pictures."""
