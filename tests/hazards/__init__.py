"""Every documented hazard as a test, named for it."""
