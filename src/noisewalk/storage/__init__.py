"""Runs on disk and in memory: draws are written as they come and survive a kill."""
