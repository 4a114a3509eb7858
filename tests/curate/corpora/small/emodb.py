"""Two actors."""


def make(root, sound):
    sound(root, "wav/03a01Fa.wav", "wav/03b10Wb.wav", "wav/16a02Na.wav")
