"""Two speakers of train and one of test, whose utterances are numbered in both ways."""

TRAIN = ("VIVOSSPK01/VIVOSSPK01_R001", "VIVOSSPK01/VIVOSSPK01_R002", "VIVOSSPK02/VIVOSSPK02_001")
TEST = ("VIVOSDEV01/VIVOSDEV01_R012", "VIVOSDEV01/VIVOSDEV01_020")


def make(root, sound):
    sound(root, *(f"train/waves/{name}.wav" for name in TRAIN), *(f"test/waves/{name}.wav" for name in TEST))
    write(root / "train/genders.txt", "VIVOSSPK01 m\nVIVOSSPK02 f\n")
    write(root / "test/genders.txt", "VIVOSDEV01 f\n")
    write(root / "train/prompts.txt", "VIVOSSPK01_R001 KHÁCH SẠN\nVIVOSSPK01_R002 CHỈ BẰNG\nVIVOSSPK02_001 ĐI  RA\n")
    write(root / "test/prompts.txt", "VIVOSDEV01_R012 TIẾNG CẠP CẠP\nVIVOSDEV01_020 VÂNG\n")
    write(root / "COPYING", "not read\n")


def write(file, text):
    file.write_text(text, encoding="utf-8")
