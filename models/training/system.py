"""What the engine trains: a network with its loss, and what it hears of a waveform."""

from abc import abstractmethod

from torch import Tensor, nn

Parts = dict[str, Tensor]  # named losses, scalars; `loss` is what is minimised


class System(nn.Module):
    """Features, network and loss of one paper, all on one device."""

    @abstractmethod
    def losses(self, wave_BN: Tensor, person_B: Tensor) -> Parts:
        """Of crops at 16 kHz, all of one length, and the codes of who speaks them: `loss`, and its parts by name."""

    @abstractmethod
    def embed(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D) in float32, not normalised; of each waveform so many samples are valid, all of them where None."""

    def forward(self, wave_BN: Tensor, person_B: Tensor) -> Parts:
        """As `losses`: what shares gradients among processes calls this."""
        return self.losses(wave_BN, person_B)
