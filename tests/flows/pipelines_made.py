"""The text of pipeline files over real speech: `libri` is the folder of LibriSpeech."""

ONE = """
[[corpora]]
name = "one"
reader = "librispeech"
root = "{libri}"
include = ["test-other/1688/*[0-3].flac", "test-other/2033/*[0-3].flac", "test-other/1998/*[0-3].flac"]
"""
TWO = """
[[corpora]]
name = "two"
reader = "librispeech"
root = "{libri}"
include = ["test-other/1688/*[4-7].flac", "test-other/3005/*[4-7].flac", "test-other/3331/*[4-7].flac"]
"""
ONE_AND_TWO = ONE + TWO  # five readers, 24 utterances; one of them is in both
SMALL = f"""
name = "small"
catalog = "catalog"
seed = {{seed}}
{ONE_AND_TWO}
[embedding]
utterances_per_block = 4

[cleaning]
preset = "vietsv"
iqr_factor = {{iqr_factor}}

[splits]
num_test_speakers = {{num_test}}

[trials]
cross_session_targets = false
max_nontargets = 40
"""
