"""The report: what the main job found, as one page that needs no network, and as JSON."""
