"""A scatter plot as a PNG file, for machines where nothing else can draw one."""

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

SIDE = 800
"""Pixels along an edge."""
MARGIN = 30
"""Pixels between the outermost points and the edge."""
RADIUS = 2.5
"""Of a point, in pixels."""


def plot_latents(path: Path, points: npt.NDArray[np.floating], values: npt.NDArray[np.number]) -> None:
    """Draw points (N, 2) coloured by values (N,), x to the right and y upwards, each axis filling the picture."""
    low, high = points.min(axis=0), points.max(axis=0)
    unit = (points - low) / np.maximum(high - low, 1e-12)
    centre = MARGIN + (SIDE - 1 - 2 * MARGIN) * np.stack(
        [unit[:, 0], 1 - unit[:, 1]], axis=1
    )  # (N, 2) pixels
    scaled = (values - values.min()) / max(float(np.ptp(values)), 1e-12)
    colours = (255 * _rainbow(scaled)).astype(np.uint8)  # (N, 3)

    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    reach = int(np.ceil(RADIUS))
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dx**2 + dy**2 <= RADIUS**2:
                column, row = np.rint(centre + np.array([dx, dy])).astype(np.int64).T
                picture[row, column] = colours
    _write_png(path, picture)


def _rainbow(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Colours (N, 3) for values in 0 ... 1, from blue through green and yellow to red."""
    stops = np.array(
        [[0.19, 0.24, 0.62], [0.10, 0.62, 0.75], [0.36, 0.75, 0.35], [0.95, 0.75, 0.20], [0.80, 0.15, 0.15]]
    )
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(values, at, channel) for channel in stops.T], axis=1)


def _write_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write (H, W, 3) as PNG (ISO/IEC 15948): signature, header, one compressed block of unfiltered rows, end."""
    height, width, _ = picture.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
