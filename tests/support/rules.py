"""Rules for a test: its own in front of the shipped ones, in force at once."""

from __future__ import annotations

from securegw.policy.rules import default_rules_text, read_rules
from securegw.store import rulebook
from tests.support.world import World


def own_rules(own: str, sections: str = "") -> str:
    """The shipped document with these rules in front, and these sections behind."""
    text = default_rules_text().replace("\n[[rule]]\n", f"\n{own}\n[[rule]]\n", 1)
    return f"{text}\n{sections}"


def load(world: World, own: str, sections: str = "") -> None:
    """Put them in force in a world."""
    text = own_rules(own, sections)
    read_rules(text)
    world.write(rulebook.save, text, "test", world.clock.seconds())
    world.wait(world.house.places.refresh())
