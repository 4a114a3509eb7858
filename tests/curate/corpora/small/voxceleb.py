"""VoxCeleb1's dev and test and VoxCeleb2 in one root, below other folders each; videos that begin with - or _."""

FILES = [
    "vox1/dev/wav/id10003/-abc_DEF-12/00001.wav",
    "vox1/dev/wav/id10003/-abc_DEF-12/00012.wav",
    "vox1/test/wav/id10270/__--__--__-/00001.wav",
    "vox2/aac/id00012/21Uxsk56VDQ/00001.flac",
    "voxceleb1_wav/A.J._Buckley/1zcIwhmdeo4_0000001.wav",
]
VOX1_META = """VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet
id10001\tA.J._Buckley\tm\tIreland\tdev
id10003\tZoë_Kravitz\tf\tUSA\tdev
id10270\tEartha_Kitt\tf\tTrinidad and Tobago\ttest
"""
VOX2_META = """VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set
id00012 ,n000012 ,m ,dev
id00017 ,n000017 ,f ,test
"""


def make(root, sound):
    sound(root, *FILES)
    (root / "vox1_meta.csv").write_text(VOX1_META, encoding="utf-8")
    (root / "vox2_meta.csv").write_text(VOX2_META, encoding="utf-8")
    (root / "vox2/aac/id00012/21Uxsk56VDQ/00001.txt").write_text("not read\n", encoding="utf-8")
