"""Transition kernels."""
