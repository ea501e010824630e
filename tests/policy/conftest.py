"""Two people, one default rule document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from securegw.policy.facts import Facts
from securegw.policy.rules import Rules, default_rules_text, read_rules


@pytest.fixture(scope="session")
def rules() -> Rules:
    return read_rules(default_rules_text())


@pytest.fixture(scope="session")
def outgoing() -> Callable[..., Facts]:
    """Facts of a mail by ann@inside.test to bob@outside.test, who can be reached by every method."""

    def make(
        subject: str = "hello",
        *,
        usable: Iterable[str] | None = ("smime", "carrier"),
        headers: Mapping[str, str] = {},
        inside: bool = True,
        **more: Any,
    ) -> Facts:
        fields = {name.lower(): (value,) for name, value in headers.items()}
        values = {
            "direction": "outgoing",
            "sender": "ann@inside.test",
            "recipient": "bob@outside.test",
            **more,
        }
        return Facts(subject=subject, headers={"subject": (subject,), **fields}, inside=inside, usable=usable, **values)

    return make
