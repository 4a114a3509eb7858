"""What is minimised: CTC of what is said, and how it and AAM-softmax of who says it are weighed (arXiv:2302.12773).

Equations are those of that paper.

The speaker's loss is `models.common.classification.AdditiveAngularMargin`, margin 0.2 and scale 30 (section 4.2).

How the losses of a batch become its CTC loss, the paper does not say. Here as in the authors' code: each utterance's is
divided by the characters of its text, and the mean is taken over utterances. The sum over characters would be a hundred
times AAM-softmax, and weights of 0.5 or 0.9 would not balance the two.

Shape letters: B batch, T frames, V codes of the vocabulary, L characters of a text.
"""

from typing import Literal, NamedTuple

from torch import Tensor
from torch.nn import functional as F

from models.common.classification import precise
from models.data.texts import BLANK

Training = Literal["speech", "speaker", "joint", "disjoint"]


class Read(NamedTuple):
    """How well a batch was read."""

    loss: Tensor  # a scalar
    num_too_long: Tensor  # a scalar: utterances whose texts no path through their frames can write


def ctc(logits_BTV: Tensor, frames_B: Tensor, text_BL: Tensor) -> Read:
    """CTC (Graves et al. 2006) over the first frames of each utterance, in float32 at least; texts end where -1 begins.

    A text that is too long for its frames has a loss of 0 with slopes of 0, and is counted.
    """
    length_B = (text_BL >= 0).sum(dim=1)
    each_B = F.ctc_loss(
        precise(logits_BTV).log_softmax(dim=2).transpose(0, 1),
        text_BL.clamp(min=0),
        frames_B,
        length_B,
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
    num_too_long = (frames_needed(text_BL) > frames_B).sum()
    return Read((each_B / length_B.clamp(min=1)).mean(), num_too_long.to(each_B.dtype))


def frames_needed(text_BL: Tensor) -> Tensor:
    """(B,): one for each character, and one for the blank between two that are alike."""
    repeats_B = ((text_BL[:, 1:] == text_BL[:, :-1]) & (text_BL[:, 1:] >= 0)).sum(dim=1)
    return (text_BL >= 0).sum(dim=1) + repeats_B


def weighed(
    training: Training, speech_weight: float, *, speech: Tensor | None = None, speaker: Tensor | None = None
) -> Tensor:
    """Eq. 1 of the losses that a batch has. Raises ValueError where training of this kind has other batches.

    The batches of a disjoint step come one by one, half as many of each kind as the step has, and their gradients are
    averaged over all: twice the weight times the loss makes of that eq. 2.
    """
    if training == "speech" and speech is not None:
        return speech
    if training == "speaker" and speaker is not None:
        return speaker
    if training == "joint" and speech is not None and speaker is not None:
        return speech_weight * speech + (1 - speech_weight) * speaker
    if training == "disjoint" and speech is not None and speaker is None:
        return 2 * speech_weight * speech
    if training == "disjoint" and speaker is not None and speech is None:
        return 2 * (1 - speech_weight) * speaker
    given = [name for name, loss in (("text", speech), ("person", speaker)) if loss is not None]
    expected = {"speech": "text", "speaker": "person", "joint": "text and person", "disjoint": "text or person, one"}
    raise ValueError(
        f"{training} learns from a batch with {' and '.join(given) or 'nothing'}; expected {expected[training]}"
    )
