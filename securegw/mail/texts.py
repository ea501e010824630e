"""Texts that persons read: templates of pages and mails, in the reader's language.

Not the mails themselves, see ``compose``. Templates are ours alone: what others wrote comes only as a value, escaped
in HTML. RFC 9110 12.5.4 (Accept-Language).
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable
from pathlib import Path

import attrs
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from securegw.mail.words import plain_line

SOURCE_LANGUAGE = "en"
_RANGE = re.compile(r"([A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*(?:[ \t]*;[ \t]*q=([01](?:\.[0-9]{0,3})?))?")


@attrs.frozen
class Text:
    """What a mail says: one line of subject, the plain text, and the same in HTML if there is any."""

    subject: str
    text: str
    html: str | None = None


def web_folder() -> Path:
    """Templates and static files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "web"
    return installed if installed.is_dir() else package.parent / "web"


class Texts:
    """The templates of one folder, ready in every language that has a catalogue. Can be sent to a worker."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or web_folder()
        found = sorted(path.parent.parent.name for path in self.folder.glob("locale/*/LC_MESSAGES/*.po"))
        self.languages: tuple[str, ...] = tuple(dict.fromkeys([SOURCE_LANGUAGE, *found]))
        self._catalogues = {one: _catalogue(self.folder / "locale" / one / "LC_MESSAGES") for one in self.languages}
        self._environments = {one: _environment(self.folder, self._catalogues[one]) for one in self.languages}

    def __reduce__(self) -> tuple[Callable[[Path], Texts], tuple[Path]]:
        return _texts_of, (self.folder,)

    def render(self, template: str, language: str, /, **values: object) -> str:
        """One template in a language; an unknown language is read in English. A missing value is an error."""
        language = language if language in self._environments else SOURCE_LANGUAGE
        return self._environments[language].get_template(template).render({"language": language, **values})

    def mail(self, name: str, language: str, /, **values: object) -> Text:
        """The three templates of a mail; without ``body.html`` it has no HTML."""
        subject = plain_line(self.render(f"mail/{name}/subject.txt", language, **values)).strip()
        text = self.render(f"mail/{name}/body.txt", language, **values).strip("\n") + "\n"
        with_html = (self.folder / "mail" / name / "body.html").is_file()
        html = self.render(f"mail/{name}/body.html", language, **values) if with_html else None
        return Text(subject, text, html)

    def translate(self, sentence: str, language: str) -> str:
        """A sentence of ours by itself, such as that of an error. Never a part of a template: it is not escaped."""
        catalogue = self._catalogues.get(language)
        return catalogue.gettext(sentence) if catalogue is not None and sentence else sentence

    def best(self, accept_language: str | None, default: str) -> str:
        """The language that a browser likes best among ours (RFC 9110 12.5.4); ``*`` or nothing: the default."""
        ranked: list[tuple[float, int, str]] = []
        for place, part in enumerate((accept_language or "")[:500].split(",")):
            match = _RANGE.fullmatch(part.strip())
            if match is not None and match[1].lower() in self.languages:
                ranked.append((-float(match[2] or 1), place, match[1].lower()))
        weight, _, language = min(ranked, default=(0.0, 0, default))
        return language if weight < 0 else default


@functools.cache
def _texts_of(folder: Path) -> Texts:
    """A worker reads the files once, not with every mail."""
    return Texts(folder)


def _environment(folder: Path, catalogue: Translations) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
        keep_trailing_newline=True,
    )
    environment.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]
    return environment


def _catalogue(folder: Path) -> Translations:
    """All catalogues of a language as one; each room of the house brings its own file."""
    merged = Translations()
    for path in sorted(folder.glob("*.po")):
        compiled = io.BytesIO()
        with path.open("rb") as file:
            write_mo(compiled, read_po(file))
        compiled.seek(0)
        merged.merge(Translations(compiled))
    return merged
