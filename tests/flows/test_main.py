"""What `curate` does whatever the command: its version, its help, how it ends."""

import subprocess
import sys
from importlib.metadata import version


def test_the_version_is_said_without_what_takes_long_to_import():
    script = (
        "import sys; from typer.testing import CliRunner; from flows.cli import app; "
        "print(CliRunner().invoke(app, ['--version']).output, end=''); "
        "print(sorted({'torch', 'prefect', 'pyarrow', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == f"voxcurate {version('voxcurate')}\n[]\n"
