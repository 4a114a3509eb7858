"""The form of a network that is fastest on a processor."""

import logging

import torch

from models.common import onednn
from models.common.ecapa import Ecapa
from models.common.ecapa_onednn import FastEcapa
from models.common.resnet import ResNet
from models.common.resnet_onednn import FastResNet

log = logging.getLogger("voxcurate")


def for_processor(network: Ecapa | ResNet, dtype: torch.dtype) -> FastEcapa | FastResNet:
    """The network through oneDNN, its products in this type, or in float32 where the processor has no such products."""
    fastest = onednn.fastest(dtype)
    if fastest != dtype:
        log.warning("bfloat16: this processor does not multiply it; float32 is faster here and is what it computes in")
    return FastEcapa(network, fastest) if isinstance(network, Ecapa) else FastResNet(network, fastest)
