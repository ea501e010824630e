"""What the administrator reads about an error: one clear line for each mistake, never a traceback.

Only for errors of people and machines: a mistake of ours stays an exception, so that it is seen and mended.
"""

from __future__ import annotations

import os

from sqlalchemy.exc import DatabaseError

from securegw.commands.opening import Refusal
from securegw.config import Mistakes, format_mistake
from securegw.mail.errors import MailError
from securegw.policy.mistakes import RuleMistakes
from securegw.store.troubles import DatabaseTaken, NewerSchema

PLAIN = (DatabaseTaken, NewerSchema)


def sentences(error: Exception) -> list[str]:
    """The lines for an error; none for one that nobody but us can mend."""
    if isinstance(error, Mistakes):
        return [format_mistake(mistake) for mistake in error.mistakes]
    if isinstance(error, RuleMistakes):
        return [str(mistake) for mistake in error.mistakes]
    if isinstance(error, Refusal):
        return list(error.lines)
    line = sentence(error)
    return [line] if line else []


def sentence(error: Exception) -> str:
    """The one line for an error that is one mistake; nothing for ours."""
    if isinstance(error, MailError):
        return f"{error.sentence} ({error.detail})" if error.detail else error.sentence
    if isinstance(error, OSError):
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else str(error)
    if type(error) is DatabaseError:  # its children are mistakes in statements, or told by the store in its own words
        return f"the database cannot be used: {error.orig}"
    return str(error) if isinstance(error, PLAIN) else ""
