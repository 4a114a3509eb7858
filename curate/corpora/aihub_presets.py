"""Which path into a JSON holds which field, for the sets of AI-Hub that the mixup paper used: our best reading."""

from dataclasses import dataclass
from typing import Literal

FieldName = Literal[
    "audio",  # a JSON names its files; else a file has its JSON
    "speaker",
    "name",
    "session",
    "start",
    "end",
    "duration",
    "channel",  # counted from 0
    "sex",
    "age",
    "birth_year",
    "recording_year",
    "accent",
    "transcript",
    "split",
]
Fields = dict[FieldName, str | tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How one of AI-Hub's sets is read, as far as can be known without logging in."""

    fields: Fields
    pattern: str
    utterances: str | None = None


_SPLIT = r"(?:(?:.*/)?[^/]*?(?P<split>Training|Validation)[^/]*/)?"
_CONVERSATION = Preset(
    fields={
        "speaker": "녹음자정보.recorderId",
        "sex": "녹음자정보.gender",
        "age": "녹음자정보.age",
        "session": "발화정보.recrdDt[:10]",
        "transcript": "발화정보.stt",
    },
    pattern=rf"{_SPLIT}.*",
)
PRESETS = {
    "fcvg": _CONVERSATION,
    "fcve": _CONVERSATION,
    "ltv": Preset(
        utterances="dataSet.dialogs",
        fields={
            "audio": "@.audioPath",
            "speaker": ("<call>", "@.speaker"),
            "session": "<call>",
            "sex": "dataSet.typeInfo.speakers[id=@.speaker].gender",
            "age": "dataSet.typeInfo.speakers[id=@.speaker].age",
            "transcript": "@.text",
        },
        pattern=rf"{_SPLIT}(?:.*?/)??(?P<call>(?:D\d+/)?(?:J\d+/)?[^/]+)/[^/]+",
    ),
}
