"""The weights that a network begins with, and the folder that it is kept in: the layout of facebook/wav2vec2-base.

<folder>/config.json, model.safetensors      the network, as `transformers` saves and loads it
<folder>/preprocessor_config.json            whether waveforms are normalised
"""

from pathlib import Path
from typing import Any

import torch

from curate.errors import ExtractorError
from models import checkpoint
from models.disjoint_mtl.encoder import SpeakerEncoder
from models.disjoint_mtl.model import Wav2Vec2, Wav2Vec2Settings
from models.extractors.hub import folder_of
from models.extractors.transformers import CONFIGS, PICKLED, SAFE, one_line, quiet

BASE = "facebook/wav2vec2-base"
SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("conv_dim", "conv_kernel", "conv_stride", "num_conv_pos_embeddings", "num_conv_pos_embedding_groups"),
)
FORM = {  # of BASE, by config.json
    "model_type": "wav2vec2",
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
    "conv_bias": False,
    "add_adapter": False,
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
}
MASK = "masked_spec_embed"  # what stands for masked frames: some published weights have none


def load_into(network: Wav2Vec2, place: Path) -> str:
    """Put the weights of a folder, or of a name at the hub, into a network of the same sizes; what matched, in words.

    Of an encoder of ours its speaker head is left.

    Raises ExtractorError, which says how to bring them, where they are not there, and for weights of another network.
    """
    if (place / checkpoint.DESCRIPTION).is_file():
        theirs, missing = _ours(place, network.settings), set[str]()
    else:
        theirs, missing = _at(place, network.settings)
    own = network.model.state_dict()
    fits = {key: tensor for key, tensor in theirs.items() if key in own and key not in missing}
    network.model.load_state_dict(own | fits)
    anew = ["heads", *sorted(own.keys() - fits.keys())]
    return f"{place}: {len(fits)} of {len(own)} tensors of the network matched; {', '.join(anew)} begin anew"


def _ours(place: Path, settings: Wav2Vec2Settings) -> dict[str, torch.Tensor]:
    loaded = checkpoint.load(place)
    if not isinstance(loaded.network, SpeakerEncoder):
        raise ExtractorError(f"{place}: {loaded.description.architecture}; expected wav2vec2")
    for name in (*SIZES, "do_normalize"):
        found, wanted = getattr(loaded.network.settings.network, name), getattr(settings, name)
        if found != wanted:
            raise ExtractorError(f"{place}: its {name} is {found}; expected {wanted}, that of settings.network.{name}")
    state: dict[str, torch.Tensor] = loaded.network.network.model.state_dict()
    return state


def _at(place: Path, settings: Wav2Vec2Settings) -> tuple[dict[str, torch.Tensor], set[str]]:
    """Of a folder or a name at the hub; and which are made up."""
    try:
        folder = folder_of(str(place), CONFIGS, (SAFE, PICKLED), example=BASE)
    except ExtractorError as error:
        if "hf download" in str(error):
            raise
        raise ExtractorError(f"{error} (`hf download {BASE} --local-dir FOLDER` brings it)") from error
    with one_line(str(place)), quiet():
        return _published(folder, settings)


def _published(folder: Path, settings: Wav2Vec2Settings) -> tuple[dict[str, torch.Tensor], set[str]]:
    """Its weights, and which of them are made up, as the folder has none: at most that for masks."""
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    for name, wanted in FORM.items():
        if getattr(config, name) != wanted:
            raise ExtractorError(f"its {name} is {getattr(config, name)!r}; expected {wanted!r}, as of {BASE}")
    for name in SIZES:
        found, wanted = _plain(getattr(config, name)), _plain(getattr(settings, name))
        if found != wanted:
            raise ExtractorError(f"its {name} is {found}; expected {wanted}, that of settings.network.{name}")
    features: Any = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if features.do_normalize != settings.do_normalize:
        told = f"its do_normalize is {features.do_normalize}; expected {settings.do_normalize}"
        raise ExtractorError(f"{told}, that of settings.network.do_normalize")
    model, loaded = AutoModel.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, output_loading_info=True
    )
    missing = {*loaded["missing_keys"]}
    if lacking := sorted(missing - {MASK}):
        raise ExtractorError(f"its weights lack {len(lacking)} parameters, {lacking[0]} among them; expected all")
    return model.state_dict(), missing


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
