"""How speech and speaker recognition are trained in one network: every row of tables 1 to 3 (Vaessen and van Leeuwen
2023, "Towards multi-task learning of speech and speaker recognition", arXiv:2302.12773).

Section 4.2: wav2vec 2.0 BASE as it was pre-trained, its convolutions frozen for good and all of it for 3,000 steps;
batches of up to 3.2 M samples (200 s); Adam, a tri-stage rate, {1, 3} x 1e-{4, 5, 6} of which a grid finds the best (a
recipe has 3e-5), gradients clipped to [-1, 1], 200 k steps, a validation each 5 k, an end after 40 k without gain.
Section 3.2: crops of 2 or 10 s for speakers, whole utterances for speech and for both together.

Where the authors' code differs, and what is taken:

- Disjoint steps have two batches of up to 1.6 M samples there, 3.2 M together. The paper says 3.2 M "for both tasks";
  taken is the code's, so that a step hears as much as one of a single task.
- The code clips the norm of a gradient to 1 where there are two tasks, each number to [-1, 1] where there is one. Taken
  is the paper's. That of each batch is clipped before both are added (table 1); in table 2 their sum is (section 4.4).
- The code drops no layers (LayerDrop); the paper does.
- The code's CTC layer begins with a bias by the shares of letters; the paper's is a plain layer.
- Half precision there is float16; here bfloat16, which needs no scaling of losses.
- A validation hears voices by random crops in the paper (section 4.1), by beginnings as long in the code. Taken is the
  code's, which is the same each time. Words are read in whole utterances, and joint training, which has no crops, tells
  voices by these, too.

Shape letters: B batch, N samples, T frames, D width or embedding, V codes of the vocabulary, L layers, characters.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn

from curate.corpora.described import STRICT
from curate.errors import TrainingError
from models import checkpoint
from models.common.augment import SpecAugmentSettings
from models.common.classification import AdditiveAngularMargin, precise
from models.common.ecapa import EcapaSettings
from models.data.speech import Integers
from models.data.texts import LIBRISPEECH, Vocabulary
from models.disjoint_mtl import weights
from models.disjoint_mtl.encoder import SpeakerEncoder, SpeakerEncoderSettings
from models.disjoint_mtl.loss import Training, ctc, frames_needed, weighed
from models.disjoint_mtl.model import Pooling, SpeakerPooling, Wav2Vec2, Wav2Vec2Settings, mean_of_frames
from models.training.recipe import Batches, Optimizer, Recipe, Whole
from models.training.schedules import TriStage
from models.training.system import Labels, Parts, System, checked, long_enough, written_out


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings:
    """What a recipe says of the system."""

    training: Training
    network: Wav2Vec2Settings = Wav2Vec2Settings()
    characters: str | None = LIBRISPEECH.letters  # that it writes, beside blanks; None: a run finds those of its texts
    speech_weight: float = Field(default=0.5, ge=0, le=1)  # lambda_s; lambda_k is what is left of 1
    speaker_layer: int = Field(default=12, ge=0)  # whose output the speaker head reads
    pooling: Pooling = "mean"
    ecapa: EcapaSettings | None = None  # sizes of that pooling
    margin_rad: float = Field(default=0.2, ge=0)
    scale: float = Field(default=30.0, gt=0)
    frozen_steps: int = Field(default=3000, ge=0)  # of the optimiser, before which only heads learn

    def __post_init__(self) -> None:
        if self.speaker_layer > self.network.num_hidden_layers:
            most = self.network.num_hidden_layers
            raise ValueError(f"speaker_layer {self.speaker_layer}; expected 0 to {most}, the layers that there are")
        try:
            Vocabulary(LIBRISPEECH.letters if self.characters is None else self.characters)
        except TrainingError as error:
            raise ValueError(f"characters: {error}") from error
        if self.training == "speech" and self.pooling == "ecapa":
            raise ValueError("pooling ecapa with training speech, which does not learn it; expected mean or first")


@final
class DisjointMtlSystem(System):
    """One wav2vec 2.0; a CTC head on its last layer, and a speaker head on one of its layers."""

    network: Wav2Vec2
    has_layers = True
    learns_in_parts = True  # a head at a time; layers are dropped, and frozen at first

    def __init__(self, settings: Settings, *, num_people: int) -> None:
        super().__init__()
        self.knows_voices = settings.training != "speech"
        self.settings = settings
        self.num_steps = 0  # of the optimiser, done
        self.network = Wav2Vec2(settings.network)
        width = settings.network.hidden_size
        self.pooling = SpeakerPooling(settings.pooling, width, settings.ecapa)
        self.vocabulary: Vocabulary | None = None
        self.speech_head: nn.Linear | None = None
        self.speaker_loss: AdditiveAngularMargin | None = None
        if settings.training != "speaker":
            if settings.characters is None:
                raise ValueError("characters: none; expected letters, where no run reads texts to find them in")
            self.vocabulary = Vocabulary(settings.characters)
            self.speech_head = nn.Linear(width, len(self.vocabulary))
        if settings.training != "speech":
            self.speaker_loss = AdditiveAngularMargin(
                self.pooling.dimension, num_people, margin_rad=settings.margin_rad, scale=settings.scale
            )

    @property
    def encoder(self) -> SpeakerEncoder:
        """What `embed` hears by, its weights those of the system."""
        ecapa = None if self.pooling.ecapa is None else self.pooling.ecapa.settings
        told, settings = self.settings, self.settings.network
        with torch.device("meta"):
            made = SpeakerEncoder(
                SpeakerEncoderSettings(network=settings, layer=told.speaker_layer, pooling=told.pooling, ecapa=ecapa)
            )
        made.network, made.pooling = self.network, self.pooling
        return made

    @property
    def is_frozen(self) -> bool:
        """Whether only heads learn."""
        return self.num_steps < self.settings.frozen_steps

    def texts_too_long(self, num_samples: Integers, texts: Sequence[Integers]) -> NDArray[np.bool_]:
        """(B,) those that `losses` will count: of what is too short for a frame it hears more, by repetition."""
        least = self.pooling.min_frames if self.settings.training == "joint" else 1
        heard_B = torch.from_numpy(num_samples).clamp(min=self.settings.network.min_samples(least))
        needed = [int(frames_needed(torch.from_numpy(text)[None])) for text in texts]
        return np.array(needed, np.int64) > self.network.num_frames(heard_B).numpy()

    def begin_step(self, num_steps: int) -> None:
        """The network is frozen while it is below `frozen_steps`."""
        self.num_steps = num_steps

    def losses(self, wave_BN: Tensor, labels: Labels) -> Parts:
        """Eq. 1 is `loss`; beside it, unweighed, `ctc` with the number `too_long` to be read, and `aam_softmax`.

        Heads and losses are in float32 under autocast too.
        """
        last, at = self.settings.network.num_hidden_layers, self.settings.speaker_layer
        reads = self.speech_head is not None and "text" in labels
        knows = self.speaker_loss is not None and "person" in labels
        layers = ({last} if reads else set()) | ({at} if knows else set())
        told, speech, speaker = {}, None, None
        if layers:
            frames = self.pooling.min_frames if knows else 1
            x_BTD, frames_B = self._layers(wave_BN, labels.get("samples"), layers, frames, is_frozen=self.is_frozen)
        if self.speech_head is not None and reads:
            read = ctc(self._logits(x_BTD[last]), _all_of(x_BTD[last], frames_B), labels["text"])
            speech, told = read.loss, {"ctc": read.loss, "too_long": read.num_too_long}
        if self.speaker_loss is not None and knows:
            speaker = self.speaker_loss(self.pooling(x_BTD[at], frames_B), labels["person"])
            told["aam_softmax"] = speaker
        loss = weighed(self.settings.training, self.settings.speech_weight, speech=speech, speaker=speaker)
        return {"loss": loss, **told}

    def embed(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D): what the speaker head makes of its layer; of a system that learns speech alone that layer's mean."""
        at = self.settings.speaker_layer
        x_BTD, frames_B = self._layers(wave_BN, samples_B, {at}, self.pooling.min_frames)
        vector_BD: Tensor = self.pooling(x_BTD[at], frames_B)
        return vector_BD.float()

    def transcribe(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> list[str]:
        """What is said in each, by the likeliest code of each frame. Raises TrainingError without a speech head."""
        if self.vocabulary is None:
            raise TrainingError("this system writes no text; expected one that learns speech")
        last = self.settings.network.num_hidden_layers
        x_BTD, frames_B = self._layers(wave_BN, samples_B, {last}, 1)
        codes_BT = self._logits(x_BTD[last]).argmax(dim=2).cpu().numpy()
        lengths = _all_of(x_BTD[last], frames_B).tolist()
        return [self.vocabulary.decoded(codes[:length]) for codes, length in zip(codes_BT, lengths, strict=True)]

    def layer_vectors(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, 1 + L, D) in float32: the mean over time of what enters the first layer, and leaves each (figure 1)."""
        layers = range(self.settings.network.num_hidden_layers + 1)
        x_BTD, frames_B = self._layers(wave_BN, samples_B, layers, 1)
        return torch.stack([mean_of_frames(x_BTD[layer], frames_B) for layer in layers], dim=1).float()

    def _layers(
        self, wave_BN: Tensor, samples_B: Tensor | None, layers: Any, min_frames: int, *, is_frozen: bool = False
    ) -> tuple[dict[int, Tensor], Tensor | None]:
        """Waveforms too short for so many frames are repeated up to them."""
        waves = long_enough(wave_BN, samples_B, self.settings.network.min_samples(min_frames))
        with torch.no_grad() if is_frozen else nullcontext():
            found: tuple[dict[int, Tensor], Tensor | None] = self.network(*waves, layers=layers)
        return found

    def _logits(self, x_BTD: Tensor) -> Tensor:
        """(B, T, V) in float32 at least."""
        assert self.speech_head is not None  # noqa: S101  # who calls has looked
        with torch.autocast(x_BTD.device.type, enabled=False):
            logits_BTV: Tensor = self.speech_head(precise(x_BTD))
        return logits_BTV


def _all_of(x_BTD: Tensor, frames_B: Tensor | None) -> Tensor:
    """(B,) valid frames, told where they are all."""
    return torch.full((len(x_BTD),), x_BTD.shape[1], device=x_BTD.device) if frames_B is None else frames_B


def made(settings: Mapping[str, Any], *, num_people: int, spec_augment: SpecAugmentSettings) -> DisjointMtlSystem:
    """See `Settings`; masks are those of the network's own settings. Raises ValueError."""
    if spec_augment != SpecAugmentSettings():
        raise ValueError("augmentation.spec_augment: masks of filter banks; expected none, but settings.network.mask_*")
    return DisjointMtlSystem(checked(Settings, settings), num_people=num_people)


def begin_with(system: System, place: Path) -> list[str]:
    """Weights in the layout of facebook/wav2vec2-base: a folder or a name at the hub; or an encoder of ours.

    Heads begin anew. Raises ExtractorError for weights of other sizes, and where there are none.
    """
    assert isinstance(system, DisjointMtlSystem)  # noqa: S101  # `made` made it
    return [weights.load_into(system.network, place)]


def save_encoder(folder: Path, system: System) -> None:
    """The network with its speaker head, whose vectors are those of `embed`; the speech head stays behind."""
    assert isinstance(system, DisjointMtlSystem)  # noqa: S101  # `made` made it
    checkpoint.save(folder, system.encoder, features="wave")


# --------------------------------------------------------------------------------------------------------- the recipes

STEP_S = 200.0  # of audio that a step of the optimiser hears: 3.2 M samples
LONGEST_S = 36.0  # longer than any utterance of LibriSpeech: what is said is scored on all of it


def _recipe(
    name: str,
    training: Training,
    data: str,
    figures: str,
    *,
    crop_s: float | None = None,
    speech_weight: float = 0.5,
    pooling: Pooling = "mean",
    layer: int = 12,
    is_sum_clipped: bool = False,
) -> Recipe:
    """Of a row: on which data, with which figures in the paper."""
    is_disjoint = training == "disjoint"
    batch_s = STEP_S / 2 if is_disjoint else STEP_S
    learns: tuple[Literal["person", "text"], ...] = ("person", "text") if training == "joint" else ("text",)
    network = Wav2Vec2Settings()
    ecapa = EcapaSettings(num_bands=network.hidden_size) if pooling == "ecapa" else None
    settings = Settings(
        training=training,
        network=network,
        speech_weight=speech_weight,
        speaker_layer=layer,
        pooling=pooling,
        ecapa=ecapa,
    )
    return Recipe(
        name=f"w2v2-{name}",
        system="disjoint_mtl",
        settings=written_out(settings),
        source=f"trained on {data}: {figures} (Vaessen and van Leeuwen 2023)",
        begins_with=f"{weights.BASE}, a folder or a name at the Hugging Face hub",
        batches=None if crop_s is None else Batches(utterances=round(batch_s / crop_s), crop_s=(crop_s, crop_s)),
        whole=None if training == "speaker" else Whole(seconds=batch_s, learns=learns),
        steps_an_epoch=5000,
        optimizer=Optimizer(kind="adam"),
        schedule=TriStage(rate=3e-5),
        epochs=40,
        accumulate=2 if is_disjoint else 1,
        clip_value=1.0,
        clip_each=is_disjoint and not is_sum_clipped,
        precision="bfloat16",
        patience=8,
        validate_s=LONGEST_S if crop_s is None else crop_s,
        validate_whole_s=LONGEST_S,
    )


def _figures(table: str, speech: tuple[str, str] | None, speaker: tuple[str, str] | None) -> str:
    """WER and EER in %, where the paper has them."""
    told = [] if speech is None else [f"WER {speech[0]} % on LS test-other, {speech[1]} % on HUB5"]
    told += [] if speaker is None else [f"EER {speaker[0]} % on vox1-h, {speaker[1]} % on SRE08"]
    return f"{'; '.join(told)}; {table}"


LS, V2, V2_READ = "LibriSpeech (LS)", "VoxCeleb2 (V2)", "VoxCeleb2 with Whisper's texts (V2*)"
BOTH, BOTH_READ = "LibriSpeech's texts and VoxCeleb2's people (LS+V2)", f"{LS} and {V2_READ} (LS+V2*)"
FIRST, SECOND, THIRD = "table 1", "table 2", "tables 1 and 3"

SINGLE = (
    _recipe("asr-ls", "speech", LS, _figures(THIRD, ("10.4", "40"), None)),
    _recipe("asr-v2", "speech", V2_READ, _figures(FIRST, ("16.6", "25"), None)),
    _recipe("skr-2s-ls", "speaker", LS, _figures(FIRST, None, ("33", "42")), crop_s=2.0),
)
JOINT = (
    _recipe("joint-ls-0.5", "joint", LS, _figures(FIRST, ("15.3", "48"), ("36", "40"))),
    _recipe("joint-0.5", "joint", BOTH_READ, _figures(FIRST, ("18.1", "36"), ("10.3", "24"))),
    _recipe("joint-0.9", "joint", BOTH_READ, _figures(THIRD, ("17.5", "36"), ("7.2", "26")), speech_weight=0.9),
)
DISJOINT: dict[tuple[float, str], tuple[str, tuple[str, str], tuple[str, str]]] = {  # crop, row: its data and figures
    (2.0, "ls-0.5"): (LS, ("14.5", "54"), ("45", "46")),
    (2.0, "0.5"): (BOTH, ("11.1", "46"), ("41", "45")),
    (2.0, "0.9"): (BOTH, ("11.5", "48"), ("42", "46")),
    (10.0, "ls-0.5"): (LS, ("13.6", "49"), ("36", "44")),
    (10.0, "0.5"): (BOTH, ("11.1", "80"), ("4.8", "39")),
    (10.0, "0.9"): (BOTH, ("11.2", "84"), ("4.7", "27")),
}
ALONE: dict[tuple[float, Pooling], tuple[str, str]] = {  # EER of table 2, STL
    (2.0, "mean"): ("5.1", "17 (tables 1 and 3: 16)"),
    (2.0, "first"): ("5.4", "19"),
    (2.0, "ecapa"): ("6.3", "21"),
    (10.0, "mean"): ("5.1", "13"),
    (10.0, "first"): ("5.2", "14"),
    (10.0, "ecapa"): ("5.8", "13"),
}
TOGETHER: dict[tuple[float, Pooling, int], tuple[tuple[str, str], tuple[str, str]]] = {  # of table 2, MTL
    (2.0, "mean", 6): (("13.5", "53"), ("21", "40")),
    (2.0, "mean", 12): (("13.4", "52"), ("34", "44")),
    (2.0, "first", 6): (("13.6", "52"), ("12", "29")),
    (2.0, "first", 12): (("13.9", "53"), ("34", "40")),
    (2.0, "ecapa", 6): (("13.2", "45"), ("9", "25")),
    (2.0, "ecapa", 12): (("13.9", "53"), ("35", "39")),
    (10.0, "mean", 6): (("12.9", "51"), ("3.9", "31")),
    (10.0, "mean", 12): (("12.8", "79"), ("4.0", "33")),
    (10.0, "first", 6): (("13.2", "46"), ("3.9", "15")),
    (10.0, "first", 12): (("13.4", "79"), ("4.0", "16")),
    (10.0, "ecapa", 6): (("13.2", "42"), ("4.2", "19")),
    (10.0, "ecapa", 12): (("12.7", "83"), ("4.7", "16")),
}

RECIPES = (
    *SINGLE,
    *(
        _recipe(
            f"skr-{crop_s:g}s-{pooling}",
            "speaker",
            V2,
            _figures("tables 1 to 3" if (crop_s, pooling) == (2.0, "mean") else SECOND, None, speaker),
            crop_s=crop_s,
            pooling=pooling,
        )
        for (crop_s, pooling), speaker in ALONE.items()
    ),
    *JOINT,
    *(
        _recipe(
            f"dj-{crop_s:g}s-{row}",
            "disjoint",
            data,
            _figures(THIRD if row == "0.9" else FIRST, speech, speaker),
            crop_s=crop_s,
            speech_weight=float(row.removeprefix("ls-")),
        )
        for (crop_s, row), (data, speech, speaker) in DISJOINT.items()
    ),
    *(
        _recipe(
            f"dj-{crop_s:g}s-{pooling}-c{layer}",
            "disjoint",
            BOTH,
            _figures(SECOND, speech, speaker),
            crop_s=crop_s,
            pooling=pooling,
            layer=layer,
            is_sum_clipped=True,
        )
        for (crop_s, pooling, layer), (speech, speaker) in TOGETHER.items()
    ),
)
