"""evaluate/paper."""
