"""The paper's evaluation: presets, the grid of runs, tables and figures."""
