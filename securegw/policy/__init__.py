"""What shall happen to a mail: facts in, a Decision out. No network, no database."""
