"""Two speakers."""


def make(root, sound):
    sound(root, "recordings/0_jackson_0.wav", "recordings/7_jackson_32.wav", "recordings/9_theo_1.wav", rate=8000)
