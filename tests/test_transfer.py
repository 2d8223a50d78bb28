"""From one format into another: the same columns to the last bit, or one clear refusal and no file."""

from collections import Counter
from dataclasses import fields, replace

import h5py
import layouts
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stitchrl.data.check import fingerprint
from stitchrl.data.columns import Columns
from stitchrl.data.formats import Choice, npz, parquet, read, write
from stitchrl.data.formats.transfer import transfer
from stitchrl.errors import BadData, UsageError

FILES = ('npz', 'hdf5', 'parquet')


@st.composite
def recordings(draw):
    """Columns of any values: numbers or images, choices or continuous, with or without all that is optional."""
    n, discrete, image = draw(st.integers(1, 6)), draw(st.booleans()), draw(st.booleans())
    shape = (n, 2, 3, 2) if image else (n, draw(st.integers(1, 3)))
    obs = hnp.arrays(np.uint8 if image else np.float32, shape)
    flags = hnp.arrays(bool, n)
    choices = hnp.arrays(np.int32, n, elements=st.integers(0, 2**31 - 1))
    width = draw(st.integers(1, 3))
    maybe = lambda strategy: draw(strategy) if draw(st.booleans()) else None
    bounds = {}
    if not discrete and draw(st.booleans()):
        low = draw(st.lists(st.floats(-100, 100, width=32), min_size=width, max_size=width))
        bounds = {'low': tuple(low), 'high': tuple(float(np.float32(x + 1)) for x in low)}
    return Columns(
        obs=draw(obs),
        action=draw(choices if discrete else hnp.arrays(np.float32, (n, width))),
        reward=draw(hnp.arrays(np.float32, n)),
        terminal=draw(flags),
        timeout=maybe(flags),
        next_obs=maybe(obs),
        episode=maybe(hnp.arrays(np.int64, n)),
        time=maybe(hnp.arrays(np.float64, n)),
        **bounds,
    )


def same(one, other):
    """Bit by bit, what the recorder noted beside it too."""
    assert fingerprint(one) == fingerprint(other)
    for field in ('episode', 'time'):
        a, b = getattr(one, field), getattr(other, field)
        assert (a is None) == (b is None)
        assert a is None or (a.dtype == b.dtype and a.tobytes() == b.tobytes()), field


@given(recordings(), st.permutations(FILES))
@settings(max_examples=30)
def test_files_hold_whatever_there_is(tmp_path_factory, columns, order):
    folder = tmp_path_factory.mktemp('chain')
    path = folder / 'start.npz'
    npz.write(path, npz.arrays_of(columns))
    same(read(path), columns)
    for i, kind in enumerate(order):
        done = transfer(path, path := folder / f'{i}.{kind}')
        same(done, columns)
        same(read(path), columns)


@st.composite
def episodes(draw):
    """Columns as Minari can hold them: episodes of true successors, and a flag on every last step."""
    found, discrete, image = [], draw(st.booleans()), draw(st.booleans())
    for steps in draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)):
        last, ended = np.arange(steps) == steps - 1, draw(st.booleans())
        shape, dtype = ((steps + 1, 2, 2, 2), np.uint8) if image else ((steps + 1, 2), np.float32)
        action = hnp.arrays(np.int32, steps, elements=st.integers(0, 2**31 - 1))
        if not discrete:
            action = hnp.arrays(np.float32, (steps, 2))
        cut = draw(st.booleans()) if ended else True
        obs, reward = draw(hnp.arrays(dtype, shape)), draw(hnp.arrays(np.float32, steps))
        obs = obs if image else np.nan_to_num(obs)  # NaN is no successor of itself
        found.append(layouts.Episode(obs, draw(action), reward, last & ended, last & cut))
    bounds = {'low': (-2.0, -3.0), 'high': (4.0, 5.0)} if not discrete and draw(st.booleans()) else {}
    return Columns(**layouts.columns(found), **bounds)


@given(episodes(), st.sampled_from(FILES))
@settings(max_examples=30)
def test_minari_holds_episodes(tmp_path_factory, columns, kind):
    folder = tmp_path_factory.mktemp('minari')
    write.write(folder / f'x.{kind}', columns, None, kind)
    transfer(folder / f'x.{kind}', folder / 'set')
    same(read(folder / 'set'), columns)
    transfer(folder / 'set', folder / f'again.{kind}')
    same(read(folder / f'again.{kind}'), columns)


@pytest.mark.parametrize('kind', FILES)
def test_a_flipped_bit_in_what_was_written_is_never_other_data(tmp_path, kind):
    g = np.random.default_rng(0)
    columns = plain(
        30, reward=g.normal(size=30).astype(np.float32), timeout=np.arange(30) % 10 == 9, low=(-1.0,), high=(1.0,)
    )
    write.write(tmp_path / f'x.{kind}', columns, None, kind)
    path, whole = tmp_path / f'x.{kind}', (tmp_path / f'x.{kind}').read_bytes()
    seen = Counter()
    for at in g.permutation(len(whole))[:400]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << g.integers(8)
        path.write_bytes(damaged)
        try:
            same(read(path), columns)
            seen['same'] += 1
        except BadData:
            seen['refused'] += 1
    assert seen['refused'] > 100, seen


def test_bytes_of_0_for_bytes_of_255_are_seen(tmp_path):
    """Which HDF5's own checksum cannot tell apart."""
    path, columns = tmp_path / 'x.hdf5', plain(time=np.full(4, -1).view(np.float64))
    write.write(path, columns, None, 'hdf5')
    whole, stored = path.read_bytes(), columns.time.tobytes()
    assert whole.count(stored) == 1
    path.write_bytes(whole.replace(stored, bytes(2) + stored[2:]))
    with h5py.File(path) as file:
        assert file['times'][0].tobytes() == bytes(2) + stored[2:8], 'HDF5 reads it as if nothing were wrong'
    with pytest.raises(BadData, match='its columns are not as they were written'):
        read(path)


def plain(steps=4, **changes):
    """One episode without any flag."""
    obs = np.arange(steps + 1, dtype=np.float32)[:, None]
    no = np.zeros(steps, bool)
    return replace(
        Columns(obs[:-1], np.zeros((steps, 1), np.float32), no.astype(np.float32), no, None, obs[1:]), **changes
    )


def saved(tmp_path, columns):
    npz.write(tmp_path / 'x.npz', npz.arrays_of(columns))
    return tmp_path / 'x.npz'


def refused(source, target, *words, error=BadData, **options):
    with pytest.raises(error) as caught:
        transfer(source, target, **options)
    assert '\n' not in str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert not [left for left in target.parent.iterdir() if left != source and left.is_dir()]


def test_an_end_that_nobody_marked_is_marked_and_said(tmp_path):
    done = transfer(saved(tmp_path, plain(time=np.arange(4.0))), tmp_path / 'set')
    np.testing.assert_array_equal(done.timeout, [False, False, False, True])
    assert any('1 episodes ended without a flag' in note for note in done.notes)
    assert any('clock are left out' in note for note in done.notes)
    same(read(tmp_path / 'set'), replace(done, notes=()))


def test_what_minari_cannot_hold(tmp_path):
    target = tmp_path / 'set'
    path = saved(tmp_path, plain(next_obs=None))
    refused(path, target, 'the observation behind the last step', 'Fix: record next_observations', error=UsageError)
    near = plain().next_obs + np.float32([[2e-7], [0], [0], [0]])
    refused(saved(tmp_path, plain(next_obs=near)), target, 'next_observations, row 0 (first of 1)', 'Fix: write npz')
    ids = np.array([1, 2, 1, 1])
    refused(saved(tmp_path, plain(episode=ids)), target, 'an episode id comes back', 'stitch data check')


def test_columns_that_do_not_fit_together(tmp_path):
    path = saved(tmp_path, plain(reward=np.zeros(3, np.float32)))
    refused(path, tmp_path / 'y.parquet', 'x.npz: rewards', '3 rows, but most columns have 4')


def test_places_that_will_not_do(tmp_path):
    path = saved(tmp_path, plain())
    refused(path, tmp_path / 'y.zarr', '.zarr is not written; choose .npz (npz), .hdf5 (hdf5)', error=UsageError)
    refused(path, path, 'is there already', error=UsageError)
    refused(path, tmp_path / 'y.npz', 'expected a name that ends in .parquet', error=UsageError, to='parquet')
    transfer(path, tmp_path / 'v1.2', to='minari')
    assert len(read(tmp_path / 'v1.2')) == 4


@pytest.mark.parametrize('field', ['obs', 'action', 'reward', 'terminal', 'next_obs', 'time', 'episode'])
def test_a_writer_that_loses_something_is_caught(tmp_path, monkeypatch, field):
    """So that nothing is taken for converted that is not the same."""
    real = parquet.write

    def broken(path, columns):
        x = getattr(columns, field).copy()
        x[1] = ~x[1] if x.dtype == bool else x[1] + 1
        real(path, replace(columns, **{field: x}))

    path = saved(tmp_path, plain(episode=np.zeros(4, np.int64), time=np.arange(4.0)))
    monkeypatch.setattr(parquet, 'write', broken)
    with pytest.raises(BadData, match='reads back as something else'):
        transfer(path, tmp_path / 'y.parquet')
    assert [left.name for left in tmp_path.iterdir()] == ['x.npz']


def test_a_table_becomes_a_recording(tmp_path):
    (tmp_path / 'log.csv').write_text('q,u,id\n1,0.5,a\n2,0.5,a\n3,0.5,b\n')
    done = transfer(tmp_path / 'log.csv', tmp_path / 'y.hdf5', choice=Choice(obs='q', action='u', episode='id'))
    same(read(tmp_path / 'y.hdf5'), done)
    assert {field.name for field in fields(Choice)} >= {'obs', 'action', 'episode'}
