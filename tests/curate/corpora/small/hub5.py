"""A call of CALLHOME with two voices on one side, and one of Switchboard."""

import numpy as np
import soundfile

STM = """;; CATEGORY "0" "" ""
;; LABEL "O" "Overall" "Overall"
en_4156 A en_4156_A 0.01 0.04 <O,en,F,en-F>  HE IS A POLICE OFFICER
en_4156 A en_4156_A1 0.01 0.03 <O,en,F,en-F>  (%HESITATION) <B_ASIDE> YES <E_ASIDE>
en_4156 B en_4156_B 0.02 0.09 <O,en,M,en-M>
en_4156 B en_4156_B 0.09 0.10 <O,en,M,en-M> IGNORE_TIME_SEGMENT_IN_SCORING
sw_4390 B sw_4390_B 0 0.1 <O,sw,M,sw-M> UH-HUH
sw_4390 B sw_4390_B 0 0.1 <O,sw,M,sw-M> UH-HUH
"""


def make(root, sound):
    transcripts = root / "LDC2002T43/2000_hub5_eng_eval_tr/reference/hub5e00.english.000405.stm"
    transcripts.parent.mkdir(parents=True, exist_ok=True)
    transcripts.write_text(STM, encoding="utf-8")
    english = root / "LDC2002S09/hub5e_00/english"
    english.mkdir(parents=True, exist_ok=True)
    two_voices = np.sin(np.arange(800)[:, None] / 8 + np.arange(2)) / 2
    for call in ("en_4156", "sw_4390"):
        soundfile.write(english / f"{call}.sph", two_voices, 8_000, format="NIST", subtype="ULAW")
