"""What the engine trains: a network with its loss, and what it hears of a waveform."""

from abc import abstractmethod

from torch import Tensor, nn

from models.data.speech import Integers

Parts = dict[str, Tensor]  # named losses, scalars; `loss` is what is minimised


class System(nn.Module):
    """Features, network and loss of one paper, all on one device."""

    network: nn.Module  # from features to vectors

    @abstractmethod
    def losses(self, wave_BN: Tensor, person_B: Tensor) -> Parts:
        """Of crops at 16 kHz, all of one length, and the codes of who speaks them: `loss`, and its parts by name."""

    @abstractmethod
    def embed(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D) in float32, not normalised; of each waveform so many samples are valid, all of them where None."""

    def begin_epoch(self) -> None:
        """Called before the batches of an epoch are planned, and not again where a run goes on within it."""

    def similar(self, people: Integers, num: int) -> Integers:
        """(S, num): for each of these people the others of them whom the system takes him for, the most alike first.

        By what it was when the epoch began, which a checkpoint holds: the batches of an epoch are planned once more
        where a run goes on within it. Raises NotImplementedError for a system that knows no such people.
        """
        raise NotImplementedError

    def forward(self, wave_BN: Tensor, person_B: Tensor) -> Parts:
        """As `losses`: what shares gradients among processes calls this."""
        return self.losses(wave_BN, person_B)
