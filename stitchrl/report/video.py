"""An episode as a moving WebP, without a display: mazes are drawn, Gymnasium environments draw themselves."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from stitchrl.envs.pointmass import PointMass
from stitchrl.envs.pointmaze import RADIUS, PointMaze
from stitchrl.errors import UsageError
from stitchrl.report import canvas, mazes
from stitchrl.report.rollout import Played

FRAMES = 120  # at most; a longer episode is shown with fewer frames a second, at its own speed
SIDE = 320  # pixels of the longer side
PACE = 12.0  # steps of a maze in a second
HOLD = 1200  # milliseconds that the last frame stays, so that the end can be seen
QUALITY = 60


def film(env: Any, played: Played, agent: int, episode: int, limit: int | None = None) -> bytes:
    """The episode as an animated WebP, at most `limit` steps of it.

    UsageError where the environment cannot be drawn; it says why.
    """
    steps = min(int(played.length[agent, episode]), limit or np.inf)
    kept = shown(int(steps))
    if isinstance(env, PointMaze | PointMass):
        path = played.path
        assert path is not None
        frames, pace = drawn(env, path[agent, episode, : int(steps) + 1], kept), PACE
    elif hasattr(env, 'render'):
        seed, actions = int(played.seeds[episode]), played.action[agent, episode, : int(steps)]
        frames, pace = env.render(seed, actions, kept, SIDE)
    else:
        raise UsageError(f'{type(env).__name__} cannot be drawn: only mazes and Gymnasium environments can')
    gaps = 1000 / pace * np.diff(kept, append=kept[-1] + 1)
    return webp(frames, [max(20, round(gap)) for gap in gaps[:-1]] + [HOLD])


def shown(steps: int) -> list[int]:
    """Which of the moments 0 .. steps become frames: evenly spread, first and last among them."""
    return np.unique(np.linspace(0, steps, min(FRAMES, steps + 1)).round().astype(int)).tolist()


def webp(frames: Sequence[np.ndarray], milliseconds: Sequence[int]) -> bytes:
    """Frames [H, W, 3] uint8, each shown so long, over and over."""
    from PIL import Image

    images, buffer = [Image.fromarray(frame) for frame in frames], BytesIO()
    for image in images:
        image.thumbnail((SIDE, SIDE))
    images[0].save(
        buffer,
        'WEBP',
        save_all=True,
        append_images=images[1:],
        duration=list(milliseconds),
        loop=0,
        quality=QUALITY,
        method=4,
        minimize_size=False,
    )
    return buffer.getvalue()


def drawn(env: PointMaze | PointMass, path: np.ndarray, kept: Sequence[int]) -> list[np.ndarray]:
    """Frames of a maze: the way so far as a line, the disc at its end. `path` [T + 1, 2] are observations."""
    height, width = np.asarray(env.walls).shape
    if isinstance(env, PointMass):
        path = 1 + path * env.size
    radius = RADIUS if isinstance(env, PointMaze) else 0.2
    scale = 2 * SIDE / (max(height, width) - 1)  # drawn at twice the size, so that edges become smooth
    pixels = [((x - 0.5) * scale, (height - 0.5 - y) * scale) for x, y in path.tolist()]
    return list(strokes(background(env, scale), pixels, radius * scale, kept))


def background(env: PointMaze | PointMass, scale: float) -> Any:
    """The maze without anybody in it, as an image of `scale` pixels to a cell."""
    from PIL import Image

    height, width = np.asarray(env.walls).shape
    size: Any = (width - 1) * scale / canvas.DPI, (height - 1) * scale / canvas.DPI
    figure = canvas.blank(*size)
    ax = figure.add_axes((0, 0, 1, 1))
    mazes.draw_maze(ax, env, size[0] / (width - 1))  # type: ignore[arg-type]
    return Image.open(BytesIO(canvas.png(figure, None))).convert('RGB')


def strokes(image: Any, pixels: list[tuple[float, float]], radius: float, kept: Sequence[int]) -> Iterator[np.ndarray]:
    """The image after each of the `kept` moments: the line grows, the disc moves."""
    from PIL import ImageDraw

    for moment in kept:
        frame = image.copy()
        pen = ImageDraw.Draw(frame)
        if moment:
            pen.line(pixels[: moment + 1], fill=mazes.SOLVED, width=max(2, round(radius / 4)), joint='curve')
        x, y = pixels[moment]
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=mazes.SOLVED, outline=canvas.INK, width=2)
        yield np.asarray(frame.resize((frame.width // 2, frame.height // 2)))


def save(path: str | Path, film: bytes) -> Path:
    """Write a film. UsageError where that is not possible."""
    path = Path(path)
    try:
        path.write_bytes(film)
    except OSError as error:
        raise UsageError(f'{path}: cannot be written ({error.strerror}); name a file in a folder that exists') from None
    return path
