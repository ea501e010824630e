"""Every talk of SMTP, as it stands and cut into small segments."""

from __future__ import annotations

import pytest

from tests.support.smtp_door import Door
from tests.support.talks import Talk, run_talk, talks

TALKS = talks("smtp")


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.name)
def test_talk(talk: Talk) -> None:
    run_talk(talk, Door())


@pytest.mark.parametrize("split", [1, 2, 3, 5, 7])
@pytest.mark.parametrize(
    "talk", [t for t in TALKS if not t.whole_segments and t.size < 5000], ids=lambda talk: talk.name
)
def test_talk_in_small_segments(talk: Talk, split: int) -> None:
    run_talk(talk, Door(), split)


@pytest.mark.parametrize("split", [4095, 4096, 16383, 16384, 65536])
@pytest.mark.parametrize(
    "talk", [t for t in TALKS if not t.whole_segments and t.size >= 5000], ids=lambda talk: talk.name
)
def test_large_talk_in_segments(talk: Talk, split: int) -> None:
    run_talk(talk, Door(), split)
