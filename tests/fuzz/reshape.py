"""Changes BER where it means something: a value is left out, doubled, moved, given another tag or content.

Bytes bent at random seldom get beyond the lengths; here they fit again, told or not told.
"""

from __future__ import annotations

import random

import attrs

from securegw.crypto import ber, der
from securegw.mail.errors import NotExamined

DEPTH = 24
TAGS = (0x02, 0x03, 0x04, 0x05, 0x06, 0x17, 0x18, 0x24, 0x30, 0x31, 0x80, 0x81, 0xA0, 0xA1, 0xA2, 0xA3)


@attrs.define(eq=False)
class Node:
    """A value: its content, or the values inside."""

    tag: int
    content: bytes = b""
    children: list[Node] = attrs.Factory(list)

    def every(self) -> list[Node]:
        return [self, *(node for child in self.children for node in child.every())]

    def encoded(self, source: random.Random) -> bytes:
        if not self.children:
            return der.tlv(self.tag, self.content)
        inside = b"".join(child.encoded(source) for child in self.children)
        if self.tag & ber.CONSTRUCTED and source.random() < 0.05:
            return bytes((self.tag, 0x80)) + inside + b"\0\0"
        return der.tlv(self.tag, inside)


def tree(element: ber.Element, depth: int = DEPTH) -> Node:
    """What is inside of an OCTET STRING is looked at too, where it is a value."""
    if depth and element.tag & ber.CONSTRUCTED:
        return Node(element.tag, children=[tree(child, depth - 1) for child in element.parts(0, 64)])
    if depth and element.tag == ber.OCTETS and element.content[:1] in (b"\x30", b"\x31", b"\x06"):
        try:
            return Node(element.tag, children=[tree(ber.whole(element.content), depth - 1)])
        except NotExamined:
            pass
    return Node(element.tag, element.content)


def reshaped(source: random.Random, data: bytes) -> bytes:
    """The same value with one to three changes; what is no BER stays as it is."""
    try:
        root = tree(ber.whole(data))
    except NotExamined:
        return data
    for _ in range(source.randrange(1, 4)):
        change(source, root)
    return root.encoded(source)


def change(source: random.Random, root: Node) -> None:
    every = root.every()
    node, other = source.choice(every), source.choice(every)
    match source.randrange(6):
        case 0 if node.children:
            node.children.pop(source.randrange(len(node.children)))
        case 1 if node.children:
            node.children.append(source.choice(node.children))
        case 2 if node.children and root not in other.every() and node not in other.every():
            node.children[source.randrange(len(node.children))] = other
        case 3 if node.children:
            source.shuffle(node.children)
        case 4:
            node.tag = source.choice(TAGS)
        case _:
            bend(source, node)


def bend(source: random.Random, node: Node) -> None:
    if node.children:
        return
    content = bytearray(node.content or b"\0")
    content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    node.content = source.choice((bytes(content), b"", node.content[:-1], node.content * 2, source.randbytes(8)))
