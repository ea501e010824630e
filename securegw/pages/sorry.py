"""Says what went wrong with a request, as a value that becomes a page.

Not an error of a mail: those come from below and a door translates them with a small table.
"""

from __future__ import annotations


class Sorry(Exception):
    """A page that says: what, why, and what to do. ``key`` names its words (web/portal/sorry.html)."""

    def __init__(self, status: int, key: str = "", *, detail: str = "") -> None:
        self.status = status
        self.key = key or str(status)
        self.detail = detail
        super().__init__(f"{self.key} {detail}".strip())
