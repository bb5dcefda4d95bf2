"""How fast Headstart and its peers are: fresh processes, in turn, on the same rows and the same weights."""
