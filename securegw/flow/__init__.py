"""The hall: the journey of a mail from its acceptance to its delivery."""
