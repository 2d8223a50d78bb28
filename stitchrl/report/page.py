"""A result as one HTML file that opens anywhere: no network, no script, readable on a phone and on paper."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from stitchrl.errors import UsageError
from stitchrl.report.statistics import Interval


@dataclass(frozen=True)
class Verdict:
    """A statement that was put to the test."""

    text: str
    holds: bool


@dataclass(frozen=True)
class Whisker:
    """A cell of a table: the score in words, and drawn on a scale where every row can be compared."""

    score: Interval
    low: float = 0.0
    high: float = 1.0

    def at(self, value: float) -> float:
        """Where a value lies on the scale, in percent, at the nearer end if outside."""
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0), 1)

    @property
    def words(self) -> tuple[str, str]:
        """Number and interval, and how they were made."""
        number, _, how = str(self.score).partition(' (')
        return number, how.removesuffix(')')


@dataclass(frozen=True)
class Table:
    """Rows of cells: anything that prints, or a `Whisker`. The first column names the rows."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Picture:
    """A PNG, or the text of an SVG; `alt` tells those who cannot see it what it shows."""

    image: bytes | str
    caption: str
    alt: str

    @property
    def source(self) -> str:
        """The picture as an address that holds it; a script in an SVG does not run there."""
        kind, image = ('svg+xml', self.image.encode()) if isinstance(self.image, str) else ('png', self.image)
        return f'data:image/{kind};base64,{base64.b64encode(image).decode()}'

    @property
    def width(self) -> int | None:
        """What a PNG asks for, in the page's pixels of 1/96 inch, so that letters in all pictures are alike."""
        if isinstance(self.image, str):
            return None
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(BytesIO(self.image), formats=['PNG']) as image:
                return round(image.width / image.info.get('dpi', (96, 96))[0] * 96)
        except UnidentifiedImageError:
            raise UsageError(f'the picture {self.caption!r} is neither a PNG nor the text of an SVG') from None


def write(
    path: str | Path,
    title: str,
    verdict: Sequence[Verdict] = (),
    tables: Sequence[Table] = (),
    pictures: Sequence[Picture] = (),
    notes: Sequence[str] = (),
    reproduce: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page to `path` and return it. Every text is plain text and shown as it stands.

    `reproduce`: what somebody else needs to see the same; `command` stands first, in a box of its own. A
    value may be a mapping or a list. Raises UsageError on a row that is not as long as its header, on a picture
    without `alt` and on bytes that are no PNG.
    """
    check(tables, pictures)
    facts = dict(reproduce or {})
    html = template().render(
        title=title,
        verdict=verdict,
        tables=[(table, numeric(table)) for table in tables],
        pictures=pictures,
        notes=notes,
        command=facts.pop('command', None),
        facts=facts,
    )
    path = Path(path)
    path.write_text(html, encoding='utf-8')
    return path


def template() -> Any:
    """page.html, with everything that is put into it escaped and nothing left out silently."""
    from jinja2 import Environment, StrictUndefined

    env = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.tests |= {'whisker': lambda cell: isinstance(cell, Whisker), 'listed': listed}
    return env.from_string(files('stitchrl.report').joinpath('page.html').read_text('utf-8'))


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
