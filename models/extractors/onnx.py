"""Networks in ONNX files that map filter banks to a vector, as WeSpeaker (arXiv:2210.17016) and 3D-Speaker
(arXiv:2403.19971) publish theirs.

Both hear Kaldi's filter banks: whole frames of 25 ms every 10 ms, each without its mean, pre-emphasis 0.97, the
logarithm of 80 mel bands from 20 Hz to half the sample rate, and each band without its mean over the utterance. They
differ in this:

    features     samples             window    what their exporters call input and output
    wespeaker    -32768 to 32767     Hamming   feats, embs
    3dspeaker    -1 to 1             Povey     feature, embedding

Dither, which WeSpeaker uses in training, is off: a vector must not depend on chance. `auto` goes by the metadata that
the tools of sherpa-onnx add (`framework`, `normalize_samples`, `sample_rate`), else by those two names. Where
sherpa-onnx itself gives a network of WeSpeaker a Povey window and bands with their means, we keep to what it was
trained on.

A waveform shorter than the network can take is repeated up to that length, which is found by trying when it is loaded.

Shape letters: B batch, S samples, T frames, M mel bands, D embedding.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchaudio.compliance import kaldi

from curate.errors import ExtractorError
from curate.hearing import Onnx, name_of
from models.extractors import batches
from models.extractors.device import device_of
from models.extractors.fingerprint import fingerprint

SAMPLE_RATE_HZ = 16_000  # where the file does not say
MEL_BANDS = 80  # where the file does not say
FRAME_MS, HOP_MS = 25, 10
LONGEST_TRY = 512  # frames, 5 s: a network that takes no less is none for utterances
CUDA_BATCH_S = 60.0
FRAMEWORKS = {"wespeaker": "wespeaker", "3d-speaker": "3dspeaker"}  # in the metadata of sherpa-onnx
PORTS = {("feats", "embs"): "wespeaker", ("feature", "embedding"): "3dspeaker"}  # names of input and output


@dataclass(frozen=True, kw_only=True)
class FilterBank:
    """In what the features of the two projects differ."""

    scale: float  # of samples, which we hold from -1 to 1
    window: str


FILTER_BANKS = {
    "wespeaker": FilterBank(scale=32768.0, window="hamming"),
    "3dspeaker": FilterBank(scale=1.0, window="povey"),
}


class FilterBankNetwork:
    """The encoder as `curate.embed` wants it."""

    min_same_person: float | None = None  # nobody measured it
    min_one_person: float | None = None

    def __init__(self, hearing: Onnx) -> None:
        file = Path(hearing.source)
        session = _session(file, _provider(hearing.device))
        self.name = name_of(hearing)
        self.sample_rate_hz = _sample_rate_hz(session, file)
        self._session = session
        self._source = hearing.source
        self._input, self._mel_bands, takes_batches = _shape(session, file)
        self._filter_bank = _filter_bank(session, hearing)
        self.min_frames, self.dimension = self._smallest()
        on_cuda = session.get_providers()[0] == "CUDAExecutionProvider"
        self.batch_s = CUDA_BATCH_S if on_cuda and takes_batches else 0.0
        self.fingerprint = fingerprint(
            "onnx",
            weights=_weights(file),
            code=[Path(__file__), Path(batches.__file__)],
            packages=["torch", "torchaudio"],
            settings=dataclasses.asdict(self._filter_bank) | {"onnxruntime": _version()},
        )

    def embed(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(N, D) for N waveforms. Waveforms of as many frames share a batch."""
        heard = [whole_frames(waveform, self.sample_rate_hz, min_frames=self.min_frames) for waveform in waveforms]
        max_samples = round(self.batch_s * self.sample_rate_hz)
        return batches.by_equal_length(heard, self._embed, max_samples=max_samples)

    def _embed(self, waveforms_BS: NDArray[np.float32]) -> NDArray[np.float32]:
        mel_BTM = np.stack([self._mel(waveform) for waveform in waveforms_BS])
        return self._run(mel_BTM)

    def _mel(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """(T, M), each band without its mean."""
        mel_TM = kaldi.fbank(
            self._filter_bank.scale * torch.from_numpy(waveform)[None],
            sample_frequency=self.sample_rate_hz,
            frame_length=FRAME_MS,
            frame_shift=HOP_MS,
            num_mel_bins=self._mel_bands,
            window_type=self._filter_bank.window,
            dither=0.0,
        )
        centred: NDArray[np.float32] = (mel_TM - mel_TM.mean(dim=0)).numpy()
        return centred

    def _run(self, mel_BTM: NDArray[np.float32]) -> NDArray[np.float32]:
        (vectors_BD,) = self._session.run(None, {self._input: mel_BTM})
        return np.asarray(vectors_BD, dtype=np.float32)

    def _smallest(self) -> tuple[int, int]:
        """Frames, to a power of two, from which on the network gives a finite vector, and the length of that vector.

        A stack of convolutions without padding refuses what is shorter than it sees; a variance over one frame is nan.
        """
        rng = np.random.default_rng(0)
        fault = "none of its vectors is finite"
        num_frames = 1
        while num_frames <= LONGEST_TRY:
            try:
                vectors_BD = self._run(rng.normal(size=(1, num_frames, self._mel_bands)).astype(np.float32))
            except _faults() as error:
                fault = _line(error)
            else:
                if vectors_BD.ndim != 2 or len(vectors_BD) != 1:
                    shape = "x".join(map(str, vectors_BD.shape))
                    raise ExtractorError(f"{self._source}: its output is {shape}; expected one vector an utterance")
                if np.isfinite(vectors_BD).all():
                    return num_frames, vectors_BD.shape[1]
            num_frames *= 2
        raise ExtractorError(
            f"{self._source}: expected a network that embeds {LONGEST_TRY} frames of {self._mel_bands} bands: {fault}"
        )


def whole_frames(waveform: NDArray[np.float32], sample_rate_hz: int, *, min_frames: int) -> NDArray[np.float32]:
    """The waveform up to the end of its last whole frame: no filter bank hears the rest, and lengths become alike.

    One with fewer than `min_frames` frames is repeated until it has them.
    """
    frame, hop = sample_rate_hz * FRAME_MS // 1000, sample_rate_hz * HOP_MS // 1000
    if len(waveform) < frame + (min_frames - 1) * hop:
        return np.resize(waveform, frame + (min_frames - 1) * hop)
    return waveform[: len(waveform) - (len(waveform) - frame) % hop]


def _filter_bank(session: Any, hearing: Onnx) -> FilterBank:
    """What the section says; with `auto`, what the file says of itself."""
    if hearing.features != "auto":
        return FILTER_BANKS[hearing.features]
    says = session.get_modelmeta().custom_metadata_map
    ports = (session.get_inputs()[0].name, session.get_outputs()[0].name)
    framework = says.get("framework")
    known = PORTS.get(ports) if framework is None else FRAMEWORKS.get(framework)
    if known is None or says.get("feature_normalize_type", "global-mean") not in ("", "global-mean"):
        by = f"maps {ports[0]!r} to {ports[1]!r}" if framework is None else f"is of the framework {framework!r}"
        raise ExtractorError(
            f"{hearing.source}: {by}, which tells no features; "
            'expected features = "wespeaker" or features = "3dspeaker" to be said'
        )
    scale = {"0": 32768.0, "1": 1.0}.get(says.get("normalize_samples", ""), FILTER_BANKS[known].scale)
    return dataclasses.replace(FILTER_BANKS[known], scale=scale)


def _sample_rate_hz(session: Any, file: Path) -> int:
    said = session.get_modelmeta().custom_metadata_map.get("sample_rate", str(SAMPLE_RATE_HZ))
    if not said.isdecimal() or int(said) < 1000:
        raise ExtractorError(f"{file}: sample_rate {said!r} in its metadata; expected a number of Hz")
    return int(said)


def _shape(session: Any, file: Path) -> tuple[str, int, bool]:
    """Name of the input, mel bands, and whether a batch may hold several utterances."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    ports = ", ".join(f"{port.name} {port.type} {port.shape}" for port in inputs)
    expected = f"{file}: its input is {ports}; expected one of float32: utterances, any number of frames, mel bands"
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 3:
        raise ExtractorError(expected)
    batch, frames, bands = inputs[0].shape
    if isinstance(frames, int) or (isinstance(batch, int) and batch != 1):
        raise ExtractorError(expected)
    if len(outputs) != 1:
        names = ", ".join(port.name for port in outputs)
        raise ExtractorError(f"{file}: its outputs are {names}; expected one")
    is_single = batch == 1 or outputs[0].shape[:1] == [1]
    return inputs[0].name, bands if isinstance(bands, int) else MEL_BANDS, not is_single


def _provider(device: str) -> tuple[str, dict[str, str]]:
    """Of ONNX Runtime. `auto` is a GPU where there is one and this build of ONNX Runtime can use it."""
    import onnxruntime

    wanted = device_of(device)
    can_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if wanted.type != "cuda" or (device == "auto" and not can_cuda):
        return "CPUExecutionProvider", {}
    if not can_cuda:
        raise ExtractorError(
            f"device {device!r}: this onnxruntime computes on the processor only; "
            'expected the package `onnxruntime-gpu` in its place, or device = "cpu"'
        )
    # The exhaustive search for the fastest convolution, its default, starts anew for each length of audio.
    return "CUDAExecutionProvider", {"device_id": str(wanted.index or 0), "cudnn_conv_algo_search": "HEURISTIC"}


def _session(file: Path, provider: tuple[str, dict[str, str]]) -> Any:
    import onnxruntime

    if not file.is_file():
        raise ExtractorError(f"{file}: no such file; expected a network in ONNX")
    options = onnxruntime.SessionOptions()
    # A call computes on the thread that made it: as many threads of ours, as many cores, and sums that do not depend
    # on the machine. A pool of the session's own would be shared by the callers, and spin while it waits.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its faults come as exceptions
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=[provider])
    except _faults() as error:
        if _is_no_onnx(error):
            raise ExtractorError(f"{file}: no ONNX, or not all of it; expected a network in ONNX") from None
        raise ExtractorError(f"{file}: expected a network in ONNX: {_line(error)}") from None
    if session.get_providers()[0] != provider[0]:
        raise ExtractorError(
            'device "cuda": onnxruntime-gpu does not start here; expected its CUDA libraries, or device = "cpu"'
        )
    return session


def _version() -> str:
    """Of ONNX Runtime; its build for GPUs is a package of another name."""
    import onnxruntime

    return str(onnxruntime.__version__)


def _faults() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises for a file or an input that it cannot use; they have no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
        UnicodeDecodeError,  # of its own words, which hold a name of the file
    )


def _is_no_onnx(error: Exception) -> bool:
    """Whether the file was never read as a network; what was, and cannot be used, has words of its own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return isinstance(error, state.InvalidProtobuf) or str(error).endswith("No graph was found in the protobuf.")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _weights(file: Path) -> list[Path]:
    """The file, and what a large network keeps its weights in, beside it."""
    beside = (file.with_name(file.name + end) for end in (".data", "_data"))
    return [file, *(other for other in beside if other.is_file())]
