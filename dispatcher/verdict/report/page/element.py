"""HTML and SVG as a tree of elements; what serialises the tree escapes every text."""

from __future__ import annotations

from xml.etree import ElementTree as ET

Child = ET.Element | str


def element(tag: str, *children: Child, **attributes: str | float | None) -> ET.Element:
    """An element with its children in order; texts are children like others.

    An attribute of value None is left out. A trailing underscore of a name is dropped (`class_`), and an underscore
    inside is a hyphen (`stroke_width`). Numbers are written to a tenth at most.
    """
    node = ET.Element(tag)
    for name, value in attributes.items():
        if value is not None:
            node.set(name.rstrip("_").replace("_", "-"), value if isinstance(value, str) else tenth(value))
    last: ET.Element | None = None
    for child in children:
        if isinstance(child, ET.Element):
            node.append(child)
            last = child
        elif last is None:
            node.text = (node.text or "") + child
        else:
            last.tail = (last.tail or "") + child
    return node


def tenth(value: float) -> str:
    """A coordinate to a tenth of a unit; the same text on every machine."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def as_html(root: ET.Element) -> str:
    """The whole document as text."""
    return "<!DOCTYPE html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"
