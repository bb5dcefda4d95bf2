"""Benchmarks: Headstart beside its peers, in one run, on the same rows and the same weights."""
