# SPDX-License-Identifier: MIT
"""Panels of horizontal bars as SVG text, without any library."""
from html import escape

COLOURS = {"int": "#2b6cb0", "fp": "#c05621", "debian": "#2f855a", "process": "#6b46c1"}
LABELS = {"int": "integer", "fp": "floating point", "debian": "Debian", "process": "processes"}
ROW, LEFT, WIDTH, TOP, GAP = 18, 300, 620, 40, 50


def panel(title, rows, top):
    """SVG elements and the height they take. rows: (name, group, value), drawn by group and value; the dashed line is at 1.0."""
    rows = sorted(rows, key=lambda r: (list(COLOURS).index(r[1]), -r[2]))
    scale = WIDTH / max([value for _, _, value in rows] + [1.0])
    out = [f'<text x="10" y="{top + 8}" font-size="14">{escape(title)}</text>']
    for index, (name, group, value) in enumerate(rows):
        y = top + 22 + index * ROW
        out.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<rect x="{LEFT}" y="{y + 2}" width="{value * scale:.1f}" height="{ROW - 5}" fill="{COLOURS[group]}"/>')
        out.append(f'<text x="{LEFT + value * scale + 5:.1f}" y="{y + 12}">{f"{value:.2f}" if value else "failed"}</text>')
    one, bottom = LEFT + scale, top + 22 + ROW * len(rows)
    out.append(f'<line x1="{one:.1f}" y1="{top + 16}" x2="{one:.1f}" y2="{bottom + 4}" stroke="#444" stroke-dasharray="4 3"/>')
    groups = [group for group in COLOURS if any(row[1] == group for row in rows)]
    for index, group in enumerate(groups if len(groups) > 1 else []):
        x = LEFT + index * 130
        out.append(f'<rect x="{x}" y="{bottom + 10}" width="12" height="12" fill="{COLOURS[group]}"/>'
                   f'<text x="{x + 18}" y="{bottom + 20}">{LABELS[group]}</text>')
    return out, bottom - top + GAP


def bars(title, panels):
    """panels: (title, rows) one below the other."""
    body, y = [], TOP + 10
    for name, rows in panels:
        lines, height = panel(name, rows, y)
        body += lines
        y += height
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 70}" height="{y}" '
                      'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>',
                      f'<text x="10" y="22" font-size="16">{escape(title)}</text>', *body]) + "\n</svg>\n"
