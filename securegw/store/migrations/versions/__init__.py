"""The schema of the store, one file for each step of its history."""
