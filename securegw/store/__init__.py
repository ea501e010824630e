"""What is kept: the queue, people, keys, letters, events. It keeps what it cannot read."""
