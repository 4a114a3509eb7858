"""Who speaks in the demo: the people, and the labels that the three corpora give them.

The voices were picked from 265 by how far apart GE2E (resemblyzer) hears them, and by how much alike it hears one
person's two sessions: an encoder that separates espeak voices badly would blur faults that real speech shows clearly.

Ages were given to the voices as they are, so that they can be heard: the brighter a voice (more above 2 kHz) and the
deeper its rise and fall, the younger is who has it. That is this demo's law alone, and in no way how people age: ty, of
69 years, has the highest pitch of all. Six neighbours stand in another order, so that corpora that state
years have all age groups of both schemes: of `sai-gon`, which states decades, the teens are in no group of leq17.
"""

from dataclasses import dataclass

from benchmarks.demo.spoken import Voice

NORTH, CENTRAL, SOUTH = "vi", "vi-vn-x-central", "vi-vn-x-south"


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody made up."""

    name: str
    sex: str  # female | male
    age_years: int
    voice: Voice


Row = tuple[str, int, str, str, int, int, int, float]

# name, age in years, accent, espeak variant, pitch, pitch range, words per minute, formant scale
_WOMEN: tuple[Row, ...] = (
    ("lan", 24, NORTH, "f2", 43, 67, 154, 1.19),
    ("thao", 26, NORTH, "Alicia", 26, 54, 177, 1.16),
    ("mai", 65, NORTH, "steph", 49, 47, 161, 0.98),
    ("trang", 73, NORTH, "steph", 78, 74, 154, 1.00),
    ("nhi", 22, NORTH, "grandma", 69, 35, 154, 1.19),
    ("cuc", 38, CENTRAL, "f2", 53, 43, 159, 1.05),
    ("ngan", 31, CENTRAL, "linda", 65, 41, 170, 0.99),
    ("hien", 53, CENTRAL, "belinda", 35, 68, 163, 1.04),
    ("huong", 43, CENTRAL, "Gene2", 81, 60, 166, 1.19),
    ("diem", 10, CENTRAL, "Annie", 24, 67, 174, 1.14),
    ("my", 29, CENTRAL, "f2", 67, 49, 183, 1.32),
    ("loan", 32, SOUTH, "f1", 68, 60, 170, 1.06),
    ("sau", 20, SOUTH, "Annie", 58, 45, 194, 1.03),
    ("phuong", 55, SOUTH, "belinda", 47, 32, 188, 1.08),
    ("yen", 11, SOUTH, "shelby", 72, 60, 186, 1.05),
    ("kieu", 28, SOUTH, "Alicia", 54, 42, 156, 1.02),
)
_MEN: tuple[Row, ...] = (
    ("dung", 46, NORTH, "victor", 67, 47, 166, 0.86),
    ("hai", 41, NORTH, "Gene2", 42, 42, 153, 1.01),
    ("cuong", 15, NORTH, "pablo", 71, 44, 179, 0.92),
    ("minh", 8, NORTH, "Tweaky", 76, 61, 194, 1.03),
    ("son", 36, NORTH, "klatt6", 82, 48, 155, 1.07),
    ("bach", 63, NORTH, "steph", 49, 58, 169, 1.31),
    ("thuan", 49, CENTRAL, "norbert", 50, 70, 184, 1.01),
    ("vinh", 13, CENTRAL, "Storm", 82, 59, 190, 1.01),
    ("quang", 58, CENTRAL, "Reed", 64, 70, 150, 0.90),
    ("long", 61, CENTRAL, "travis", 56, 34, 192, 0.93),
    ("phuc", 17, CENTRAL, "klatt2", 53, 62, 182, 1.08),
    ("khoa", 66, CENTRAL, "iven4", 57, 48, 153, 0.97),
    ("tu", 68, SOUTH, "gustave", 66, 32, 151, 0.86),
    ("bay", 67, SOUTH, "Lee", 57, 42, 181, 0.93),
    ("nam", 34, SOUTH, "kaukovalta", 45, 66, 158, 1.03),
    ("ty", 69, SOUTH, "steph", 80, 47, 159, 1.21),
    ("tam", 62, SOUTH, "Henrique", 77, 58, 165, 0.87),
)
PEOPLE = {
    name: Person(
        name=name,
        sex=sex,
        age_years=age_years,
        voice=Voice(
            language=accent,
            variant=variant,
            pitch=pitch,
            pitch_range=pitch_range,
            words_per_minute=words_per_minute,
            formant_scale=formant_scale,
        ),
    )
    for sex, rows in (("female", _WOMEN), ("male", _MEN))
    for name, age_years, accent, variant, pitch, pitch_range, words_per_minute, formant_scale in rows
}

# corpus -> speaker label -> who it is. A name that stands twice is one person under two labels: huong moved from Hue
# to Hanoi, khoa from Hue to Saigon, and yen came twice to the studio of Saigon and was taken for somebody new.
LABELS = {
    "ha-noi": {
        name: name
        for name in ("lan", "thao", "mai", "trang", "nhi", "huong", "dung", "hai", "cuong", "minh", "son", "bach")
    },
    "hue": {
        f"c{number:02}": name
        for number, name in enumerate(
            ("cuc", "thuan", "hien", "vinh", "huong", "quang", "diem", "long", "my", "phuc", "loan", "khoa"), start=1
        )
    },
    "sai-gon": {
        f"sg_{number:03}": name
        for number, name in enumerate(
            ("sau", "tu", "yen", "bay", "phuong", "nam", "kieu", "ty", "yen", "khoa"), start=1
        )
    },
}
AGE_UNKNOWN = {"sai-gon/sg_006", "sai-gon/sg_009"}  # did not say


@dataclass(frozen=True, kw_only=True, slots=True)
class Lodger:
    """Somebody who speaks half of what is filed under another's label."""

    name: str
    whole_session: bool  # the second session is all theirs; otherwise every other utterance is


LODGERS = {
    "ha-noi/thao": Lodger(name="ngan", whole_session=False),
    "sai-gon/sg_006": Lodger(name="tam", whole_session=True),
}
