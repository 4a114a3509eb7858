"""`[embedding]`: which encoder listens, where it computes, and to what of an utterance it listens."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag
from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


def _at_hub(example: str) -> str:
    """What is expected of a source that may lie at the hub; `description` of a field is what its faults ask for."""
    return f'a name at the Hugging Face hub such as "{example}", or a folder'


@validated(frozen=True, kw_only=True, config=STRICT)
class Hearing:
    """What is said of every encoder alike."""

    TAKES_SOURCE: ClassVar[bool] = True
    SOURCE_IS_FILE: ClassVar[bool] = True  # else it may be a name at a hub, too
    HAS_BFLOAT16: ClassVar[bool] = True

    extractor: str
    source: str | None = None
    name: Name | None = None  # what its vectors are filed under
    device: str = "auto"  # a GPU where there is one; or cpu, cuda, cuda:1
    precision: Literal["float32", "bfloat16"] = "float32"
    speech: Literal["all", "energy", "silero"] = "all"  # what is cut away before: nothing, or what is no speech
    part: Literal["whole", "first", "windows"] = "whole"  # of what is left
    part_s: Seconds = 3.0  # of `first`, and of each window
    hop_s: Seconds | None = None  # from one window to the next; half a window where it is not said
    utterances_per_block: int = Field(default=256, ge=1)
    decoders: int = Field(default=2, ge=1)  # threads that decode beside the network, for each block in work

    def __post_init__(self) -> None:
        if self.source is not None and not self.TAKES_SOURCE:
            others = ", ".join(name for name, kind in EXTRACTORS.items() if kind.TAKES_SOURCE)
            raise ValueError(
                f"source {self.source!r}: {self.extractor} takes none; "
                f"expected no `source`, or `extractor` to be one of {others}"
            )
        if self.precision == "bfloat16" and not self.HAS_BFLOAT16:
            raise ValueError(f"precision 'bfloat16': {self.extractor} computes in float32 only; expected 'float32'")
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", self.device):
            raise ValueError(f"device {self.device!r}; expected 'auto', 'cpu', 'cuda' or one such as 'cuda:1'")
        if self.hop_s is not None and self.hop_s > self.part_s:
            raise ValueError(f"hop_s {self.hop_s} leaves out what is between windows; expected at most part_s")


@validated(frozen=True, kw_only=True, config=STRICT)
class Ge2e(Hearing):
    """The GE2E encoder on the weights that the package `resemblyzer` carries."""

    TAKES_SOURCE: ClassVar[bool] = False
    HAS_BFLOAT16: ClassVar[bool] = False

    extractor: Literal["ge2e"] = "ge2e"


@validated(frozen=True, kw_only=True, config=STRICT)
class SpeechBrain(Hearing):
    """Any `EncoderClassifier` of SpeechBrain, by its name at the Hugging Face hub or as a local folder."""

    SOURCE_IS_FILE: ClassVar[bool] = False

    extractor: Literal["speechbrain"]
    source: str = Field(min_length=1, description=_at_hub("speechbrain/spkrec-ecapa-voxceleb"))


@validated(frozen=True, kw_only=True, config=STRICT)
class Onnx(Hearing):
    """A network from filter banks to a vector, as WeSpeaker and 3D-Speaker publish theirs."""

    HAS_BFLOAT16: ClassVar[bool] = False

    extractor: Literal["onnx"]
    source: str = Field(min_length=1, description='a file such as "voxceleb_resnet34.onnx"')
    features: Literal["auto", "wespeaker", "3dspeaker"] = "auto"  # auto: as the file itself says


@validated(frozen=True, kw_only=True, config=STRICT)
class Transformers(Hearing):
    """A self-supervised encoder of `transformers` (wav2vec 2.0, HuBERT, WavLM), its frames averaged at one layer."""

    SOURCE_IS_FILE: ClassVar[bool] = False

    extractor: Literal["transformers"]
    source: str = Field(min_length=1, description=_at_hub("microsoft/wavlm-base"))
    layer: int = Field(ge=0, description="the number of a layer such as 9, where 0 is what enters the first")


@validated(frozen=True, kw_only=True, config=STRICT)
class Checkpoint(Hearing):
    """A network of `models/`, as training keeps it."""

    extractor: Literal["checkpoint"]
    source: str = Field(
        min_length=1, description='a folder with model.safetensors and model.json such as "checkpoints/ecapa"'
    )


Embedding = Ge2e | SpeechBrain | Onnx | Transformers | Checkpoint
EXTRACTORS: dict[str, type[Hearing]] = {
    "ge2e": Ge2e,
    "speechbrain": SpeechBrain,
    "onnx": Onnx,
    "transformers": Transformers,
    "checkpoint": Checkpoint,
}


def _which(section: object) -> str:
    """A section that names none means GE2E."""
    return str(section.get("extractor", "ge2e") if isinstance(section, dict) else getattr(section, "extractor", ""))


EmbeddingSection = Annotated[
    Annotated[Ge2e, Tag("ge2e")]
    | Annotated[SpeechBrain, Tag("speechbrain")]
    | Annotated[Onnx, Tag("onnx")]
    | Annotated[Transformers, Tag("transformers")]
    | Annotated[Checkpoint, Tag("checkpoint")],
    Discriminator(_which),
]


def name_of(hearing: Hearing) -> str:
    """What its vectors are filed under: as the section says, or the last part of where the encoder comes from."""
    if hearing.name is not None:
        return hearing.name
    if hearing.source is None:
        return hearing.extractor
    last = Path(hearing.source).name.removesuffix(".onnx")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-._") or "encoder"
