"""Checkpoints: exact, complete or absent, and never taken for whole when they are not."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stitchrl.errors import Corrupt, StitchError
from stitchrl.runs import checkpoint
from stitchrl.runs.checkpoint import KEEP, MANIFEST, latest, load, save, steps

SILENT = lambda text: None


class Pair(NamedTuple):
    """A node of a tree."""

    weight: object
    bias: object


def tree(step):
    """Two leaves that tell of their step."""
    return {'net': Pair(np.full((4, 3), step, np.float32), np.zeros(3, np.float32)), 'count': np.int32([step])}


def same(one, other):
    """Equal in structure, dtype, shape and every bit (NaNs and signed zeros included)."""
    leaves, others = jax.tree.leaves(one), jax.tree.leaves(other)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(leaves, others, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


ARRAYS = st.sampled_from(['float32', 'float16', 'int32', 'uint32', 'uint8', 'bool']).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4))
)
NAMES = st.text('abcXYZ_019', min_size=1, max_size=8)
TREES = st.recursive(
    ARRAYS,
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=6,
)


@given(inside=TREES)
@settings(max_examples=10)
def test_whatever_is_saved_comes_back_bit_for_bit(tmp_path_factory, inside):
    folder, agents = tmp_path_factory.mktemp('trees'), {'agents': inside}
    step, again = load(save(folder, 7, agents), lambda _: agents)
    assert step == 7
    same(agents, again)


def test_shapes_alone_are_enough_to_load(tmp_path):
    save(tmp_path, 3, jax.device_put(tree(3)))
    like = jax.eval_shape(lambda: jax.tree.map(jax.numpy.asarray, tree(0)))
    same(latest(tmp_path, lambda _: like)[1], tree(3))


def test_the_newest_few_are_kept_in_order_of_their_steps(tmp_path):
    for step in (1, 5, 20, 100, 3000):
        save(tmp_path, step, tree(step))
    assert [path.name for path in steps(tmp_path)] == ['step_000000020', 'step_000000100', 'step_000003000']
    assert len(steps(tmp_path)) == KEEP
    assert latest(tmp_path, lambda _: tree(0))[0] == 3000


def flip(path):
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize('damage', [Path.unlink, halve, flip], ids=['missing', 'truncated', 'flipped'])
def test_damage_to_any_file_is_named_and_the_one_before_is_used(tmp_path, damage):
    for step in (1, 2):
        save(tmp_path, step, tree(step))
    newest = steps(tmp_path)[-1]
    names = [MANIFEST, *json.loads((newest / MANIFEST).read_text())['files']]
    assert sorted(names) == checkpoint.contents(newest), 'a file that no hash watches over'
    for name in filter(lambda name: (newest / name).stat().st_size, names):
        before, said = (newest / name).read_bytes(), []
        damage(newest / name)
        with pytest.raises(Corrupt) as refusal:
            load(newest, lambda _: tree(0))
        step, agents = latest(tmp_path, lambda _: tree(0), said.append)
        assert str(newest if name == MANIFEST else newest / name) in str(refusal.value)
        assert said == [f'{refusal.value}; trying the one before']
        assert step == 1
        same(agents, tree(1))
        (newest / name).write_bytes(before)
    assert latest(tmp_path, lambda _: tree(0), said.append)[0] == 2, 'the damage was undone'


def test_a_flip_anywhere_in_the_manifest_is_refused(tmp_path):
    """It has no hash of its own: all bits of its beginning, where the step stands, and some of the rest."""
    manifest = save(tmp_path, 1, tree(1)) / MANIFEST
    content = manifest.read_bytes()
    assert b'"step": 1' in content[:20]
    for bit in [*range(160), *range(160, 8 * len(content), 101)]:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        manifest.write_bytes(flipped)
        with pytest.raises(Corrupt, match=str(manifest.parent)):
            load(manifest.parent, lambda _: tree(0))


def test_none_left_is_an_error_that_says_where(tmp_path):
    with pytest.raises(Corrupt, match=f'{tmp_path}.*no whole checkpoint'):
        latest(tmp_path / 'absent', lambda _: tree(0))
    for step in (1, 2):
        (save(tmp_path, step, tree(step)) / MANIFEST).unlink()
    said = []
    with pytest.raises(Corrupt, match='no whole checkpoint'):
        latest(tmp_path, lambda _: tree(0), said.append)
    assert [line.split('/')[-2] for line in said] == ['step_000000002', 'step_000000001']


@pytest.mark.parametrize(
    ('like', 'words'),
    [
        (
            {'net': Pair(np.zeros((4, 3)), np.zeros(3, np.float32))},
            r"\['net'\].weight is float32\(4, 3\), expected float64",
        ),
        ({'net': Pair(np.zeros((3, 4), np.float32), np.zeros(3))}, r'expected float32\(3, 4\)'),
        (tree(0) | {'value': np.zeros(2)}, r"no \['value'\].*another version or for another config"),
    ],
    ids=['dtype', 'shape', 'missing'],
)
def test_another_config_is_named_by_its_first_leaf(tmp_path, like, words):
    save(tmp_path, 1, tree(1))
    with pytest.raises(Corrupt, match=words):
        load(steps(tmp_path)[0], lambda _: like)


def test_saving_a_step_again_leaves_it_alone_but_replaces_a_damaged_one(tmp_path):
    """A run that resumed behind a damaged checkpoint comes to its step once more."""
    path = save(tmp_path, 2, tree(2))
    save(tmp_path, 2, tree(99))
    same(load(path, lambda _: tree(0))[1], tree(2))
    flip(path / 'agents' / '_METADATA')
    save(tmp_path, 2, tree(2))
    assert load(path, lambda _: tree(0))[0] == 2


def test_a_save_that_fails_leaves_the_older_ones(tmp_path, monkeypatch):
    save(tmp_path, 1, tree(1))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, 'sync', lambda path: (_ for _ in ()).throw(OSError(28, 'No space left on device')))
        with pytest.raises(StitchError, match='No space left'):
            save(tmp_path, 2, tree(2))
    assert latest(tmp_path, lambda _: tree(0), pytest.fail)[0] == 1
    save(tmp_path, 2, tree(2))
    assert latest(tmp_path, lambda _: tree(0), pytest.fail)[0] == 2


def test_half_written_folders_are_not_seen_and_go_with_the_next_save(tmp_path):
    save(tmp_path, 1, tree(1))
    torn = tmp_path / '.step_000000002.12345'
    (torn / 'agents').mkdir(parents=True)
    (torn / 'agents' / 'd').write_bytes(b'half')
    assert latest(tmp_path, lambda _: tree(0), pytest.fail)[0] == 1
    save(tmp_path, 3, tree(3))
    assert not torn.exists()
