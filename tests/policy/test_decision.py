"""The decision as a value: JSON and back, and what cannot be said at all."""

from __future__ import annotations

import json

import pytest

from securegw.policy.decide import decide
from securegw.policy.decision import Decision, Ruling
from securegw.policy.explain import explain

MUST = (Ruling("encrypt", "must", "r", "why"),)


@pytest.mark.parametrize("subject", ["hello", "[confidential] x", "[plain][priv] x", "[sign] x"])
@pytest.mark.parametrize("usable", [("smime", "carrier"), (), None])
def test_round_trip_through_json(rules, outgoing, subject, usable) -> None:
    decision = decide(outgoing(subject, usable=usable, headers={"x-smenc": "no"}), rules)
    again = Decision.from_dict(json.loads(json.dumps(decision.as_dict())))
    assert again == decision
    assert hash(again) == hash(decision)


@pytest.mark.parametrize(
    "wrong",
    [
        {"outcome": "deliver", "method": "plain"},
        {"outcome": "send"},
        {"outcome": "refuse", "method": "plain"},
        {"outcome": "send", "method": "plain", "rulings": MUST},
        {"outcome": "send", "method": "carrier", "methods": ("smime", "carrier")},
        {"outcome": "send", "method": "plain", "methods": ("plain", "smime")},
    ],
)
def test_what_cannot_be_said(wrong) -> None:
    with pytest.raises(ValueError):
        Decision(reason="x", **wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "plain", "methods": []},
        {"method": "plain"},
        {"sign": "no"},
        {"sign": None},
        {"methods": "smime"},
        {"methods": [1]},
        {"rulings": None},
        {"rulings": [{"aspect": "encrypt"}]},
        {"rulings": ["encrypt"]},
        {"rulings": [{"aspect": "encrypt", "value": 1, "rule": "", "reason": ""}]},
        {"subject": 3},
        {"more": 1},
        {"outcome": None},
    ],
)
def test_a_damaged_row_is_refused(rules, outgoing, change) -> None:
    row = decide(outgoing("[confidential] x"), rules).as_dict()
    with pytest.raises(ValueError):
        Decision.from_dict({**row, **change})


def test_a_row_that_lacks_something_is_refused() -> None:
    with pytest.raises(ValueError):
        Decision.from_dict({"outcome": "send", "method": "plain"})


def test_explained(rules, outgoing) -> None:
    decision = decide(outgoing("[priv] secret name", headers={"x-smenc": "yes"}), rules)
    lines = explain(decision)
    assert lines[0] == 'send: the sender asked for the portal, by rule "asked for the portal"'
    assert "method: carrier" in lines
    assert "subject: keywords are removed" in lines
    assert "fields removed: x-smenc" in lines
    assert any("encrypt = must" in line and "asked for the portal" in line for line in lines)
    assert not any("secret name" in line for line in lines)


def test_explained_refusal(rules, outgoing) -> None:
    lines = explain(decide(outgoing("[confidential] x", usable=()), rules))
    assert lines[0] == 'refuse: no-method, by rule "asked for encryption"'
    assert lines[1].startswith("the sender reads: ")


def test_explained_plain_and_signed(rules, outgoing) -> None:
    assert "method: plain, not encrypted" in explain(decide(outgoing("[plain] x"), rules))
    assert "sign: no" in explain(decide(outgoing("[plain] x"), rules))
    assert "sign: yes, else not sent" in explain(decide(outgoing("[sign] x"), rules))
