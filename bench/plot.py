# SPDX-License-Identifier: MIT
"""One horizontal bar chart as SVG text, without any library."""

COLOURS = {"int": "#2b6cb0", "fp": "#c05621"}
ROW, LEFT, WIDTH, TOP = 18, 110, 620, 50


def bars(title, rows):
    """rows: (name, group, value), drawn by group and value; the line at 1.0 is where both are equal."""
    rows = sorted(rows, key=lambda r: (r[1] != "int", -r[2]))
    largest = max([value for _, _, value in rows] + [1.0])
    scale = WIDTH / largest
    height = TOP + ROW * len(rows) + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 70}" height="{height}" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="10" y="22" font-size="15">{title}</text>']
    for index, (name, group, value) in enumerate(rows):
        y = TOP + index * ROW
        out.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{name}</text>')
        out.append(f'<rect x="{LEFT}" y="{y + 2}" width="{value * scale:.1f}" height="{ROW - 5}" fill="{COLOURS[group]}"/>')
        out.append(f'<text x="{LEFT + value * scale + 5:.1f}" y="{y + 12}">{value:.2f}</text>')
    one, bottom = LEFT + scale, TOP + ROW * len(rows)
    out.append(f'<line x1="{one:.1f}" y1="{TOP - 8}" x2="{one:.1f}" y2="{bottom + 4}" stroke="#444" stroke-dasharray="4 3"/>')
    for index, (group, colour) in enumerate(COLOURS.items()):
        x = LEFT + index * 130
        label = {"int": "integer", "fp": "floating point"}[group]
        out.append(f'<rect x="{x}" y="{bottom + 16}" width="12" height="12" fill="{colour}"/>'
                   f'<text x="{x + 18}" y="{bottom + 26}">{label}</text>')
    return "\n".join(out) + "\n</svg>\n"
