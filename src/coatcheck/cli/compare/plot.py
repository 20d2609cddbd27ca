"""
Draws what was measured as one SVG, in colours that can be read on white and on black. Floor 6; may import: nothing of
ours.

Four small pictures, one for each kind of figure; a bar for each way, on a scale of its own that begins at 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

WIDTH, ROW, BAR, GAP = 640, 22, 14, 34
LEFT, RIGHT, TOP = 84, 132, 40
COLOURS = ("#2f81f7", "#d9822b", "#3fa45b", "#a371f7")
TEXT, GRID = "#768390", "#76839055"


def bars(title: str, pictures: Mapping[str, Mapping[str, tuple[float, str]]]) -> str:
    """
    Return the text of an SVG.

    Args:
        pictures: By their titles, name of a bar -> how long it is, and what is written beside it.
    """
    height = TOP + sum(GAP + ROW * len(values) for values in pictures.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"',
        f' font-family="system-ui, sans-serif" font-size="12" fill="{TEXT}">',
        f"<title>{escape(title)}</title>",
        f'<text x="{LEFT}" y="22" font-size="14" font-weight="600">{escape(title)}</text>',
    ]
    y = TOP
    for what, values in pictures.items():
        parts += _picture(what, values, y)
        y += GAP + ROW * len(values)
    return "\n".join([*parts, "</svg>", ""])


def _picture(what: str, values: Mapping[str, tuple[float, str]], y: int) -> Iterator[str]:
    wide = WIDTH - LEFT - RIGHT
    most = max(value for value, _ in values.values()) or 1.0
    yield f'<text x="{LEFT}" y="{y + 14}" font-weight="600">{escape(what)}</text>'
    first = y + 22
    yield f'<path d="M{LEFT} {first - 2}V{first + ROW * len(values) - 4}" stroke="{GRID}"/>'
    for number, (name, (value, said)) in enumerate(values.items()):
        at, long = first + ROW * number, max(1.0, wide * value / most)
        colour = COLOURS[number % len(COLOURS)]
        yield f'<text x="{LEFT - 8}" y="{at + 11}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect x="{LEFT}" y="{at}" width="{long:.1f}" height="{BAR}" fill="{colour}"/>'
        yield f'<text x="{LEFT + long + 6:.1f}" y="{at + 11}">{escape(said)}</text>'
