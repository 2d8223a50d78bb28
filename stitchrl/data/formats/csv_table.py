"""CSV: a line of names, then one line per step. Read with the standard library; needs no extra. Imports no JAX.

Commas, semicolons or tabs, whichever the first line has most of. One column of actions that is written in digits
alone ("3", not "3.0") is one of choices; what is written with a point is continuous.
"""

import csv
from collections.abc import Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats import convert, tables
from stitchrl.data.formats.choice import MANY, Choice
from stitchrl.data.formats.convert import human, reading
from stitchrl.errors import BadData

CHOICES = tables.ROLES
MAX_LINE = 2**20  # signs
CELLS = 2**18  # in memory as text at once
FLAGS = {'0': False, '1': True, '0.0': False, '1.0': True, 'false': False, 'true': True}

Rows = Iterator[tuple[int, list[str]]]  # line and cells of each
Block = tuple[int, list[int], list[tuple[str, ...]]]  # first row, line of each row, cells of each wanted column


def read(path: Path, choice: Choice) -> Columns:
    """The chosen columns of a CSV file. BadData, with row, line and column, for what is no number; UsageError for a
    choice that does not fit the names.
    """
    if (size := path.stat().st_size) > convert.MAX_BYTES:
        raise BadData(f'{path}: {human(size)} of text, at most {human(convert.MAX_BYTES)} are read. Fix: save in parts')
    with reading(path, 'CSV', csv.Error), path.open(newline='', encoding='utf-8-sig') as file:
        rows = table(path, file)
        _, header = next(rows, (0, []))
        header = [name.strip() for name in header]
        chosen = tables.select(path, header, choice)
        arrays, notes = Parser(path, chosen).arrays(path, blocks(path, rows, header, chosen))
    return tables.columns(arrays, [*tables.notes_of(chosen), *notes])


def table(path: Path, file: TextIO) -> Rows:
    """(line, cells) of each row that is not blank; a line without end is never read whole."""
    first = next(lines(path, file), '')
    separator = max(',;\t', key=first.count)
    reader = csv.reader(chain([first], lines(path, file)), delimiter=separator, strict=True)
    return ((reader.line_num, cells) for cells in reader if cells)


def lines(path: Path, file: TextIO) -> Iterator[str]:
    """Line after line; BadData for one that is too long."""
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise BadData(f'{path}: a line of more than {MAX_LINE:,} signs. Fix: one line per step, names in the first')
        yield line


def blocks(path: Path, rows: Rows, header: list[str], chosen: tables.Chosen) -> Iterator[Block]:
    """The wanted cells, so many rows at once that their text stays small."""
    names = [name for part in chosen.values() for name in part]
    wanted, many = itemgetter(*map(header.index, names)), max(1, CELLS // len(names))
    start, at, held = 0, [], []
    for line, cells in rows:
        if len(cells) != len(header):
            row = start + len(held)
            raise BadData(
                f'{path}: row {row:,} (line {line:,}) has {len(cells)} cells, but there are {len(header)} names. '
                'Fix: write a cell for every column; a last row that is short was cut, delete it'
            )
        at.append(line)
        held.append(wanted(cells))
        if len(held) == many:
            yield start, at, list(zip(*held, strict=True))
            start, at, held = start + many, [], []
    if held or not start:
        yield start, at, list(zip(*held, strict=True)) or [()] * len(names)


class Parser:
    """From cells to arrays, block by block; keeps what only the whole file can tell."""

    def __init__(self, path: Path, chosen: tables.Chosen):
        self.path, self.chosen = path, chosen
        self.ids: dict[str, int] = {}
        self.choices = len(chosen['action']) == 1  # until a cell says otherwise

    def arrays(self, path: Path, found: Iterator[Block]) -> tuple[dict[str, np.ndarray], list[str]]:
        """(field -> rows, notes)."""
        parts = [self.block(*block) for block in found]
        whole = {field: np.concatenate([part[field] for part in parts]) for field in self.chosen}
        notes = []
        if 'episode' in whole and all(name.lstrip('-').isdecimal() and len(name) < 19 for name in self.ids):
            whole['episode'] = np.array(list(map(int, self.ids)), np.int64)[whole['episode']]
        elif 'episode' in whole:
            notes.append(f'episode: {len(self.ids):,} names, numbered as they come')
        if len(self.chosen['action']) == 1:
            (name,) = self.chosen['action']
            if self.choices:
                notes.append(f'actions: {name} is written in digits alone, so as choices; 1.0 would be continuous')
            whole['action'] = whole['action'][:, 0].astype(np.int64) if self.choices else whole['action']
            whole['action'] = convert.convert(path, 'action', name, whole['action'], [])
        return whole, notes

    def block(self, start: int, at: list[int], cells: list[tuple[str, ...]]) -> dict[str, np.ndarray]:
        """The fields of some rows."""
        left, found = iter(cells), {}
        for field, names in self.chosen.items():
            columns = [next(left) for _ in names]
            if field == 'episode':
                found[field] = np.array([self.ids.setdefault(cell.strip(), len(self.ids)) for cell in columns[0]], int)
            elif field in convert.FLAGS:
                found[field] = self.flags(names[0], start, at, columns[0])
            else:
                self.choices &= field != 'action' or all(cell.strip().isdecimal() for cell in columns[0])
                exact = field == 'time' or (field == 'action' and len(names) == 1)
                kind = np.float64 if exact else np.float32
                parts = [self.numbers(name, start, at, x) for name, x in zip(names, columns, strict=True)]
                found[field] = (np.stack(parts, axis=1) if field in MANY else parts[0]).astype(kind)
        return found

    def numbers(self, name: str, start: int, at: list[int], cells: tuple[str, ...]) -> np.ndarray:
        """float64 [rows]."""
        try:
            if '_' in ''.join(cells):  # Python would take 1_000 for a number
                raise ValueError
            return np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            bad = next(i for i, cell in enumerate(cells) if not number(cell))
            line = f' (line {at[bad]:,})'
            raise tables.not_a_number(self.path, name, start + bad, cells[bad].strip(), line) from None

    def flags(self, name: str, start: int, at: list[int], cells: tuple[str, ...]) -> np.ndarray:
        """bool [rows]."""
        found = [FLAGS.get(cell.strip().lower()) for cell in cells]
        if None in found:
            bad = found.index(None)
            what = f'{name}, row {start + bad:,} (line {at[bad]:,}): {cells[bad][:40]!r} is no flag'
            raise BadData(f'{self.path}: {what}. Fix: write 0 and 1, or true and false')
        return np.array(found, bool)


def number(cell: str) -> bool:
    """Whether a cell is one number."""
    try:
        float(cell)
    except ValueError:
        return False
    return '_' not in cell
