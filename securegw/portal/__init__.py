"""The portal for recipients: open, read, answer."""
