"""Pages about the site itself: help, privacy and terms, goodbye, and its files.

Not the sorry pages: those come from errors.
"""

from __future__ import annotations

from securegw.pages import PageRequest, PageWriter, StaticFiles


class About:
    """Pages that need nobody to be signed in."""

    def __init__(self, writer: PageWriter, files: StaticFiles) -> None:
        self.writer = writer
        self.files = files

    def home(self, request: PageRequest) -> bytes:
        return request.see("/help")

    def help(self, request: PageRequest) -> bytes:
        return self.writer.page(request, "help")

    def privacy(self, request: PageRequest) -> bytes:
        return self.writer.page(request, "privacy")

    def signed_out(self, request: PageRequest) -> bytes:
        return self.writer.page(request, "signed-out")

    def static(self, request: PageRequest, name: str) -> bytes:
        return self.files.serve(request, name)
