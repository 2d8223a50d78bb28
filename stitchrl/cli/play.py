"""`stitch play RUN|GAME`: an episode as a picture that moves, without a display; or a game against you."""

import argparse
import json
from pathlib import Path
from typing import Any

from stitchrl.cli.device import prepare
from stitchrl.errors import UsageError


def main(argv: list[str]) -> int:
    """Run the verb; raises StitchError."""
    parser = argparse.ArgumentParser(
        'stitch play',
        description='Play episodes with one policy of a run, greedily, and write the first as a moving WebP. A run '
        'that learned a game plays against you, here in the terminal, and so does UCT where GAME is the name of one.',
        epilog='examples: stitch play runs/iql-0001 --out episode.webp; stitch play connect_four --simulations 500',
    )
    parser.add_argument('run', metavar='RUN|GAME', help="the run's folder, or a game: see `stitch list envs`")
    parser.add_argument('--env', help='where to play; default: where the run was judged')
    parser.add_argument('--seed-index', type=int, default=0, metavar='I', help='which agent of the run, from 0')
    parser.add_argument('--episodes', type=int, default=1, metavar='N', help='each is written, numbered from 1')
    parser.add_argument('--seed', type=int, default=0, help='of the episodes')
    parser.add_argument('--out', metavar='FILE.webp', help='default: RUN/videos/episode.webp')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')
    parser.add_argument('--simulations', type=int, metavar='N', help='games: of a search; default: 500, or as judged')
    parser.add_argument('--second', action='store_true', help='games: the other side begins')
    args = parser.parse_args(argv)
    if args.episodes < 1:
        raise UsageError(f'--episodes {args.episodes}: expected at least 1')
    prepare()
    if is_game(args.run):
        from stitchrl.cli import play_game

        if extra := [name for name in ('env', 'out') if getattr(args, name) is not None]:
            raise UsageError(f'--{extra[0]}: a game is played here in the terminal, against you, and not filmed')
        return play_game.main(args)
    told = play(args)
    if args.json:
        print(json.dumps(told, indent=1))
        return 0
    for row in told:
        end = 'the task ended' if row['terminated'] else 'cut by the time limit'
        print(f'return {row["return"]:.5g}   length {row["length"]:,}   {end}   {row["file"]}')
    return 0


def is_game(name: str) -> bool:
    """A game's name, or a run of an algorithm that learns games."""
    from stitchrl import envs
    from stitchrl.algos import PLAYERS
    from stitchrl.runs.directory import RunDir

    return name in envs.GAMES or RunDir.find(name).read('config.json')['algo'] in PLAYERS


def play(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Play, write, and say what happened in each episode."""
    import jax

    from stitchrl.report import rollout, video
    from stitchrl.report.stage import stage
    from stitchrl.runs.directory import RunDir

    run = RunDir.find(args.run)
    place = stage(run, args.env)
    count = jax.tree.leaves(place.agents)[0].shape[0]
    if not 0 <= args.seed_index < count:
        raise UsageError(f'--seed-index {args.seed_index}: this run trained {count}, numbered from 0')
    one = jax.tree.map(lambda x: x[args.seed_index : args.seed_index + 1], place.agents)
    played = rollout.play(one, place.boundary, place.env, args.seed, args.episodes)
    told = []
    for episode in range(args.episodes):
        film = video.film(place.env, played, 0, episode)
        file = video.save(numbered(target(run, args.out), episode, args.episodes), film)
        seen = {'return': float(played.returns()[0, episode]), 'length': int(played.length[0, episode])}
        told.append(seen | {'terminated': bool(played.terminated[0, episode]), 'file': str(file)})
    return told


def target(run: Any, out: str | None) -> Path:
    """Where to write. UsageError for a name that says another format."""
    if out is not None:
        if Path(out).suffix != '.webp':
            raise UsageError(f'--out {out}: films are WebP; name it {Path(out).with_suffix(".webp")}')
        return Path(out)
    folder = run.path / 'videos'
    folder.mkdir(exist_ok=True)
    return folder / 'episode.webp'


def numbered(path: Path, episode: int, episodes: int) -> Path:
    """The path itself for one episode, else with a number before its ending."""
    return path if episodes == 1 else path.with_stem(f'{path.stem}-{episode + 1}')
