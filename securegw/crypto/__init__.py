"""Sealing, signing and opening: keys go in as bytes, mails come out. Plain functions for workers."""
