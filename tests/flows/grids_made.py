"""Processes that a grid would start, carried out within that of the test."""

import subprocess
from types import SimpleNamespace

from typer.testing import CliRunner

from flows.cli import app


def carried_out_here(monkeypatch):
    """The commands, as they are called from here on."""
    commands = []

    def run(command, *, stdout, stderr, check):
        commands.append(command)
        told = CliRunner().invoke(app, command[3:], catch_exceptions=True)
        stdout.write(told.output)
        if told.exception is not None and not isinstance(told.exception, SystemExit):
            stdout.write(f"{told.exception}\n")
        return SimpleNamespace(returncode=told.exit_code)

    monkeypatch.setattr(subprocess, "run", run)
    return commands
