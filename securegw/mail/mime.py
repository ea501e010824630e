"""MIME as other rooms use it: ``parts`` takes a mail apart, ``bodies`` sorts the parts for reading.

No code of its own.
"""

from __future__ import annotations

from securegw.mail.bodies import Bodies, bodies
from securegw.mail.parts import Part, content_type, parse

__all__ = ["Bodies", "Part", "bodies", "content_type", "parse"]
