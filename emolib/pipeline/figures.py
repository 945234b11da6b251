"""Pictures for the notebooks: grids of images with labels, flow fields as colours, training curves.

An image is a torch tensor (3, H, W) in [0, 1] or a numpy array (H, W, 3), uint8 or float in [0, 1]; None leaves a gap.
"""

import inspect
import io
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from PIL import Image


def new_figure(width: float, height: float) -> Figure:
    """A figure in inches that a notebook shows as a cell's last value, and only then."""
    figure = plt.figure(figsize=(width, height), layout="constrained")  # pyplot registers the notebook's display
    plt.close(figure)
    return figure


def as_picture(image) -> np.ndarray:
    """Any image of emolib as float (H, W, 3) in [0, 1] for matplotlib."""
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu().float().numpy()
        image = image.transpose(1, 2, 0) if image.ndim == 3 and image.shape[0] in (1, 3) else image
    image = image / 255.0 if image.dtype == np.uint8 else image
    image = image[..., None] if image.ndim == 2 else image
    return np.clip(np.broadcast_to(image, (*image.shape[:2], 3)), 0.0, 1.0)


def image_grid(rows, row_labels=None, col_labels=None, title: str = "", cell: float = 1.4) -> Figure:
    """A labelled grid. ``rows``: list of lists of images; ``cell``: side of a cell in inches."""
    n_rows, n_cols = len(rows), max(len(row) for row in rows)
    figure = new_figure(cell * n_cols + 0.9, cell * n_rows + (0.5 if title else 0.2))
    axes = figure.subplots(n_rows, n_cols, squeeze=False)
    for i, row in enumerate(rows):
        for j in range(n_cols):
            axis = axes[i][j]
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if j < len(row) and row[j] is not None:
                axis.imshow(as_picture(row[j]), interpolation="nearest")
            if j == 0 and row_labels is not None:
                axis.set_ylabel(row_labels[i], rotation=0, ha="right", va="center", fontsize=9)
            if i == 0 and col_labels is not None and j < len(col_labels):
                axis.set_title(col_labels[j], fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def flow_to_rgb(flow, largest: float | None = None) -> torch.Tensor:
    """A flow field (2, H, W) as colours (3, H, W) in [0, 1]: hue is direction, saturation is length, white is rest.

    ``largest``: the length drawn fully saturated (default: the field's own largest); give the same to compare fields.
    """
    x, y = torch.as_tensor(flow).detach().cpu().double().numpy()
    length = np.hypot(x, y)
    largest = largest or max(float(length.max()), 1e-12)
    hue = np.arctan2(-y, x) / (2 * np.pi) % 1.0
    hsv = np.stack([hue, np.clip(length / largest, 0, 1), np.ones_like(hue)], -1)
    return torch.from_numpy(hsv_to_rgb(hsv).transpose(2, 0, 1)).float()


# The lines of the 68 landmarks: first and last point, whether it is closed.
_LINES: tuple[tuple[int, int, bool], ...] = (
    (0, 17, False),
    (17, 22, False),
    (22, 27, False),
    (27, 31, False),
    (31, 36, False),
)
_LINES += ((36, 42, True), (42, 48, True), (48, 60, True), (60, 68, True))


def draw_landmarks(axis, landmarks, side: float = 18.0) -> None:
    """68 landmarks (68, 2), y down and centred on 0, as a line drawing that spans -side / 2 to side / 2 in both
    directions.
    """
    points = np.asarray(landmarks)
    for start, end, closed in _LINES:
        line = points[[*range(start, end), *([start] if closed else [])]]
        axis.plot(line[:, 0], line[:, 1], color="C0", lw=1)
    axis.set(aspect="equal", xticks=[], yticks=[], xlim=(-side / 2, side / 2), ylim=(side / 2 + 1.5, -side / 2 + 1.5))


def curves(table, names=None, x: str = "step", title: str = "", log: bool = False) -> Figure:
    """The columns ``names`` (default: all) of a table against column ``x``, one small panel each."""
    names = [n for n in table.columns if n != x] if names is None else list(names)
    figure = new_figure(2.6 * len(names), 2.1)
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names):
        axis.plot(table[x], table[name], lw=1.2)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel(x, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        if log:
            axis.set_yscale("log")
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


# A figure in git; all of a run are under 4 MB. A sheet of faces is made smaller before it is made coarse.
MOST_KB = 70
QUALITY = (86, 76, 66)  # of JPEG


def shows_pictures(figure: Figure) -> bool:
    """Whether a figure holds pictures (and is kept as JPEG) or lines and words (as PNG)."""
    return any(axis.images for axis in figure.axes)


def as_image(figure: Figure, dpi: int) -> Image.Image:
    """The figure as an RGB image, cut to what is drawn."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, bbox_inches="tight", format="png")
    return Image.open(buffer).convert("RGB")


def packed(image: Image.Image, pictures: bool) -> tuple[str, bytes]:
    """(ending, content) of an image in at most :data:`MOST_KB`: JPEG for pictures, else PNG of 256 colours. The same input, the same bytes.

    The first that fits of ever lower qualities, then of ever smaller sizes. DVC's plots show these two, not WebP.
    """
    size = np.array(image.size)
    for shrink in 0.88 ** np.arange(20):
        scaled = (
            image if shrink == 1 else image.resize(tuple((size * shrink).round().astype(int)), Image.Resampling.LANCZOS)
        )
        for quality in QUALITY if pictures else (0,):
            buffer = io.BytesIO()
            if pictures:
                scaled.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=True)
            else:
                scaled.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
                    buffer, "PNG", optimize=True
                )
            if buffer.tell() <= MOST_KB * 1000:
                return (".jpg" if pictures else ".png"), buffer.getvalue()
    raise ValueError(f"an image of {image.size[0]} x {image.size[1]} does not fit into {MOST_KB} kB")


def source(*functions) -> Markdown:
    """The code of functions (or methods, classes) as it stands, so that a page that quotes it cannot drift."""
    texts = [textwrap.dedent(inspect.getsource(function)) for function in functions]
    return Markdown("\n".join(f"```python\n{text.rstrip()}\n```" for text in texts))
