"""The form of a network that is fastest on a processor, and the type that it multiplies in."""

import logging
from typing import TypeVar

import torch
from torch import nn

from models.common import onednn
from models.common.ecapa import Ecapa
from models.common.ecapa_onednn import FastEcapa
from models.common.resnet import ResNet
from models.common.resnet_onednn import FastResNet

N = TypeVar("N", bound=nn.Module)
log = logging.getLogger("voxcurate")


def dtype_on(device: torch.device, precision: str) -> torch.dtype:
    """What our networks compute in there where this precision is asked for: a processor may not have it."""
    asked = torch.bfloat16 if precision == "bfloat16" else torch.float32
    used = onednn.fastest(asked) if device.type == "cpu" else asked
    if used != asked:
        log.warning("bfloat16: this processor does not multiply it; float32 is faster here and is what it computes in")
    return used


def for_processor(network: N, dtype: torch.dtype) -> N | FastEcapa | FastResNet:
    """The network through oneDNN, its products in this type, where it has such a form; else as it is, in float32."""
    if isinstance(network, Ecapa):
        return FastEcapa(network, dtype)
    return FastResNet(network, dtype) if isinstance(network, ResNet) else network
