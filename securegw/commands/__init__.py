"""The securegw command."""
