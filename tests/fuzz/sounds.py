"""Sound files to begin with: every kind that is read, whole and odd, and one that unpacks to far more."""

import io
import struct
import warnings

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE_HZ = 16_000
NAN, INF = float("nan"), float("inf")


def seeds() -> dict[str, bytes]:
    """By name; the suffix says the kind."""
    tone = (np.sin(np.arange(3_200) / 5) / 3).astype(np.float32)
    two = np.stack([tone, -tone / 2], axis=1)
    long = np.tile(tone, 5)
    odd = np.where(np.arange(3_200) % 700 == 5, NAN, tone).astype(np.float32)
    return {
        "pcm16.wav": encoded(two, "WAV", "PCM_16"),
        "pcm24.wav": encoded(tone, "WAV", "PCM_24"),
        "byte.wav": encoded(tone, "WAV", "PCM_U8"),
        "float.wav": encoded(two, "WAV", "FLOAT"),
        "double.wav": encoded(tone, "WAV", "DOUBLE"),
        "nan.wav": encoded(odd, "WAV", "FLOAT"),
        "infinite.wav": encoded(np.full(1_600, INF, np.float32), "WAV", "FLOAT"),
        "mulaw.wav": encoded(tone, "WAV", "ULAW"),
        "adpcm.wav": encoded(tone, "WAV", "IMA_ADPCM"),
        "microsoft.wav": encoded(tone, "WAV", "MS_ADPCM"),
        "gsm.wav": encoded(tone, "WAV", "GSM610"),
        "extensible.wav": encoded(two, "WAVEX", "PCM_16"),
        "large.wav": encoded(tone, "RF64", "PCM_16"),
        "slow.wav": wav(channels=1, rate=1, data=bytes(range(64)) * 2),
        "fast.wav": wav(channels=1, rate=10_000_000, data=bytes(range(256)) * 64),
        "no-channel.wav": wav(channels=0, rate=RATE_HZ, data=bytes(64)),
        "no-rate.wav": wav(channels=1, rate=0, data=bytes(64)),
        "many.wav": wav(channels=400, rate=RATE_HZ, data=bytes(range(200)) * 400),
        "streamed.wav": wav(channels=1, rate=RATE_HZ, data=bytes(range(200)) * 40, size=2**32 - 1),
        "empty.wav": wav(channels=1, rate=RATE_HZ, data=b""),
        "pcm16.flac": encoded(two, "FLAC", "PCM_16"),
        "pcm24.flac": encoded(tone, "FLAC", "PCM_24"),
        "eight.flac": encoded(np.repeat(tone[:800, None], 8, axis=1), "FLAC", "PCM_16"),
        "bomb.flac": silent_flac(num_samples=655_350, channels=8, rate=655_350),
        "vorbis.ogg": encoded(long, "OGG", "VORBIS"),
        "two.ogg": encoded(two, "OGG", "VORBIS"),
        "opus.opus": encoded(long, "OGG", "OPUS"),
        "mono.mp3": encoded(long, "MP3", "MPEG_LAYER_III"),
        "tagged.mp3": b"ID3\x04\x00\x00\x00\x00\x00\x0aTIT2\x00\x00\x00\x00\x00\x00"
        + encoded(two, "MP3", "MPEG_LAYER_III"),
        "mulaw.sph": encoded(two, "NIST", "ULAW"),
        "pcm16.sph": encoded(tone, "NIST", "PCM_16"),
        "shorten.sph": b"NIST_1A\n   1024\nsample_coding -s20 pcm,embedded-shorten-v2.00\nend_head\n".ljust(1024)
        + bytes(99),
        "aac.m4a": mp4(long, "aac", RATE_HZ),
        "two.m4a": mp4(two, "aac", 48_000),
        "alac.m4a": mp4(long, "alac", RATE_HZ),
    }


def encoded(samples: NDArray[np.float32], form: str, subtype: str, rate: int = RATE_HZ) -> bytes:
    """As libsndfile writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that are none
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def wav(*, channels: int, rate: int, data: bytes, size: int | None = None) -> bytes:
    """Of 16 bits, whatever its header says; libsndfile would not write some of them."""
    form = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * channels * 2 % 2**32, channels * 2 % 65_536, 16
    )
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data) if size is None else size) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def mp4(samples: NDArray[np.float32], codec: str, rate: int) -> bytes:
    """As FFmpeg writes it."""
    import av

    planes = np.ascontiguousarray(np.atleast_2d(samples.T))
    file = io.BytesIO()
    with av.open(file, "w", format="ipod") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono" if len(planes) == 1 else "stereo")
        kind = stream.codec_context.format.name if stream.codec_context.format else "fltp"
        values = planes if kind == "fltp" else (planes * (2**31 - 1)).astype(np.int32)
        frame = av.AudioFrame.from_ndarray(values, format=kind, layout="mono" if len(planes) == 1 else "stereo")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def silent_flac(*, num_samples: int, channels: int, rate: int) -> bytes:
    """Silence, of which FLAC keeps a few bytes a block: 21 MB of samples are 6 kB."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, channels, format="FLAC", subtype="PCM_16") as written:
        written.write(np.zeros((num_samples, channels), np.int16))
    return file.getvalue()
