"""How fast utterances are embedded, beside the way others do it: one file at a time.

    .venv/bin/python -m benchmarks.speed.embedding [--audio ../shared/corpora/LibriSpeech] [--files 24] [--rounds 5]
    .venv/bin/python -m benchmarks.speed.embedding --device cuda --files 2000

ECAPA-TDNN (C = 1024) beside SpeechBrain's `encode_batch`, ResNet-34 beside WeSpeaker's way (Kaldi filter banks, the
mean taken off, the network as written), GE2E beside the package `resemblyzer`. Networks have random weights of the
published sizes: those take the time that trained ones take. Each way is a process of its own with two threads and takes
its turn in every round; decoding is part of it. "x" is the median of the rounds' ratios of wall-clock time.

The share of the peak is that of the matrix product that this processor does fastest, measured in the same run. On a GPU
only ours is run: utterances a second from the file on, and the share of the time in which the network waited for audio.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from curate.audio import sha256_of
from curate.blocks import BlockStore, Stretch
from curate.embed import embed_block
from curate.hearing import Checkpoint, Ge2e, Hearing, SpeechBrain
from models import checkpoint
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.onednn import Linear, has_bfloat16
from models.common.resnet import ResNet, ResNetSettings
from models.common.resnet import statistics as pooled
from models.extractors import extractor

THREADS = 2
SIDE = 3072  # of the square matrices that the peak is measured with
HYPERPARAMS = """
pretrained_path: {folder}
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: 80
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: 80
    channels: [1024, 1024, 1024, 1024, 3072]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 128
    lin_neurons: 192
classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: 192
    out_neurons: 2
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    classifier: !ref <classifier>
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
    paths:
        embedding_model: {folder}/embedding_model.ckpt
"""
Embed = Callable[[list[Path]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of embedding, and which other it is held against."""

    title: str
    make: Callable[[Path, str], Embed]  # given the folder of models and the device
    beside: str | None = None


def write_models(folder: Path) -> None:
    """The networks with random weights, in the layouts in which they are published."""
    torch.manual_seed(1)
    checkpoint.save(folder / "resnet34", ResNet(ResNetSettings()).eval(), features="kaldi")
    (folder / "ecapa").mkdir()
    (folder / "ecapa" / "hyperparams.yaml").write_text(HYPERPARAMS.format(folder=folder / "ecapa"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    network = ECAPA_TDNN(80, channels=[1024] * 4 + [3072])
    torch.save(network.state_dict(), folder / "ecapa" / "embedding_model.ckpt")


def ours(hearing: Hearing) -> Embed:
    """The engine as a run uses it: blocks on two threads, each with one thread of torch."""
    torch.set_num_threads(1)
    encoder = extractor(hearing)

    def embed(files: list[Path]) -> NDArray[np.float32]:
        stretches = [
            Stretch(file=f, content_sha256=sha256_of(f), start_s=0.0, duration_s=soundfile.info(f).duration)
            for f in files
        ]
        stretches.sort(key=lambda stretch: -stretch.duration_s)
        size = -(-len(stretches) // (2 * THREADS))
        blocks = [stretches[start : start + size] for start in range(0, len(stretches), size)]
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(THREADS) as threads:
            store = BlockStore(Path(folder))
            done = list(threads.map(lambda block: embed_block(block, encoder, store), blocks))
            rows = dict(pair for one in done for pair in zip(*store.read(one.block), strict=True))
        embed.waited = sum(one.waited_s for one in done) / sum(one.seconds for one in done)  # type: ignore[attr-defined]
        keys = {stretch.file: stretch.key for stretch in stretches}
        return np.stack([rows[keys[file]] for file in files])

    return embed


def speechbrain_one_by_one(folder: Path, device: str) -> Embed:
    """As its page shows: a file at a time into `encode_batch`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from speechbrain.inference.classifiers import EncoderClassifier
    encoder = EncoderClassifier.from_hparams(source=str(folder / "ecapa"), savedir=str(folder / "ecapa"))

    def embed(files: list[Path]) -> NDArray[np.float32]:
        return np.stack([encoder.encode_batch(torch.from_numpy(decoded(file))[None])[0, 0].numpy() for file in files])

    return embed


def wespeaker_one_by_one(folder: Path, device: str) -> Embed:
    """As its command does it: Kaldi's filter banks of one file, less their mean, into the network as written."""
    from torchaudio.compliance import kaldi

    network = checkpoint.load(folder / "resnet34").network
    if not isinstance(network, ResNet):
        raise TypeError(type(network))

    def embed(files: list[Path]) -> NDArray[np.float32]:
        rows = []
        for file in files:
            wave_1N = torch.from_numpy(decoded(file))[None] * 32768
            feats_TM = kaldi.fbank(wave_1N, num_mel_bins=80, sample_frequency=16_000, window_type="hamming")
            with torch.no_grad():
                rows.append(as_written(network, feats_TM - feats_TM.mean(dim=0))[0].numpy())
        return np.stack(rows)

    return embed


def as_written(network: ResNet, feats_TM: Tensor) -> Tensor:
    """The plain network, layer by layer, in torch's usual layout (1, D)."""
    x_BCMT = F.relu(network.bn1(network.conv1(feats_TM.T[None, None].contiguous())))
    for block in network.layers:
        out_BCMT = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x_BCMT)))))
        x_BCMT = F.relu(out_BCMT + block.shortcut(x_BCMT))
    vector: Tensor = network.seg_1(pooled(x_BCMT, None))
    return vector


def resemblyzer_one_by_one(folder: Path, device: str) -> Embed:
    """As its page shows: `embed_utterance(preprocess_wav(...))`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import resemblyzer

        encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)
    return lambda files: np.stack([encoder.embed_utterance(resemblyzer.preprocess_wav(file)) for file in files])


def decoded(file: Path) -> NDArray[np.float32]:
    """At 16 kHz, as the files are."""
    samples: NDArray[np.float32] = soundfile.read(file, dtype="float32")[0]
    return samples


def _ecapa(precision: str) -> Callable[[Path, str], Embed]:
    return lambda folder, device: ours(
        SpeechBrain(extractor="speechbrain", source=str(folder / "ecapa"), precision=precision, device=device)  # type: ignore[arg-type]
    )


def _resnet(precision: str) -> Callable[[Path, str], Embed]:
    return lambda folder, device: ours(
        Checkpoint(extractor="checkpoint", source=str(folder / "resnet34"), precision=precision, device=device)  # type: ignore[arg-type]
    )


WAYS = {
    "speechbrain": Way(title="ECAPA, SpeechBrain's way", make=speechbrain_one_by_one),
    "ecapa": Way(title="ECAPA, float32", make=_ecapa("float32"), beside="speechbrain"),
    "ecapa-bf16": Way(title="ECAPA, bfloat16", make=_ecapa("bfloat16"), beside="speechbrain"),
    "wespeaker": Way(title="ResNet-34, WeSpeaker's way", make=wespeaker_one_by_one),
    "resnet": Way(title="ResNet-34, float32", make=_resnet("float32"), beside="wespeaker"),
    "resnet-bf16": Way(title="ResNet-34, bfloat16", make=_resnet("bfloat16"), beside="wespeaker"),
    "resemblyzer": Way(title="GE2E, the package's way", make=resemblyzer_one_by_one),
    "ge2e": Way(title="GE2E", make=lambda folder, device: ours(Ge2e(device=device)), beside="resemblyzer"),
}


def work(name: str, folder: Path, device: str) -> None:
    """A process of its own: each line of standard input is a list of files to embed."""
    embed = WAYS[name].make(folder, device)
    for line in sys.stdin:
        asked = json.loads(line)
        started = time.perf_counter()
        vectors = embed([Path(file) for file in asked["files"]])
        taken = time.perf_counter() - started
        np.save(folder / f"{name}.npy", vectors)
        print(json.dumps({"seconds": taken, "waited": getattr(embed, "waited", None)}), flush=True)


class Worker:
    """The other end."""

    def __init__(self, name: str, folder: Path, device: str) -> None:
        words = [sys.executable, "-m", "benchmarks.speed.embedding", "--work", name, "--folder", str(folder)]
        env = os.environ | {"OMP_NUM_THREADS": str(THREADS), "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            [*words, "--device", device], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def embed(self, files: Sequence[Path]) -> dict[str, float]:
        """What it took."""
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            raise RuntimeError("a worker without pipes")
        to.write(json.dumps({"files": [str(file) for file in files]}) + "\n")
        to.flush()
        line = back.readline()
        if not line:
            sys.exit(f"a worker died with {self._process.wait()}")
        answer: dict[str, float] = json.loads(line)
        return answer

    def end(self) -> None:
        """Let it go."""
        self._process.communicate()


def peak_gflops(dtype: torch.dtype) -> float:
    """Of the fastest product of two square matrices on two threads."""
    torch.set_num_threads(THREADS)
    left, right = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    best = float("inf")
    multiply = Linear(right, torch.zeros(SIDE), dtype=dtype)
    for _ in range(6):
        started = time.perf_counter()
        multiply(left)
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE**3 / best / 1e9


def gflop_per_second_of_audio(network: Ecapa | ResNet) -> float:
    """Counted on ten seconds."""
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        network(torch.zeros(1, 1000, 80))
    return float(counted.get_total_flops()) / 1e9 / 10


def agreement(ours_ND: NDArray[np.float32], theirs_ND: NDArray[np.float32]) -> float:
    """The least cosine between two vectors of one utterance."""
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (ours_ND, theirs_ND)]
    return float((unit[0] * unit[1]).sum(axis=1).min())


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--audio", type=Path, default=Path("../shared/corpora/LibriSpeech"), help="16 kHz FLAC below it"
    )
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--work", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.work, asked.folder, asked.device)
        return
    found = sorted(asked.audio.rglob("*.flac"))
    step = max(1, len(found) // asked.files)
    files = (found[::step] * asked.files)[: asked.files]
    report(asked, files)


def report(asked: argparse.Namespace, files: list[Path]) -> None:
    """Measure and print."""
    audio_s = sum(soundfile.info(file).duration for file in files)
    on_gpu = asked.device != "cpu"
    names = [name for name in asked.ways if WAYS[name].beside or not on_gpu]
    say(f"{len(files)} files, {audio_s:.0f} s of audio, {asked.rounds} rounds, {asked.device}")
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder))
        workers = {name: Worker(name, Path(folder), asked.device) for name in names}
        taken: dict[str, list[float]] = {name: [] for name in names}
        waited: dict[str, float] = {}
        for number in range(asked.rounds + 1):
            for name, worker in workers.items():
                answer = worker.embed(files)
                waited[name] = answer["waited"]
                if number:  # the first warms up
                    taken[name].append(answer["seconds"])
        for worker in workers.values():
            worker.end()
        vectors = {name: np.load(Path(folder) / f"{name}.npy") for name in names}
    peaks = {} if on_gpu else {"float32": peak_gflops(torch.float32)}
    if not on_gpu and has_bfloat16():
        peaks["bfloat16"] = peak_gflops(torch.bfloat16)
    say(
        "peak of a matrix product: "
        + (", ".join(f"{kind} {gflops:.0f} GFLOP/s" for kind, gflops in peaks.items()) or "-")
    )
    flops = {"ecapa": gflop_per_second_of_audio(Ecapa(EcapaSettings()).eval())}
    flops["resnet"] = gflop_per_second_of_audio(ResNet(ResNetSettings()).eval())
    for name in names:
        seconds, beside = statistics.median(taken[name]), WAYS[name].beside
        line = f"{WAYS[name].title:<28} RTF {seconds / audio_s:.5f}  {len(files) / seconds:7.1f} files/s"
        network = {"speechbrain": "ecapa", "wespeaker": "resnet"}.get(name, name.removesuffix("-bf16"))
        kind = "bfloat16" if name.endswith("-bf16") and "bfloat16" in peaks else "float32"
        if network in flops and peaks:
            gflops = flops[network] * audio_s / seconds
            line += f"  {gflops:4.0f} GFLOP/s = {gflops / peaks[kind]:4.0%} of the peak"
        if beside in taken:
            ratios = [theirs / mine for theirs, mine in zip(taken[beside], taken[name], strict=True)]
            line += f"  {statistics.median(ratios):.2f} x ({min(ratios):.2f}-{max(ratios):.2f})"
            line += f"  cosine >= {agreement(vectors[name], vectors[beside]):.6f}"
        if on_gpu:
            line += f"  waited for audio {waited[name]:.0%}"
        say(line)


def say(line: str) -> None:
    """On standard output."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
