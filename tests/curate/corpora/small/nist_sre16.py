"""A release of eval with keys: a model of two segments, two people, one of whom has no year of birth."""

import numpy as np
import soundfile

FILES = {
    "docs/sre16_eval_enrollment.tsv": "modelid\tsegment\tside\n1001_sre16\taaa_sre16\ta\n1001_sre16\tbbb_sre16\ta\n",
    "docs/sre16_eval_trials.tsv": "modelid\tsegment\tside\n1001_sre16\tccc_sre16\ta\n1001_sre16\tddd_sre16\ta\n",
    "docs/sre16_eval_trial_key.tsv": (
        "modelid\tsegment\tside\ttargettype\n1001_sre16\tccc_sre16\ta\ttarget\n1001_sre16\tddd_sre16\ta\tnontarget\n"
    ),
    "docs/sre16_eval_segment_key.tsv": (
        "segment\tcall_id\naaa_sre16\t501\nbbb_sre16\t502\nccc_sre16\t503\nddd_sre16\t504\n"
    ),
    "metadata/calls.tsv": (
        "call_id\tlanguage_id\tcall_date\n501\ttgl\t2015-06-01\n502\ttgl\t2015-07-01\n503\ttgl\t2016-01-02\n504\tyue\t2015-08-08\n"
    ),
    "metadata/call_sides.tsv": (
        "call_id\tcall_side\tsubject_id\tphone_id\n501\ta\t7001\t1\n502\ta\t7001\t2\n503\ta\t7001\t1\n504\ta\t7002\t3\n"
    ),
    "metadata/subjects.tsv": "subject_id\tsex\tyear_of_birth\n7001\tF\t1990\n7002\tM\t\n",
}
CALLS = [
    "data/enrollment/aaa_sre16.sph",
    "data/enrollment/bbb_sre16.sph",
    "data/test/ccc_sre16.sph",
    "data/test/ddd_sre16.sph",
    "data/unlabeled/major/eee_sre16.sph",
]


def make(root, sound):
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    for path in CALLS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / path, np.sin(np.arange(800) / 8) / 2, 8_000, format="NIST", subtype="ULAW")
