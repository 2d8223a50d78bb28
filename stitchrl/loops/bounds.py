"""Which numbers a setting may be, of a run or of an algorithm, wherever it is given. Imports no JAX."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from stitchrl.errors import UsageError

# What is expected in words, whether a number is that, and the settings it holds for. What has no row may be any number.
# Where one algorithm means something else by a name, its row says `algorithm.name`.
KINDS: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    (
        'a whole number from 1 on',
        lambda x: x >= 1,
        'batch buffer_rows cap capacity critic_updates critics actor_samples delay elites epochs eval_episodes every '
        'fast filters final_length games hidden horizon iterations judged keep lanes latest length members '
        'model_batch model_hidden n_steps particles parts patience period positions quick replan rivals rollouts '
        'samples seeds side simulations teacher updates',
    ),
    (
        'a whole number from 0 on',
        lambda x: x >= 0,
        'blocks drawn grow_from grow_to online_steps planning random_steps refresh seed steps warmup',
    ),
    (
        'a number from 0 on',
        lambda x: x >= 0,
        'actor_lr alpha beta c decay exploration_noise gentle model_lr noise noise_clip temperature',
    ),
    ('a number above 0', lambda x: x > 0, 'alphazero.alpha clip discrete_cql.temperature lr max_weight ratio'),
    ('a number from 0 to 1', lambda x: 0 <= x <= 1, 'blend epsilon final_epsilon gamma lam real share'),
    ('a share above 0, at most 1', lambda x: 0 < x <= 1, 'best explore rate'),
    ('a share from 0 to below 1, such as 0.1', lambda x: 0 <= x < 1, 'holdout mix'),
    ('a number between 0 and 1, such as 0.7', lambda x: 0 < x < 1, 'expectile'),
)
BOUNDS = {name: (words, test) for words, test, names in KINDS for name in names.split()}

Spelling = Callable[[str, Any], str]  # name and value of a setting, as the user writes them


def argument(name: str, value: Any) -> str:
    """A setting as Python has it."""
    return f'{name}={value!r}'


def option(name: str, value: Any) -> str:
    """A setting as the command line has it."""
    words = value if isinstance(value, tuple) else (value,)
    return f'--{name.replace("_", "-")} {" ".join(str(word) for word in words)}'


def bounded(config: Any, spelt: Spelling = argument) -> Any:
    """The dataclass, if each of its numbers is one that can be meant. UsageError names the first that is not."""
    algo = type(config).__module__.rsplit('.', 1)[-1]
    for field in fields(config):
        value = getattr(config, field.name)
        words, test = BOUNDS.get(f'{algo}.{field.name}') or BOUNDS.get(field.name) or ('', lambda x: True)
        if not all(test(number) for number in numbers(value)):
            raise UsageError(f'{spelt(field.name, value)}: expected {words}{" for each" * isinstance(value, tuple)}')
    return config


def numbers(value: Any) -> list[float]:
    """The numbers that a setting holds; a switch, a word and nothing hold none."""
    found = value if isinstance(value, tuple) else (value,)
    return [one for one in found if isinstance(one, int | float) and not isinstance(one, bool)]
