"""What was understood of particles, as text with colours."""

from html import escape
from typing import Any


def report_text(report: Any) -> str:
    """A table of what a report of the particles says, with its warnings and errors beneath."""
    rows = [line.strip() for line in report.lines[1:] if not line.strip().startswith(("warning:", "error:"))]
    parts = [f"<b>{escape(report.kind.capitalize())}</b>"]
    cells = [row.partition("  ") for row in rows]
    table = "".join(
        f"<tr><td style='padding-right:12px'>{escape(name)}</td><td>{escape(value.strip())}</td></tr>"
        for name, _, value in cells
    )
    parts.append(f"<table>{table}</table>")
    parts += [f"<span style='color:#ffca6e'>{escape(sentence)}</span>" for sentence in report.warnings]
    parts += [problem_text(sentence) for sentence in report.errors]
    return "<br>".join(parts).replace("</b><br>", "</b>").replace("</table><br>", "</table>")


def problem_text(sentence: str) -> str:
    """What went wrong, in red."""
    return f"<span style='color:#ff8a80'>{escape(sentence)}</span>"
