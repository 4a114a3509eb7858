"""One speaker with sessions and one without."""


def make(root, sound):
    sound(root, "an/1/x.wav", "an/2/x.wav", "bình/y z.FLAC")
