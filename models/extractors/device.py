"""Where an encoder computes."""

import torch

from curate.errors import ExtractorError


def device_of(name: str) -> torch.device:
    """The device of this name; `auto` is a GPU where there is one. Raises ExtractorError where it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    multiply_float32_as_such()
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ExtractorError(
            f'device {name!r}: {torch.cuda.device_count()} GPUs here; expected one of them, "cpu" or "auto"'
        )
    return device


def multiply_float32_as_such() -> None:
    """Without TF32 on a GPU, whose ten bits have a batch heard otherwise than one by one.

    Convolutions use it by default; products of matrices, too, once SpeechBrain is imported.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
