"""Learning above a cut: the losses, what chance decides, the one loop, and a strategy's way through it."""
