"""The ratios of a run as bars: docs/performance.svg."""

import statistics
from xml.sax.saxutils import escape

WIDTH, LEFT, BAR, GAP = 860, 280, 14, 18
MOST = 3.0


def draw(works, rows, path):
    """Daypass beside nginx, one bar a work; the goal as a line across its bar."""
    shown = [work for work in works if {"nginx", "daypass"} <= rows[work.name].keys()]
    height = len(shown) * (BAR + GAP) + 70
    scale = (WIDTH - LEFT - 90) / MOST
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>', '<text x="10" y="22" font-size="15">CPU per request as a multiple of nginx, a proxy that verifies nothing</text>']
    for index in range(int(MOST) + 1):
        x = LEFT + index * scale
        parts.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="38" y2="{height - 24}" stroke="#ddd"/><text x="{x:.0f}" y="{height - 8}" text-anchor="middle" fill="#666">{index}</text>')
    for index, work in enumerate(shown):
        y = 44 + index * (BAR + GAP)
        ratio = statistics.median(mine["micros"] / theirs["micros"] for mine, theirs in zip(rows[work.name]["daypass"], rows[work.name]["nginx"]))
        length = min(ratio, MOST) * scale
        parts.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(work.name)}</text><rect x="{LEFT}" y="{y}" width="{length:.0f}" height="{BAR}" fill="#3b6ea5"/>'
                     f'<text x="{LEFT + length + 6:.0f}" y="{y + 12}">{ratio:.2f}</text>')
        if work.goal:
            x = LEFT + work.goal * scale
            parts.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{y - 3}" y2="{y + BAR + 3}" stroke="#c0392b" stroke-width="2"/>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")
