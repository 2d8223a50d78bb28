"""Environments by name: the package's own, `module:Class`, else Gymnasium's."""

import sys
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from stitchrl.errors import UsageError, meant

DEVICE = {
    'pointmaze/umaze': ('stitchrl.envs.pointmaze', 'PointMaze', 'a disc in a bent corridor'),
    'pointmaze/medium': ('stitchrl.envs.pointmaze', 'PointMaze', 'a disc in a maze of 8 x 8 cells'),
    'pointmaze/junctions': (
        'stitchrl.envs.pointmaze',
        'PointMaze',
        'a disc in a maze of many ways, the one of the demo',
    ),
    'cartpole/upright': (
        'stitchrl.envs.cartpole',
        'CartPole',
        "a pole on a cart, Gymnasium's CartPole-v1 step for step",
    ),
    'cartpole/swingup': ('stitchrl.envs.swingup', 'Swingup', 'a pole that hangs from a cart, to be swung up'),
    'pendulum/swingup': (
        'stitchrl.envs.pendulum',
        'Pendulum',
        "a rod to be swung up, Gymnasium's Pendulum-v1 step for step",
    ),
    'pointmass/easy': ('stitchrl.envs.pointmass', 'PointMass', 'a drifting point, five actions, one corner to turn'),
    'pointmass/medium': ('stitchrl.envs.pointmass', 'PointMass', 'a drifting point, five actions, a winding way'),
    'pointmass/hard': ('stitchrl.envs.pointmass', 'PointMass', 'a drifting point, five actions, four rooms'),
}

PGX = 'stitchrl.envs.pgx'  # whose games have their names there
GAMES = {
    'tictactoe': ('stitchrl.envs.board', 'TicTacToe', 'three in a row; judged against exact play'),
    'connect_four': ('stitchrl.envs.board', 'ConnectFour', 'four in a row; judged against UCT of 400 simulations'),
    'go_9x9': (PGX, 'Pgx', 'Go on nine by nine fields; needs the games extra'),
    'go_19x19': (PGX, 'Pgx', 'Go on the large board; needs the games extra'),
    'othello': (PGX, 'Pgx', 'stones that turn, eight by eight; needs the games extra'),
}


@cache
def rules(name: str | None) -> Any:
    """The rules of a game for two, to search and to play against oneself. UsageError for a name that is none,
    MissingExtra for a game of a package that is not installed."""
    if name not in GAMES:
        raise UsageError(f'{name!r} is not a game{meant(name or "", GAMES)}')
    module, cls, _ = GAMES[name]
    return getattr(import_module(module), cls).create(*([name] if module == PGX else []))


def make(name: str, training: bool = False) -> Any:
    """An `Env` (device) or a `gymnasium.Host`. Never from a name in a recording; from one in a run's own
    folder where the user asks to go on with the run or to judge it (SECURITY.md).

    training: to learn in, not to be judged in; Atari games (`ALE/Pong-v5`) then end with a life and clip rewards.

    `module:Class` imports the module from the working directory or the path; the class is an `Env` with a
    `create()` or no arguments, or a Gymnasium environment. `module:id` is what the module registered with Gymnasium
    (`ogbench:pointmaze-medium-singletask-v0`), `envpool:id` one of EnvPool's. A game is an environment beside an
    opponent, `tictactoe/random`; without one it is the opponent by which it is judged. UsageError says what is wrong
    with a name.
    """
    if name.partition('/')[0] in GAMES:
        from stitchrl.envs.versus import Versus

        return Versus.create(name)
    if name in DEVICE:
        module, cls, _ = DEVICE[name]
        return getattr(import_module(module), cls).create(name.split('/', 1)[1])
    if name.startswith('envpool:'):
        from stitchrl.envs.pool import pool

        return pool(name, training)
    if ':' in name:
        return own(name)
    if name.startswith('ALE/'):
        from stitchrl.envs.atari import host as game

        return game(name, training)
    from stitchrl.envs.gymnasium import host

    try:
        return host(name)
    except UsageError as error:
        near = get_close_matches(name, DEVICE | GAMES, n=1)
        raise (UsageError(f'{error}; did you mean {near[0]}?') if near else error) from None


def registered(name: str, host: Any) -> Any:
    """Gymnasium's own reading of `module:id`: importing the module registered the environment."""
    try:
        return host(name)
    except UsageError as error:
        module, _, attribute = name.partition(':')
        raise UsageError(f'{module} has no {attribute}, and Gymnasium says: {error}') from None


def own(name: str) -> Any:
    """The environment behind `module:Class`."""
    from stitchrl.envs.env import Env
    from stitchrl.envs.gymnasium import host

    module, _, attribute = name.partition(':')
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that nothing there hides an installed package
    try:
        made: Any = getattr(import_module(module), attribute, None)
    except ImportError as error:
        raise UsageError(f'cannot import environment {name!r}: {error}') from None
    if made is None:
        return registered(name, host)
    device = isinstance(made, type) and issubclass(made, Env)
    build: Any = getattr(made, 'create', made) if device else made
    try:
        env = build() if device else host(name, build)
    except TypeError as error:
        raise UsageError(f'{name}: {error}; expected a class that can be made without arguments') from error
    if device and env.spec.horizon is None:
        raise UsageError(f'{name} has no time limit; its spec needs a horizon, the most steps of an episode')
    return env
