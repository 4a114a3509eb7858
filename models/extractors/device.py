"""Where an encoder computes."""

import torch

from curate.errors import ExtractorError


def device_of(name: str) -> torch.device:
    """The device of this name; `auto` is a GPU where there is one. Raises ExtractorError where it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.allow_tf32 = False  # by default float32 is not float32 there, and a batch is heard otherwise
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ExtractorError(
            f'device {name!r}: {torch.cuda.device_count()} GPUs here; expected one of them, "cpu" or "auto"'
        )
    return device
