"""What world 0's hedger did so far: price, holding beside the model's delta, cost, margin.

`rgb_array` is a picture, drawn with Pillow (`pip install faultline[rl]`); `human` draws the same
lines into the terminal, so that it works wherever Python does, and needs nothing.
"""

import sys
from typing import Any, NamedTuple

import numpy as np

from envs.hedging.state import HedgeState
from sim.errors import ConfigError
from sim.kernel import F64, U8

WIDTH, HEIGHT, EDGE = 640, 480, 8  # of a picture, pixels
COLUMNS, ROWS = 72, 5  # of a panel in the terminal, characters
INK, FAINT, PAPER = (30, 30, 30), (215, 215, 215), (255, 255, 255)
BLUE, ORANGE = (31, 90, 180), (222, 120, 20)
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of Braille letters: column, row


class Panel(NamedTuple):
    """One chart: its title, its lines by name, each (step,)."""

    title: str
    lines: dict[str, F64]


class Film:
    """Remembers world 0's episode and draws it.

    Parameters
    ----------
    mode : str
        human or rgb_array.
    """

    def __init__(self, mode: str) -> None:
        if mode == "rgb_array":
            pillow()
        self.mode = mode
        self.frames: list[tuple[float, ...]] = []
        self.drawn = 0

    def shoot(self, state: HedgeState, anew: bool) -> None:
        """Remember the present; `anew` begins an episode."""
        if anew:
            self.frames, self.drawn = [], 0
        rows = (state.price, state.holding, state.delta, state.cost, state.margin_ratio)
        self.frames.append(tuple(float(row[0]) for row in rows))
        if self.mode == "human":
            self.show()

    def panels(self) -> list[Panel]:
        """Charts of the episode so far."""
        price, holding, delta, cost, margin = np.array(self.frames).T
        step = len(self.frames) - 1
        return [
            Panel(f"step {step}   price {price[-1]:,.2f}", {"price": price}),
            Panel(
                f"holding {holding[-1]:.3f}   delta {delta[-1]:.3f} (orange, model)",
                {"holding": holding, "delta": delta},
            ),
            Panel(f"cost {cost[-1]:.3f} premiums", {"cost": cost}),
            Panel(f"margin: maintenance / equity {margin[-1]:.3f}", {"margin": margin}),
        ]

    def show(self) -> U8 | None:
        """Return the picture (height, width, 3), or draw into the terminal."""
        if not self.frames:
            return None
        if self.mode == "rgb_array":
            return picture(self.panels())
        text = "\n".join(f"{panel.title}\n{letters(panel)}" for panel in self.panels())
        up = f"\x1b[{self.drawn}A\x1b[J" if self.drawn else ""  # over the last one
        sys.stdout.write(f"{up}{text}\n")
        sys.stdout.flush()
        self.drawn = text.count("\n") + 1
        return None

    def close(self) -> None:
        """Forget the episode."""
        self.frames, self.drawn = [], 0


def pillow() -> tuple[Any, Any]:
    """Pillow's modules Image and ImageDraw."""
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise ConfigError(
            "render_mode rgb_array draws with Pillow, which is not installed; pip install "
            "'faultline[rl]', or take render_mode human"
        ) from None
    return Image, ImageDraw


def bounds(panel: Panel) -> tuple[float, float]:
    """Range of a chart's values; a flat one gets some room."""
    values = np.concatenate(list(panel.lines.values()))
    low, high = float(values.min()), float(values.max())
    return low, max(high, low + 1e-3 * max(abs(high), 1.0))


def number(value: float) -> str:
    """Write a value of an axis."""
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.3f}"


def picture(panels: list[Panel]) -> U8:
    """Draw charts below each other, shape (height, width, 3)."""
    image_of, draw_on = pillow()
    image = image_of.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen = draw_on.Draw(image)
    height = (HEIGHT - EDGE) / len(panels)
    for i, panel in enumerate(panels):
        top = EDGE + i * height
        pen.text((EDGE, top), panel.title, fill=INK)
        frame = (EDGE + 60, top + 16, WIDTH - EDGE, top + height - EDGE)
        pen.rectangle(frame, outline=FAINT)
        low, high = bounds(panel)
        inner = (frame[1] + 6, frame[3] - 6)  # so that no line lies on the frame
        for place, value in zip(inner, (high, low), strict=True):
            text = number(value)
            pen.text((frame[0] - 6 - pen.textlength(text), place - 6), text, fill=INK)
        for line, colour in zip(panel.lines.values(), (BLUE, ORANGE), strict=False):
            x = np.linspace(frame[0] + 4, frame[2] - 4, max(len(line), 2))[: len(line)]
            y = inner[1] - (line - low) / (high - low) * (inner[1] - inner[0])
            points = list(zip(x.tolist(), y.tolist(), strict=True))
            if len(points) > 1:
                pen.line(points, fill=colour, width=2)
            a, b = points[-1]
            pen.ellipse((a - 3, b - 3, a + 3, b + 3), fill=colour)
    return np.asarray(image, np.uint8).copy()


def letters(panel: Panel) -> str:
    """Draw a chart's lines with Braille letters, `ROWS` lines of text."""
    low, high = bounds(panel)
    grid = np.zeros((ROWS, COLUMNS), np.int64)
    for line in panel.lines.values():
        x = np.arange(2 * COLUMNS)
        y = np.interp(x, np.linspace(0, 2 * COLUMNS - 1, len(line)), line)
        row = np.rint((high - y) / (high - low) * (4 * ROWS - 1)).astype(int)
        for i, j in zip(x.tolist(), row.tolist(), strict=True):
            grid[j // 4, i // 2] |= DOTS[i % 2][j % 4]
    return "\n".join("".join(chr(0x2800 + cell) for cell in row) for row in grid.tolist())
