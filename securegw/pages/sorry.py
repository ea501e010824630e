"""Says what went wrong with a request, as a value that becomes a page.

Not an error of a mail: those come from below and a door translates them with a small table.
"""

from __future__ import annotations

from collections.abc import Mapping


class Sorry(Exception):
    """A page that says: what, why, and what to do. ``key`` names its words (web/portal/sorry.html).

    ``fields`` are those of the form that could be read, so that nothing typed is lost.
    """

    def __init__(
        self, status: int, key: str = "", *, detail: str = "", fields: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.key = key or str(status)
        self.detail = detail
        self.fields = fields or {}
        super().__init__(f"{self.key} {detail}".strip())
