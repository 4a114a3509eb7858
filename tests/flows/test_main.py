"""What `curate` does whatever the command: its version, its help, how it ends."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from flows.cli import main


def test_the_version_is_said_without_what_takes_long_to_import():
    script = (
        "import sys; from typer.testing import CliRunner; from flows.cli import app; "
        "print(CliRunner().invoke(app, ['--version']).output, end=''); "
        "print(sorted({'torch', 'prefect', 'pyarrow', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == f"voxcurate {version('voxcurate')}\n[]\n"


# ------------------------------------------------------------------------------------------------------------- Ctrl-C

AGAIN = "; run it again, and it goes on from there"


@pytest.mark.parametrize(
    ("words", "stopped_in", "again"),
    [
        (["run", "any.toml"], "flows.cli.curate_file", AGAIN),
        (["demo", "any"], "flows.demo.speak", AGAIN),
        (["migrate", "any"], "curate.migration.migrate", AGAIN),
        (["export", "any", "out", "--to", "kaldi"], "curate.export.writing.export_benchmark", "; run it again: audio"),
        (["why", "one/anna"], "curate.explain.explain", ""),
        (["audit", "leakage"], "flows.leaking.measured", ""),
    ],
    ids=lambda one: " ".join(one[:1]) if isinstance(one, list) else "",
)
def test_ctrl_c_is_told_in_one_line_and_whether_the_same_command_goes_on(
    words, stopped_in, again, monkeypatch, capsys, tmp_path
):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stopped_in, stop)
    monkeypatch.setattr("curate.export.chosen.benchmark_of", lambda *_: "any")
    monkeypatch.setattr("sys.argv", ["curate", *words])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (130, "")
    assert err.startswith(f"\ncurate: interrupted{again}")
    assert err.count("\n") == 2
    assert again or err == "\ncurate: interrupted\n"
