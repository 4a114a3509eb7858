"""Two models of one call and one of three; a test call whose both sides are known, and an interview."""

import numpy as np
import soundfile

TRAIN, TEST, KEYS = "LDC2011S05/data", "LDC2011S08/data", "LDC2011S08/data/keys/NIST_SRE08_KEYS.v0.1"
FILES = {
    f"{TRAIN}/train/male/short2.trn": "10017 taavg.sph:A\n",
    f"{TRAIN}/train/female/short2.trn": "20002 tadis.sph:B\n",
    f"{TRAIN}/train/male/3conv.trn": "30003 taavg.sph:A,tadtr.sph:B,tahzx.sph:A\n",
    "LDC2011S05/docs/NIST_SRE08_header_info.all.train.csv": (
        "segment,language,speech,channel\ntaavg.sph,ENG,phonecall,phn\ntadis.sph,ARB,phonecall,phn\n"
    ),
    f"{TEST}/trials/short2-short3.ndx": (
        "10017 m fhpti.sph:A\n10017 m fivsw.sph:B\n20002 f fivsw.sph:A\n20002 f fmicx.sph:A\n"
    ),
    f"{TEST}/trials/3conv-short3.ndx": "30003 m fhpti.sph:A\n",
    f"{KEYS}/model-keys/NIST_SRE08_short2.model.key": (
        "modelid,gender,segment:channel,speaker\n10017,m,taavg:a,110074\n20002,f,tadis:b,105477\n"
    ),
    f"{KEYS}/model-keys/NIST_SRE08_ALL.model.key": "not read",
    f"{KEYS}/trial-keys/NIST_SRE08_short2-short3.trial.key": (
        "modelid,segment,channel,key,is_1\n10017,fhpti,a,target,Y\n10017,fivsw,b,nontarget,N\n"
        "20002,fivsw,a,target,N\n20002,fmicx,a,nontarget,N\n"
    ),
    f"{KEYS}/segment-keys/test/NIST_SRE08_short3.test.segment.key": (
        "segment,call,source,speech,language,speakers\n"
        "fivsw,1,2,phonecall,ENG,105477:phn:USE 104747:phn:USE\nfmicx,1,3,interview,ENG,103137:mic:USE\n"
        "fhpti,1,4,phonecall,ENG,NA:phn:USE 103646:phn:USE\n"
    ),
}
CALLS = [
    *(f"{TRAIN}/train/data/{name}.sph" for name in ("taavg", "tadis", "tadtr", "tahzx")),
    *(f"{TEST}/test/data/short3/{name}.sph" for name in ("fhpti", "fivsw", "fmicx")),
]


def make(root, sound):
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    two_voices = np.sin(np.arange(800)[:, None] / 8 + np.arange(2)) / 2
    for path in CALLS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / path, two_voices, 8_000, format="NIST", subtype="ULAW")
