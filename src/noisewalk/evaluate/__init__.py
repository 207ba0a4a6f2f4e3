"""Judging samples: metrics, diagnostics, baselines, calibration and the paper's evaluation."""
