"""Kinds of settings: declare, read (TOML), check, describe.

Not the settings themselves: each is declared beside the code that obeys it. The environment is never read.

    @attrs.frozen
    class SmtpSettings:
        '''The door for mail. ...'''

        listen: str = setting(endpoint, "tcp:25", help="Where the door is.")
        certificate: Path | None = setting(path, None, help="Certificate with its chain, in PEM.")

A default is written as in the file. A whole is a class whose attributes are made by ``section``.
"""

from __future__ import annotations

from securegw.config.declare import REQUIRED, section, setting
from securegw.config.describe import describe
from securegw.config.kinds import (
    Kind,
    Network,
    boolean,
    choice,
    duration,
    endpoint,
    host,
    list_of,
    network,
    number,
    path,
    size,
    text,
    url,
)
from securegw.config.mistakes import Mistake, Mistakes, format_mistake
from securegw.config.reading import read

__all__ = [
    "REQUIRED",
    "Kind",
    "Mistake",
    "Mistakes",
    "Network",
    "boolean",
    "choice",
    "describe",
    "duration",
    "endpoint",
    "format_mistake",
    "host",
    "list_of",
    "network",
    "number",
    "path",
    "read",
    "section",
    "setting",
    "size",
    "text",
    "url",
]
