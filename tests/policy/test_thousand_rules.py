"""A thousand rules of one's own in front of the shipped ones do not change what the shipped ones decide."""

from __future__ import annotations

import pytest

from bench.rules import KINDS, document
from securegw.policy.decide import decide
from securegw.policy.rules import read_rules


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_rules(outgoing, kind) -> None:
    facts = outgoing("Re: [confidential] the results of last week", headers={"x-class": "none"}, size=5000)
    assert decide(facts, read_rules(document(kind, 1000))).rule == "asked for encryption"
