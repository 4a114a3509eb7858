"""The demo: corpora spoken by espeak-ng, with planted faults whose truth is known."""
