"""The table: rows films, columns outputs; and every option with two films."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.acceptance.judge import Cell


@dataclass
class Grid:
    """Cells by row and column; ``empty`` is why a row or a column has none."""

    title: str
    columns: list[str]
    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def put(self, row: str, column: str, cell: Cell) -> None:
        """Set one cell."""
        self.rows.setdefault(row, {})[column] = cell

    def leave(self, row: str, reason: str) -> None:
        """Leave a row empty, and say why."""
        self.rows.setdefault(row, {})
        self.reasons[row] = reason

    @property
    def cells(self) -> list[Cell]:
        """Return all cells that were asked for."""
        return [cell for row in self.rows.values() for cell in row.values()]

    @property
    def failed(self) -> list[tuple[str, str, Cell]]:
        """Return row, column and cell of what is not right."""
        return [
            (row, column, cell)
            for row, cells in self.rows.items()
            for column, cell in cells.items()
            if cell.passed is False
        ]

    def markdown(self) -> str:
        """Return the table, and below it what its cells say."""
        head = ["", *self.columns]
        lines = [f"## {self.title}", "", _line(head), _line(["---"] * len(head))]
        notes: dict[str, int] = {}
        for row, cells in self.rows.items():
            line = [row]
            for column in self.columns:
                cell = cells.get(column)
                line.append(_short(cell, self.reasons.get(row, ""), notes))
            lines.append(_line(line))
        lines += ["", *(f"{number}. {text}" for text, number in notes.items()), ""]
        return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _short(cell: Cell | None, reason: str, notes: dict[str, int]) -> str:
    """Return the cell's sign with the number of its note."""
    text = cell.text if cell else reason or "not asked"
    sign = {None: "", True: "ok", False: "**FAIL**"}[cell.passed if cell else None]
    if not text:
        return sign
    number = notes.setdefault(text.replace("\n", " "), len(notes) + 1)
    return f"{sign} ({number})".strip()
