"""Comparison: transfer against no transfer on examples no choice was made on, and what that proves."""
