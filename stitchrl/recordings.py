"""Recordings by their path: checked, and either loaded or left on the disk, with what data.json says of them."""

import weakref
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from stitchrl.core.config import unknown
from stitchrl.data.check import check, fingerprint, refuse
from stitchrl.data.columns import Columns
from stitchrl.data.dataset import Dataset
from stitchrl.data.formats import Choice, read
from stitchrl.data.survey import OnDisk, survey
from stitchrl.loops.settings import Settings

SOURCES: dict[int, dict[str, Any]] = {}  # what data.json says of each Dataset that `load` read and that still lives


def load(path: str | Path, format: str | None = None, low: Any = None, high: Any = None, **columns: str) -> Dataset:
    """A recording as a Dataset in its own units. BadData names what must not be trained on.

    `columns`: which columns of a table mean what, by the fields of `stitchrl.data.formats.Choice`:
    load('log.csv', obs='q*,dq*', action='tau*', reward='r', episode='id').
    """
    known = [field.name for field in fields(Choice)]
    for name in columns:
        if name not in known:
            raise unknown(name, known, 'load')
    data, told = load_checked(str(path), format, low, high, Choice(**columns))
    if not columns and low is None and high is None:  # a path and a format find it again
        SOURCES[id(data)] = told | {'format': format}
        weakref.finalize(data, SOURCES.pop, id(data), None)
    return data


def source(data: Dataset | OnDisk | None) -> dict[str, Any] | None:
    """What data.json says of a recording, and under `format` what it was read as; of one that was not read here, or
    that was made of another, only what can be counted. None for none."""
    if data is None:
        return None
    return data.about() if isinstance(data, OnDisk) else SOURCES.get(id(data)) or about(data)


def on_disk(path: str | Path, format: str | None = None, low: Any = None, high: Any = None) -> OnDisk:
    """A recording that stays on the disk, for `train` and `training` to read in blocks: it may be larger than memory.

    It is gone through once. BadData names what must not be trained on, and what cannot be read in parts.
    """
    return survey(path, format, low, high)


def asked(settings: Settings) -> tuple[Dataset | OnDisk, dict[str, Any]]:
    """(the recording that a run is to learn from, what data.json says of it)."""
    assert settings.data is not None
    if settings.stream:
        data = on_disk(settings.data, settings.format)
        return data, data.about()
    return load_checked(settings.data, settings.format)


def load_checked(
    path: str, format: str | None = None, low: Any = None, high: Any = None, choice: Choice | None = None
) -> tuple[Dataset, dict[str, Any]]:
    """(dataset, what data.json says of it)."""
    columns = read(path, format, choice or Choice())
    return checked(columns, str(Path(path).absolute()), low, high)


def checked(columns: Columns, path: str | None, low: Any = None, high: Any = None) -> tuple[Dataset, dict[str, Any]]:
    """A Dataset of columns that passed the checks, and its data.json."""
    findings = check(columns, low, high)
    refuse(findings)
    data = Dataset.from_columns(columns, low, high)
    return data, about(data) | {
        'path': path,
        'fingerprint': fingerprint(columns),
        'notes': list(columns.notes),
        'warnings': [str(finding) for finding in findings],
    }


def about(data: Dataset) -> dict[str, Any]:
    """Counts of a dataset, for data.json."""
    returns = data.returns()
    return {
        'path': None,
        'fingerprint': None,
        'steps': len(data),
        'episodes': len(returns),
        'return_mean': float(np.mean(returns)),
        'return_max': float(np.max(returns)),
        'spec': data.spec.to_json(),
    }
