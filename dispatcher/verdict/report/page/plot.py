"""The frame that every plot of a page stands in: axes with their marks, lines across, and words."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from dispatcher.verdict.report.page.element import Child, element, tenth
from dispatcher.verdict.report.page.scale import Scale

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 16, 40
"""What the words around the plot take, in units of the drawing."""

_ROOM = 96
"""What words beside an upright line take at most."""
_LETTER = 7
"""What a letter takes, about."""
_BETWEEN = 8

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on an axis and what is written there."""

    value: float
    words: str


def horizontal(low: float, high: float) -> Scale:
    """The scale along the lower edge."""
    return Scale(low, high, LEFT, WIDTH - RIGHT)


def vertical(low: float, high: float) -> Scale:
    """The scale along the left edge, upwards."""
    return Scale(low, high, HEIGHT - BOTTOM, TOP)


def drawing(label: str, *children: Child, width: int = WIDTH, height: int = HEIGHT) -> Element:
    """A plot; `label` says in a sentence what it shows."""
    return element("svg", *children, viewBox=f"0 0 {width} {height}", role="img", aria_label=label)


def axes(x: Scale, y: Scale, along: Sequence[Mark], up: Sequence[Mark], caption: str) -> list[Element]:
    """Both axes with their marks; the upright one's go across as hairlines."""
    drawn = []
    for mark in up:
        at = y(mark.value)
        drawn.append(element("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at))
        drawn.append(words(mark.words, LEFT - 6, at + 4, "mark", anchor="end"))
    drawn += [words(mark.words, x(mark.value), HEIGHT - BOTTOM + 16, "mark", anchor="middle") for mark in along]
    drawn.append(element("line", class_="axis", x1=LEFT, x2=WIDTH - RIGHT, y1=y.start, y2=y.start))
    drawn.append(words(caption, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "mark", anchor="middle"))
    return drawn


def words(text: str, x: float, y: float, class_: str, anchor: str = "start") -> Element:
    """A line of text."""
    return element("text", text, class_=class_, x=x, y=y, text_anchor=anchor)


def across(
    y: float, class_: str, text: str, *, beneath: bool = False, clear_of: Sequence[Sequence[Point]] = ()
) -> list[Element]:
    """A line from left to right with its words above its right end, or beneath it; at its left end where fewer of the
    curves, which are given by their corners, run through them.
    """
    top, bottom = (y, y + 16) if beneath else (y - 16, y)
    through = [place for curve in clear_of for place in _along(curve) if top <= place[1] <= bottom]
    room = _LETTER * len(text)
    on_right = sum(x > WIDTH - RIGHT - room for x, _ in through)
    on_left = sum(x < LEFT + room for x, _ in through) < on_right
    at, anchor = (LEFT + 4, "start") if on_left else (WIDTH - RIGHT, "end")
    return [
        element("line", class_=class_, x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y),
        words(text, at, y + 13 if beneath else y - 4, f"{class_} words", anchor=anchor),
    ]


def _along(corners: Sequence[Point]) -> Iterator[Point]:
    """Places on a curve, at its corners and evenly between two."""
    for (x, y), (to_x, to_y) in itertools.pairwise(corners):
        for step in range(_BETWEEN):
            yield x + (to_x - x) * step / _BETWEEN, y + (to_y - y) * step / _BETWEEN
    yield from corners[-1:]


def upright(x: float, class_: str, text: str, *, on_left: bool) -> list[Element]:
    """A line from bottom to top with its words beside its lower end, on the left or, where there is room, the right."""
    left = on_left or x > WIDTH - RIGHT - _ROOM
    y = HEIGHT - BOTTOM - (10 if on_left else 28)
    return [
        element("line", class_=class_, x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM),
        words(text, x - 5 if left else x + 5, y, f"{class_} words", anchor="end" if left else "start"),
    ]


def line(points: Iterable[Point], class_: str) -> Element:
    """A line through points."""
    return element("polyline", class_=class_, points=" ".join(f"{tenth(x)},{tenth(y)}" for x, y in points))


def dot(x: float, y: float, class_: str, said: str, radius: float = 3.2) -> Element:
    """A point that says what it is when it is pointed at."""
    return element("circle", element("title", said), class_=class_, cx=x, cy=y, r=radius)
