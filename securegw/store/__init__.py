"""The drawers: what must survive a restart, in one relational database.

It keeps what it cannot read: bodies and private keys arrive sealed. Not for decisions, and not for logging.
"""
