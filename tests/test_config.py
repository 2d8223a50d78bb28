"""Configs through JSON: what was asked comes back, what makes no sense is refused by name."""

import json
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stitchrl.algos import ALGORITHMS, algorithm
from stitchrl.core.config import from_json, to_json
from stitchrl.errors import UsageError
from stitchrl.loops.settings import Settings, configure, settings_of


@dataclass(frozen=True)
class Config:
    """One field of each kind."""

    hidden: tuple[int, ...] = (256, 256)
    lr: float = 3e-4
    batch: int = 256
    cut: float | None = None
    name: str = 'a'
    normalise: bool = True
    head: Literal['gaussian', 'mixture'] = 'gaussian'


ALL = [Config, Settings, *(algorithm(name).Config for name in ALGORITHMS)]


def values(hint):
    """Anything that a field of this type may hold."""
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_args(hint):
        return st.one_of([values(arg) for arg in get_args(hint)])
    return {
        int: st.integers(),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
        str: st.text('aé/" ', max_size=4),
        type(None): st.none(),
    }[hint]


def configs(cls):
    return st.builds(cls, **{name: values(hint) for name, hint in get_type_hints(cls).items()})


@pytest.mark.parametrize('cls', ALL, ids=lambda cls: cls.__module__.rsplit('.', 1)[-1])
@given(data=st.data())
@settings(max_examples=25)
def test_any_config_comes_back_equal_and_as_hashable_as_it_was(cls, data):
    config = data.draw(configs(cls))
    again = from_json(cls, json.loads(json.dumps(to_json(config))))
    assert again == config
    assert hash(again) == hash(config)
    assert [type(value) for value in vars(again).values()] == [type(value) for value in vars(config).values()]


def test_what_is_not_given_has_its_default():
    assert from_json(Config, {}) == Config()
    assert from_json(Config, {'batch': 32}) == Config(batch=32)


def test_lists_become_tuples_and_whole_numbers_floats():
    config = from_json(Config, {'hidden': [8, 4], 'lr': 1})
    assert config.hidden == (8, 4)
    assert type(config.lr) is float


@pytest.mark.parametrize(
    ('name', 'hint'),
    [('hiden', 'did you mean hidden?'), ('Batch', 'did you mean batch?'), ('zzz', 'known: hidden, lr, batch')],
)
def test_an_unknown_name_is_answered_with_the_nearest_or_with_all(name, hint):
    with pytest.raises(UsageError) as refusal:
        from_json(Config, {name: 1})
    assert f'no setting {name!r} in test_config.Config; {hint}' in str(refusal.value)


@pytest.mark.parametrize(
    ('name', 'value', 'expected'),
    [
        ('lr', 'fast', 'float'),
        ('lr', True, 'float'),
        ('lr', None, 'float'),
        ('batch', 2.5, 'int'),
        ('batch', True, 'int'),
        ('hidden', 256, 'tuple[int, ...]'),
        ('hidden', [8, '8'], 'tuple[int, ...]'),
        ('hidden', [8.0], 'tuple[int, ...]'),
        ('normalise', 1, 'bool'),
        ('normalise', 'yes', 'bool'),
        ('name', 3, 'str'),
        ('cut', 'none', 'float | None'),
        ('head', 'gauss', "one of 'gaussian', 'mixture'"),
        ('head', ['gaussian'], "one of 'gaussian', 'mixture'"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_was_expected(name, value, expected):
    with pytest.raises(UsageError) as refusal:
        from_json(Config, {name: value})
    shown = tuple(value) if isinstance(value, list) else value
    assert str(refusal.value) == f'setting {name} is {shown!r}; expected {expected}'


@pytest.mark.parametrize('algo', ALGORITHMS)
def test_every_preset_is_a_config_and_fields_win_over_it(algo):
    module = algorithm(algo)
    assert 'default' in module.PRESETS
    for preset, (source, changes) in module.PRESETS.items():
        config, run = configure(algo, preset, {}), settings_of(algo, preset, {})
        assert source
        own = {field.name for field in fields(module.Config)}
        assert {name: getattr(config if name in own else run, name) for name in changes} == changes
        for name in own & changes.keys():
            default = {field.name: field.default for field in fields(module.Config)}[name]
            assert getattr(configure(algo, preset, {name: default}), name) == default


def test_an_unknown_preset_and_an_unknown_algorithm_are_answered_with_the_known():
    with pytest.raises(UsageError, match="iql has no preset 'locomotive'; known: default, locomotion, antmaze"):
        configure('iql', 'locomotive', {})
    with pytest.raises(UsageError, match=r"unknown algorithm 'td3bc'; did you mean td3_bc\?"):
        configure('td3bc', 'default', {})
