"""LeRobot v3: a folder of Parquet tables with one row per frame, many episodes in a file. Needs the extra `tables`.

    meta/info.json                       version, counts; nothing else in it is used, no path, no template
    data/chunk-000/file-000.parquet      observation.state, action, episode_index, frame_index, timestamp,
                                         and of simulations next.reward, next.done, next.success

Videos stay where they are. `next.done` is set on last frames whatever ended the episode, so alone it is an end of the
recording; it ends the task where `next.success` says so as well, or where --terminal next.done is chosen.
"""

import re
from pathlib import Path

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats import parquet, tables
from stitchrl.data.formats.choice import Choice
from stitchrl.data.formats.convert import MAX_BYTES, human, missing
from stitchrl.data.formats.folders import inside, plain_json
from stitchrl.data.formats.trajectories import natural
from stitchrl.errors import BadData

CHOICES = ('obs', 'action', 'reward', 'terminal', 'timeout')
ABOUT = Path('meta', 'info.json')
FIXED = {'episode': 'episode_index', 'frame': 'frame_index', 'time': 'timestamp'}
USUAL = {'obs': 'observation.state', 'action': 'action', 'reward': 'next.reward'}
ENDS = {'done': 'next.done', 'success': 'next.success'}
COUNTS = ('total_episodes', 'total_frames')


def data_folder(path: Path) -> Path | None:
    """The folder itself, where it is one of LeRobot's."""
    return path if (path / ABOUT).is_file() else None


def read(path: Path, choice: Choice) -> Columns:
    """The columns of a dataset. BadData for what cannot be used, UsageError for a choice that does not fit."""
    about = plain_json(inside(path, path / ABOUT))
    version = about.get('codebase_version')
    if not (isinstance(version, str) and re.fullmatch(r'v?3\.\d+', version)):
        raise BadData(f"{path / ABOUT}: version {version!r}, expected v3. Fix: convert it with LeRobot's own converter")
    files = tables_of(path)
    parts = [part(file, choice) for file in files]
    for file, (arrays, chosen, _) in zip(files, parts, strict=True):
        if chosen != parts[0][1] or any(x.shape[1:] != parts[0][0][name].shape[1:] for name, x in arrays.items()):
            what = f'has other columns or widths than {files[0].name}'
            raise BadData(f'{file}: {what}. Fix: copy the whole dataset again')
    whole = {field: np.concatenate([arrays[field] for arrays, _, _ in parts]) for field in parts[0][0]}
    agree(path, whole, about)
    notes = [*tables.notes_of(parts[0][1]), *parts[0][2]]
    done, won, _ = (whole.pop(field, None) for field in (*ENDS, 'frame'))
    if done is not None:
        whole['terminal'] = success(done, won, notes)
    return tables.columns(whole, notes)


def tables_of(path: Path) -> list[Path]:
    """The tables, in the order of their numbers."""
    found = [file for file in (path / 'data').glob('chunk-*/file-*.parquet') if file.is_file()]
    files = [inside(path, file) for file in sorted(found, key=lambda file: natural(f'{file.parent.name}/{file.name}'))]
    if not files:
        raise BadData(f'{path}: no data/chunk-000/file-000.parquet. Fix: copy the whole dataset again')
    if (total := sum(file.stat().st_size for file in files)) > MAX_BYTES:
        raise BadData(f'{path}: {human(total)} of tables, at most {human(MAX_BYTES)} are read. Fix: read it in parts')
    return files


def part(file: Path, choice: Choice) -> tuple[dict[str, np.ndarray], tables.Chosen, list[str]]:
    """(field -> rows, what was chosen, notes) of one table."""
    with parquet.opened(file) as source:
        names = source.schema_arrow.names
        for name in FIXED.values():
            if name not in names:
                raise missing(file, name, names)
        usual = {field: name for field, name in USUAL.items() if name in names}
        chosen = tables.select(file, names, Choice(**(usual | choice.given())))
        told = {'terminal', 'timeout'} & choice.given().keys()
        flags = {field: name for field, name in ENDS.items() if name in names and not told}
        fixed = {field: [name] for field, name in (FIXED | flags).items()}
        arrays, notes = parquet.chosen_arrays(file, source, chosen | fixed)
    return arrays, chosen, notes


def success(done: np.ndarray, won: np.ndarray | None, notes: list[str]) -> np.ndarray:
    """Where the task itself ended, bool [N]."""
    if won is None:
        notes.append('next.done: an end of the recording; --terminal next.done takes it for an end of the task')
        return np.zeros_like(done)
    notes.append('next.done: ends the task where next.success says so, elsewhere the recording')
    return done & won


def agree(path: Path, whole: dict[str, np.ndarray], about: dict[str, object]) -> None:
    """BadData unless the frames of each episode count from 0 and there are as many as info.json says."""
    last = tables.last_rows(whole['episode'])
    starts = np.flatnonzero(np.append(True, last[:-1])[: len(last)])
    expected = np.arange(len(last)) - np.repeat(starts, np.diff(np.append(starts, len(last))))
    if len(bad := np.flatnonzero(whole['frame'] != expected)):
        row = bad[0]
        what = f'{whole["frame"][row]} where {expected[row]} was expected, in episode {whole["episode"][row]}'
        raise BadData(f'{path}: frame_index, row {row:,}: {what}: frames are missing or shuffled. Fix: copy it again')
    for key, have in zip(COUNTS, (len(starts), len(last)), strict=True):
        if isinstance(about.get(key), int) and about[key] != have:
            what = f'{ABOUT} says {key} is {about[key]:,}, but there are {have:,}'
            raise BadData(f'{path}: {what}. Fix: copy the whole dataset again')
