"""Every talk of POP3, as it stands and cut into small segments."""

from __future__ import annotations

import pytest

from tests.support.pop3_door import Door
from tests.support.talks import Talk, run_talk, talks

TALKS = talks("pop3")


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.name)
def test_talk(talk: Talk) -> None:
    run_talk(talk, Door())


@pytest.mark.parametrize("split", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("talk", [t for t in TALKS if not t.whole_segments], ids=lambda talk: talk.name)
def test_talk_in_small_segments(talk: Talk, split: int) -> None:
    run_talk(talk, Door(), split)
