"""securegw: the secure e-mail gateway between an organisation's mail server and the Internet."""

__version__ = "0.1.0"
