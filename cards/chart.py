"""ChartView -> PNG, by Matplotlib without a display. Optional: ``pip install 'gatehouse[charts]'``.

It takes a tenth of a second and some megabytes, so callers run it in a thread; one picture is drawn at a time.
"""

from __future__ import annotations

import io
import threading
import warnings

from bot.domain.answers import ChartView

from .foreign import clean

_LOCK = threading.Lock()  # Matplotlib's text layout is not made for several threads
WIDTH, HEIGHT, DPI = 7.2, 3.6, 150  # inches, so about 1080 by 540 pixels
INK, LINE, BAR = "#1f2937", "#2563eb", "#3b82f6"
LABEL = 28


def available() -> bool:
    """Whether pictures can be drawn here."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def png(view: ChartView) -> bytes:
    """The picture. Raises ``ImportError`` where Matplotlib is not installed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks is a box, no fault
        height = HEIGHT if view.kind == "line" else max(HEIGHT, 0.3 * len(view.values) + 1.2)
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        labels = [_label(text) for text in view.labels]
        if view.kind == "line":
            places = list(range(len(labels)))
            axes.plot(places, view.values, color=LINE, linewidth=2, marker="o", markersize=3)
            axes.fill_between(places, view.values, color=LINE, alpha=0.12)
            every = max(1, -(-len(labels) // 8))
            axes.set_xticks(places[::every], labels[::every])
            axes.set_ylim(min(0.0, *view.values), None if any(view.values) else 1.0)
            axes.yaxis.set_major_locator(MaxNLocator(integer=_whole(view), nbins=6))
            axes.set_ylabel(_label(view.unit), parse_math=False)
        else:
            places = list(range(len(labels)))[::-1]
            bars = axes.barh(places, view.values, color=BAR)
            axes.set_yticks(places, labels)
            axes.bar_label(bars, fmt="{:,g}", padding=3, fontsize=8, color=INK)
            axes.xaxis.set_major_locator(MaxNLocator(integer=_whole(view), nbins=6))
            axes.set_xlabel(_label(view.unit), parse_math=False)
        for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            tick.set_parse_math(False)  # a "$" in a name is no formula
        axes.set_title(_label(view.title, 90), loc="left", color=INK, fontsize=11, parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=8)
        axes.grid(axis="y" if view.kind == "line" else "x", alpha=0.25)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": "Gatehouse"})
        return buffer.getvalue()


def _label(text: str, limit: int = LABEL) -> str:
    text = clean(text, lines=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _whole(view: ChartView) -> bool:
    return all(float(value).is_integer() for value in view.values)
