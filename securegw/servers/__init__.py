"""The doors: each holds a dialogue and decides nothing."""
