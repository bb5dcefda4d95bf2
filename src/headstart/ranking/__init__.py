"""Ranking: which source, which cut, and whether to transfer at all, before anything is trained."""
