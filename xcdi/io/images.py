"""Images beside a scan: dark, flat field, bad pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage import io as pictures

from xcdi.backend import Array
from xcdi.errors import XcdiError

__all__ = ["WEAKEST", "read_image", "relative_flat"]

WEAKEST = 0.1  # pixels below this share of the median response see next to nothing; dividing by it only makes noise


def read_image(folder: Path, name: str, shape: tuple[int, int], origin: tuple[int, int]) -> Array:
    """Read a TIFF (or other) image and cut out the part that the frames show.

    Parameters
    ----------
    folder, name
        Where it is; `name` may hold sub-folders but no way out of `folder`.
    shape : (rows, columns)
        Of a frame.
    origin : (row, column)
        Of the frame's first pixel on the image, where the image is larger than a frame.

    Raises
    ------
    XcdiError
        If it is absent, no image, or does not cover the frames.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise XcdiError(f"{name!r} lies outside {str(folder)!r}; put the image beside the scan")
    try:
        image = np.asarray(pictures.imread(path))
    except FileNotFoundError:
        raise XcdiError(f"{path}: no such file; the beamline expects this image beside the scan") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise XcdiError(f"{path}: not an image ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None
    if image.shape == shape:
        return image
    part = image[origin[0] : origin[0] + shape[0], origin[1] : origin[1] + shape[1]]
    if part.shape != shape:
        raise XcdiError(f"{path}: image {image.shape} does not cover frames {shape} from pixel {origin}; check detector.roi_origin")
    return part


def relative_flat(image: Array) -> tuple[Array, Array]:
    """Response relative to the median, and which pixels respond at all.

    Parameters
    ----------
    image : array (y, x)
        Counts under even light.

    Returns
    -------
    flat : float32 (y, x)
        1 for a typical pixel, and 1 where `valid` is False.
    valid : bool (y, x)
        False where the response is below WEAKEST of the median, or not finite.

    Examples
    --------
    >>> relative_flat(np.array([[2.0, 4.0], [0.0, 6.0]]))[0]
    array([[0.5, 1. ],
           [1. , 1.5]], dtype=float32)
    """
    seen = image[np.isfinite(image) & (image > 0)]
    if not seen.size:
        raise XcdiError("the flat-field image holds no positive value")
    flat = image / np.median(seen)
    valid = np.isfinite(flat) & (flat >= WEAKEST)
    return np.where(valid, flat, 1.0).astype(np.float32), valid
