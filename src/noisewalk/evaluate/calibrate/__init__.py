"""evaluate/calibrate."""
