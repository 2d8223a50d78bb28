"""Arrays in memory are held to the rules for files: what an npz file becomes, and what is said of a bad one."""

import subprocess
import sys
from dataclasses import fields

import jax.numpy as jnp
import layouts
import numpy as np
import pytest

from stitchrl.core.spec import Continuous, Discrete
from stitchrl.data.dataset import Dataset
from stitchrl.data.formats import read
from stitchrl.data.formats.arrays import columns_from
from stitchrl.data.formats.convert import NAMES
from stitchrl.errors import BadData, UsageError

N = 6
ENDS = np.arange(N) % 3 == 2


def arrays(**changes):
    """Two episodes of three steps, both ended by the task."""
    obs, action = np.arange(2.0 * N).reshape(N, 2), np.linspace(-1, 1, N)[:, None]
    return {'obs': obs, 'action': action, 'reward': np.ones(N), 'terminal': ENDS} | changes


IMAGES = np.arange(N * 4, dtype=np.uint8).reshape(N, 2, 2)
TAKEN = {
    'plain': {},
    'images': {'obs': IMAGES, 'next_obs': IMAGES[::-1]},
    'one number per step': {'obs': np.arange(N), 'next_obs': np.arange(N) + 1},
    'flat continuous actions': {'action': np.linspace(-1, 1, N)},
    'yes and no as actions': {'action': ENDS},
    'columns of rewards and flags': {'reward': np.ones((N, 1)), 'terminal': ENDS[:, None], 'timeout': ENDS[:, None]},
    'a column of choices': {'action': np.arange(N)[:, None]},
    'flags as numbers': {'terminal': ENDS.astype(float), 'timeout': ENDS.astype(np.int8)},
}


def saved(folder, given):
    return layouts.save_npz(folder / 'log.npz', {NAMES[field][0]: x for field, x in given.items()})


@pytest.mark.parametrize('name', TAKEN)
def test_arrays_become_what_a_file_of_them_becomes(tmp_path, name):
    given = arrays(**TAKEN[name])
    mine, theirs = columns_from(**given), read(saved(tmp_path, given))
    for field in fields(mine):
        a, b = getattr(mine, field.name), getattr(theirs, field.name)
        if field.name != 'notes':
            np.testing.assert_array_equal(a, b)
            assert getattr(a, 'dtype', None) == getattr(b, 'dtype', None)
    assert len(Dataset.from_arrays(**given)) == N


def test_images_stay_bytes():
    data = Dataset.from_arrays(**arrays(obs=IMAGES, next_obs=IMAGES + 4))
    assert data.obs.dtype == np.uint8
    assert (data.spec.obs.shape, data.spec.obs.dtype) == ((2, 2), 'uint8')


REFUSED = {  # what is changed -> the end of the message
    'a flag of NaN': ({'terminal': np.where(ENDS, np.nan, 0)}, 'terminals, row 2 (first of 2): nan is no flag'),
    'a flag of -1': ({'timeout': -1 * ENDS}, 'timeouts, row 2 (first of 2): -1 is no flag'),
    'flags in words': ({'terminal': ['False'] * N}, 'terminals holds <U5'),
    'observations in words': ({'obs': [['a', 'b']] * N}, 'observations holds <U1'),
    'a huge choice': ({'action': np.full(N, 2**33)}, 'actions, row 0 (first of 6): 8589934592 is no choice'),
    'a table of integers': ({'action': np.ones((N, 2), int)}, 'actions holds 6 x 2 integers'),
    'objects': ({'reward': [None] * N}, 'rewards holds objects'),
    'complex numbers': ({'reward': np.ones(N) * 1j}, 'rewards holds complex128'),
}


@pytest.mark.parametrize('name', REFUSED)
def test_arrays_are_refused_in_the_words_for_a_file(tmp_path, name):
    changes, words = REFUSED[name]
    with pytest.raises(BadData) as mine:
        Dataset.from_arrays(**arrays(**changes))
    assert str(mine.value).startswith(f'Dataset.from_arrays: {words}')
    assert '. Fix: ' in str(mine.value)
    path = saved(tmp_path, arrays(**changes))
    with pytest.raises(BadData) as theirs:
        read(path)
    assert str(theirs.value).removeprefix(f'{path}: ') == str(mine.value).removeprefix('Dataset.from_arrays: ')


def test_what_no_file_can_hold_is_refused_in_a_line():
    with pytest.raises(BadData, match=r'observations is no array .*Fix: give every step as many numbers'):
        Dataset.from_arrays(**arrays(obs=[[1.0, 2.0]] * (N - 1) + [[1.0]]))
    with pytest.raises(BadData, match='next_observations: dtype is float32, that of observations uint8'):
        Dataset.from_arrays(**arrays(obs=IMAGES, next_obs=IMAGES / 255))


def test_device_arrays_are_taken_small_floats_too():
    data = Dataset.from_arrays(**{name: jnp.asarray(x) for name, x in arrays().items()})
    np.testing.assert_array_equal(data.obs, Dataset.from_arrays(**arrays()).obs)
    assert Dataset.from_arrays(**arrays(reward=jnp.ones(N, jnp.bfloat16))).reward.dtype == np.float32


def test_arrays_need_no_jax():
    code = 'import sys, stitchrl.data.formats.arrays; assert "jax" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True)


CHOICES = np.array([0, 2, 1, 0, 2, 1])


@pytest.mark.parametrize(('stated', 'there'), [(None, 3), (3, 3), (5, 5), (np.int64(4), 4)])
def test_the_number_of_choices_is_stated_or_seen(stated, there):
    assert Dataset.from_arrays(**arrays(action=CHOICES), actions=stated).spec.action == Discrete(there)


def test_numbers_of_choices_that_cannot_be_are_refused():
    with pytest.raises(BadData, match=r'row 1 \(first of 2\): 2 is none of 2 choices.*Fix: actions=3 or more'):
        Dataset.from_arrays(**arrays(action=CHOICES), actions=2)
    for stated in (0, -1, 3.0, True, '3', 2**40):
        with pytest.raises(UsageError, match='expected how many choices there are'):
            Dataset.from_arrays(**arrays(action=CHOICES), actions=stated)
    with pytest.raises(UsageError, match='actions=3: these are continuous'):
        Dataset.from_arrays(**arrays(), actions=3)
    assert Dataset.from_arrays(**arrays()).spec.action == Continuous(1, (-1.0,), (1.0,))
