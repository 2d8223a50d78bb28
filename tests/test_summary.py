"""The numbers of a recording, against numbers worked by hand or by numpy."""

import json
from dataclasses import replace

import numpy as np
import pytest

from stitchrl.data.check import fingerprint
from stitchrl.data.columns import Columns
from stitchrl.data.summary import summary

# five episodes: a failure, a time limit, both at once, a gap, and a piece that the recording cuts off
TERMINAL = np.array([0, 1, 0, 0, 0, 1, 0, 0, 0], bool)
TIMEOUT = np.array([0, 0, 0, 0, 1, 1, 0, 0, 0], bool)
OBS = np.arange(9, dtype=np.float32)[:, None] * np.float32([1, -2])


def recording(**changes):
    after = np.r_[OBS[1:], [[9, -18]]].astype(np.float32)
    after[7] = 50
    action = np.float32([-1, 1, 0, 0, 0.5, 0.995, 0, 0, -0.2])[:, None]
    reward = np.arange(9, dtype=np.float32)
    columns = Columns(OBS, action, reward, TERMINAL, TIMEOUT, after, notes=('said so',))
    return replace(columns, **changes)


def test_counts():
    told = summary(recording())
    assert told['steps'] == 9
    assert told['bytes'] == 9 * (8 + 4 + 4 + 1 + 1 + 8)
    assert told['notes'] == ['said so']
    assert told['fingerprint'] == fingerprint(recording())
    assert told['ends'] == {'terminal': 2, 'timeout': 1, 'gap': 1, 'cut': 1}
    assert told['episodes']['count'] == 5
    assert told['episodes']['length'] == {'min': 1, 'median': 2, 'mean': 1.8, 'max': 3}
    assert told['episodes']['return'] == {'min': 1, 'median': 8, 'mean': 36 / 5, 'max': 13}  # 1, 9, 5, 13, 8


def test_columns():
    told = summary(recording())['columns']
    assert told['rewards'] == {
        'what': 'what it was given',
        'shape': [9],
        'dtype': 'float32',
        'min': 0,
        'max': 8,
    }
    assert told['terminals']['true'] == 2
    assert told['actions']['what'] == 'continuous actions'
    assert list(told) == [
        'observations',
        'actions',
        'rewards',
        'terminals',
        'timeouts',
        'next_observations',
    ]


def test_dimensions():
    told = summary(recording())
    for name, x in (('observations', OBS), ('actions', recording().action)):
        for statistic in ('min', 'mean', 'max', 'std'):
            np.testing.assert_allclose(told[name][statistic], getattr(x, statistic)(axis=0), rtol=1e-6)


def test_histogram_signs():
    obs = np.float32([0] * 70 + [1] * 10 + [12])[:, None]
    columns = Columns(obs, obs, obs[:, 0], np.ones(81, bool))
    assert summary(columns)['observations']['histogram'] == ['█▂▁▁▁▁▁▁▁▁▁▂']


def test_actions():
    told = summary(recording())['actions']
    assert (told['bounds'], told['low'], told['high']) == ('assumed', [-1], [1])
    assert told['saturated'] == [pytest.approx(3 / 9)]
    told = summary(recording(), low=-2, high=2)['actions']
    assert (told['bounds'], told['saturated']) == ('stated', [0])


def test_choices():
    told = summary(recording(action=np.int32([0, 3, 3, 0, 1, 1, 1, 1, 0])))
    assert told['actions'] == {'choices': [0, 1, 3], 'counts': [3, 4, 2]}
    assert told['columns']['actions']['what'] == 'choices'


def test_returns():
    told = summary(recording())['histogram']
    assert told['edges'] == pytest.approx(np.linspace(1, 13, 11))
    assert told['counts'] == [1, 0, 0, 1, 0, 1, 1, 0, 0, 1]


def test_returns_that_differ_by_rounding_alone_are_one_bin():
    reward = np.float32([0.1, 0.2, 0.3, 0.3, 0.2, 0.1])
    columns = Columns(OBS[:6], OBS[:6], reward, np.arange(6) % 3 == 2)
    assert summary(columns)['histogram']['counts'] == [2]


@pytest.mark.parametrize('value', [0, 1e-40, -7, 1e20, -1e18, 3e38])
def test_equal_values_of_any_size_lie_in_one_bin(value):
    same = np.full((9, 1), value, np.float32)
    told = summary(Columns(same, same, same[:, 0], np.ones(9, bool)))
    low, high = told['histogram']['edges']
    assert told['histogram']['counts'] == [9]
    assert low < float(same[0, 0]) < high
    assert told['observations']['histogram'] == ['▁▁▁▁▁▁█▁▁▁▁▁']


def test_images_have_no_dimensions():
    images = np.full((9, 4, 4, 3), 7, np.uint8)
    told = summary(recording(obs=images, next_obs=images))
    assert told['observations'] == {}
    assert told['columns']['observations']['max'] == 7


BROKEN = {
    'NaN': recording(obs=np.where(OBS == 4, np.nan, OBS)),
    'infinite': recording(reward=np.full(9, np.inf, np.float32)),
    'nothing finite': recording(obs=OBS * np.nan, action=OBS * np.nan),
    'an infinite action': recording(action=np.float32([np.inf, 7, 2, 0, 0, 0, 0, 0, 0])[:, None]),
    'lengths': recording(reward=np.zeros(3, np.float32)),
    'no rows': Columns(OBS[:0], OBS[:0], OBS[:0, 0], TERMINAL[:0]),
}


@pytest.mark.parametrize('name', BROKEN)
def test_broken_recordings_are_still_described_in_strict_json(name):
    told = summary(BROKEN[name])
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert ('episodes' in told) == (name not in ('lengths', 'no rows'))


def test_bounds_that_do_not_fit_leave_only_the_columns():
    assert 'episodes' not in summary(recording(), low=[-1, -1, -1], high=1)
    assert 'episodes' not in summary(recording(), low=-1)


def test_wide_observations_are_drawn_in_part():
    wide = np.tile(OBS, 50)
    told = summary(recording(obs=wide, next_obs=None))['observations']
    assert (len(told['min']), len(told['histogram'])) == (100, 64)


def test_statistics_leave_out_rows_that_are_not_finite():
    told = summary(BROKEN['NaN'])
    kept = np.delete(OBS, 4, axis=0)
    assert told['observations']['mean'] == pytest.approx(kept.mean(axis=0))
    assert told['columns']['observations']['max'] == 8
