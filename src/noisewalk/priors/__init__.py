"""Pretrained networks and where they come from."""
