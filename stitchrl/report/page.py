"""A result as one HTML file that opens anywhere: no network, no script, readable on a phone and on paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from stitchrl.errors import UsageError
from stitchrl.report.picture import Picture
from stitchrl.report.statistics import Interval

MARKS = {  # of a verdict: colour, words for ears, shape
    True: ('good', 'holds', 'M6.5 12.5l3.8 3.8 7.2-8'),
    False: ('bad', 'does not hold', 'M8 8l8 8M16 8l-8 8'),
    None: ('open', 'left open', 'M7 12h10'),
}


@dataclass(frozen=True)
class Verdict:
    """A statement that was put to the test; None where the test left it open."""

    text: str
    holds: bool | None


@dataclass(frozen=True)
class Whisker:
    """A cell of a table: the score in words, and drawn on a scale where every row can be compared."""

    score: Interval
    low: float = 0.0
    high: float = 1.0
    how: str | None = None  # in place of what the interval says of itself

    def at(self, value: float) -> float:
        """Where a value lies on the scale, in percent, at the nearer end if outside."""
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0), 1)

    @property
    def words(self) -> tuple[str, str]:
        """Number and interval, and how they were made."""
        number, _, how = str(self.score).partition(' (')
        return number, self.how or how.removesuffix(')')


@dataclass(frozen=True)
class Table:
    """Rows of cells: anything that prints, or a `Whisker`. The first column names the rows."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading, in this order; `beside` sets its pictures next to one another."""

    title: str
    text: Sequence[str] = ()  # paragraphs
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    beside: bool = False


def write(
    path: str | Path,
    title: str,
    verdict: Sequence[Verdict] = (),
    tables: Sequence[Table] = (),
    pictures: Sequence[Picture] = (),
    notes: Sequence[str] = (),
    reproduce: Mapping[str, Any] | None = None,
    sections: Sequence[Section] = (),
    headline: str | None = None,
) -> Path:
    """Write the page to `path` and return it. Every text is plain text and shown as it stands.

    `tables` and `pictures` come before the `sections`. `headline` stands over the verdict; default: how many hold.

    `reproduce`: what somebody else needs to see the same; `command` stands first, in a box of its own. A
    value may be a mapping or a list. Raises UsageError on a row that is not as long as its header, on a picture
    without `alt` and on bytes that are neither PNG nor WebP.
    """
    sections = [Section('', (), tables, pictures), *sections]
    for section in sections:
        check(section.tables, section.pictures)
    facts = dict(reproduce or {})
    html = template().render(
        title=title,
        verdict=verdict,
        headline=headline or counted(verdict),
        marks=MARKS,
        sections=sections,
        notes=notes,
        command=facts.pop('command', None),
        facts=facts,
    )
    path = Path(path)
    try:
        path.write_text(html, encoding='utf-8')
    except OSError as error:
        raise UsageError(
            f'{path}: cannot be written ({error.strerror}); name a file in a folder that is there'
        ) from None
    return path


def template() -> Any:
    """page.html, with everything that is put into it escaped and nothing left out silently."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    load = FunctionLoader(lambda name: files('stitchrl.report').joinpath(name).read_text('utf-8'))
    env = Environment(loader=load, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.tests |= {'whisker': lambda cell: isinstance(cell, Whisker), 'listed': listed, 'numbers': all}
    env.filters |= {'flush': numeric}
    return env.get_template('page.html')


def counted(verdict: Sequence[Verdict]) -> str:
    """How many statements hold."""
    held, count = sum(one.holds is True for one in verdict), len(verdict)
    if held == count:
        return 'It holds' if held == 1 else f'All {held} statements hold'
    return f'{held} of {count} statements hold'


def listed(value: Any) -> bool:
    """A sequence whose parts are shown one by one."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def check(tables: Sequence[Table], pictures: Sequence[Picture]) -> None:
    """UsageError on tables and pictures that cannot be shown."""
    for table in tables:
        for number, row in enumerate(table.rows, 1):
            if len(row) != len(table.header):
                raise UsageError(
                    f'row {number} of table {table.caption!r} has {len(row)} cells; '
                    f'expected {len(table.header)}, one for each of {list(table.header)}'
                )
    for picture in pictures:
        if not picture.alt.strip():
            raise UsageError(f'the picture {picture.caption!r} has no `alt`; say in a sentence what it shows')


def numeric(table: Table) -> list[bool]:
    """Of each column but the first: does it hold numbers only, to be set flush right?"""
    return [k > 0 and all(is_number(row[k]) for row in table.rows) for k in range(len(table.header))]


def is_number(cell: Any) -> bool:
    """Also one in words, such as 1,000 or 95 %."""
    try:
        float(str(cell).replace(',', '').removesuffix('%'))
    except ValueError:
        return False
    return True
