"""Free Conversation Voice: twin trees of audio and labels, two speakers, one of them on two days."""

import json

SETTINGS = {"preset": "fcvg"}
F, M = "일반남여_일반통합05_F_14553085_25_수도권_실내", "일반남여_자유대화_M_15716741_39_경상_실내"


def label(folder, number, *, speaker, sex, age, day, text):
    """A JSON as public code reads it."""
    return {
        "발화정보": {
            "stt": text,
            "scriptId": "일반통합-06313",
            "fileNm": f"{folder}_{number}.wav",
            "recrdTime": "0.1",
            "recrdQuality": "16K",
            "recrdDt": f"{day} 11:22:33",
            "scriptSetNo": "일반통합05",
        },
        "대화정보": {"recrdEnvrn": "실내", "colctUnitCode": "S0", "cityCode": "수도권", "recrdUnit": "스마트폰"},
        "녹음자정보": {"gender": sex, "recorderId": speaker, "age": age},
    }


def make(root, sound):
    files = [
        ("Training", F, "06313", "2020-11-02", "안녕하세요"),
        ("Training", F, "06314", "2020-11-03", "(SP:네) 그래요"),
        ("Validation", M, "00001", "2020-12-24", ""),
    ]
    for split, folder, number, day, text in files:
        sound(root, f"{split}/[원천]1.AI챗봇_1/{folder}/{folder}_{number}.wav")
        sex, speaker, age = ("여", "14553085", 25) if folder == F else ("남", "15716741", "39")
        told = label(folder, number, speaker=speaker, sex=sex, age=age, day=day, text=text)
        path = root / f"{split}/[라벨]1.AI챗봇/{folder}/{folder}_{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
