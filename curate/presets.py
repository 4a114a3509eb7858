"""`[cleaning]` of a pipeline file: the rules by which utterances and speakers are judged, one class a rule."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag
from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT

Cosine = Annotated[float, Field(ge=-1, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


@validated(frozen=True, kw_only=True, config=STRICT)
class Robust:
    """Wrong labels, mixed labels and voices of nobody, told by what each fault would give in the corpora themselves."""

    preset: Literal["robust"] = "robust"
    min_main_share: Share = 2 / 3  # of a mixed label: where nobody has as much of it, it is nobody's
    min_kept_share: Share = 0.25  # of a label's utterances: where less is left, it is nobody's
    min_utterances: int = Field(default=1, ge=1)  # that must be left of a speaker
    wrong_speaker: Literal["drop", "relabel"] = "drop"  # an utterance that is surely another label's may move to it


@validated(frozen=True, kw_only=True, config=STRICT)
class VietSV:
    """The rule of the VietSV paper, section 4.3."""

    preset: Literal["vietsv"] = "vietsv"
    iqr_factor: Positive = 1.5  # eq. 7
    min_speaker_similarity: Cosine | Literal["extractor"] = "extractor"  # below it a speaker is invalid


@validated(frozen=True, kw_only=True, config=STRICT)
class Duplicates:
    """Recordings that are there twice: the same samples, or the same recording changed or cut."""

    near: bool = True  # whether to look for changed and cut ones, too
    min_landmarks: int = Field(default=8, ge=2)  # that agree at one offset: by chance, other recordings share fewer
    min_share: Annotated[float, Field(gt=0, le=1)] = 0.1  # of the landmarks of the one that has fewer
    min_span: Share = 0.3  # of the shorter one: between the first and the last landmark that agree


PRESETS: dict[str, type[Robust | VietSV]] = {"robust": Robust, "vietsv": VietSV}


def _which(section: object) -> str:
    """A section that names none means the robust one."""
    return str(section.get("preset", "robust") if isinstance(section, dict) else getattr(section, "preset", ""))


CleaningSection = Annotated[
    Annotated[Robust, Tag("robust")] | Annotated[VietSV, Tag("vietsv")],
    Discriminator(_which),
]
