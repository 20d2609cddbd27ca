"""
Small plots as SVG, in colours that can be read on white and on black.

    lines(path, title="…", across="nodes", up="round trips", places=["1", "4"], series={"median": [3, 4]}, aim=15)

Each place has the same distance to the next, whatever the numbers are; the vertical axis begins at 0.
"""

from html import escape

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 56, 48
COLOURS = ("#2f81f7", "#d9822b", "#3fa45b", "#a371f7")
TEXT, GRID = "#768390", "#76839055"


def lines(path, *, title, across, up, places, series, aim=None):
    """
    Write one plot.

    Args:
        series: Name -> a number for each of *places*. aim: where to draw a dashed line.
    """
    top = _nice(max([*(value for values in series.values() for value in values), aim or 0]))
    x = _spread(len(places))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        f' font-family="system-ui, sans-serif" font-size="12" fill="{TEXT}">',
        f"<title>{escape(title)}</title>",
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="600">{escape(title)}</text>',
    ]
    for step in range(5):
        value = top * step / 4
        parts += [
            f'<path d="M{LEFT} {_y(value, top):.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>',
            _text(LEFT - 8, _y(value, top) + 4, f"{value:g}", "end"),
        ]
    parts += [_text(at, HEIGHT - BOTTOM + 18, place) for at, place in zip(x, places, strict=True)]
    parts += [
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, across),
        f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">',
        f"{escape(up)}</text>",
    ]
    if aim is not None:
        dashed = f'stroke="{TEXT}" stroke-dasharray="5 4"'
        parts += [
            f'<path d="M{LEFT} {_y(aim, top):.1f}H{WIDTH - RIGHT}" {dashed}/>',
            _text(WIDTH - RIGHT, _y(aim, top) - 5, f"aim: {aim:g}", "end"),
        ]
    for number, (name, values) in enumerate(series.items()):
        parts += _line(name, [(at, _y(value, top)) for at, value in zip(x, values, strict=True)], number)
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def bars(path, *, title, rows, aim=None):
    """
    Write a plot of horizontal bars, from 0 to 1.

    Args:
        rows: (name, value, whether it is ours). aim: where to draw a dashed line.
    """
    left, height, step = 330, 56 + 22 * len(rows) + 24, 22
    x = lambda value: left + (WIDTH + 120 - left - 60) * min(value, 1.1)  # noqa: E731  a scale, used four times
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 120} {height}" role="img"',
        f' font-family="system-ui, sans-serif" font-size="12" fill="{TEXT}">',
        f"<title>{escape(title)}</title>",
        f'<text x="16" y="20" font-size="14" font-weight="600">{escape(title)}</text>',
    ]
    for value in (0, 0.25, 0.5, 0.75, 1):
        parts += [
            f'<path d="M{x(value):.1f} 40V{height - 20}" stroke="{GRID}"/>',
            _text(x(value), height - 6, f"{value:g}"),
        ]
    if aim is not None:
        parts.append(f'<path d="M{x(aim):.1f} 40V{height - 20}" stroke="{TEXT}" stroke-dasharray="5 4"/>')
    for number, (name, value, is_ours) in enumerate(rows):
        y = 48 + step * number
        parts += [
            _text(left - 8, y + 11, name, "end"),
            f'<rect x="{left}" y="{y}" width="{x(value) - left:.1f}" height="14"',
            f' fill="{COLOURS[0 if is_ours else 1]}"/>',
            _text(x(value) + 6, y + 11, f"{value:.2f}", "start"),
        ]
    parts += [
        f'<rect x="{left}" y="28" width="10" height="10" fill="{COLOURS[0]}"/>',
        _text(left + 16, 37, "Coatcheck", "start"),
        f'<rect x="{left + 100}" y="28" width="10" height="10" fill="{COLOURS[1]}"/>',
        _text(left + 116, 37, "others", "start"),
    ]
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _line(name, points, number):
    colour = COLOURS[number % len(COLOURS)]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
    at = LEFT + number * 150
    yield f'<rect x="{at}" y="32" width="10" height="10" fill="{colour}"/>'
    yield _text(at + 16, 41, name, "start")


def _text(x, y, words, anchor="middle"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _y(value, top):
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top


def _spread(count):
    wide = WIDTH - LEFT - RIGHT
    return [LEFT + wide * (number + 0.5) / count for number in range(count)]


def _nice(value):
    """The first number with an even quarter that is not below *value*."""
    step = 10.0**-3
    while True:
        for factor in (1, 2, 4, 8):
            if step * factor >= value:
                return step * factor
        step *= 10
