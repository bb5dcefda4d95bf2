"""Below the cut: frozen stages, run once for each example in the fastest way that is faithful, and kept."""
