"""Keys and tokens of the environment: no command prints them or writes them, whether it succeeds or fails."""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.faults import tiny
from tests.faults.account import Tried
from tests.faults.commands import Done, copied, curate
from tests.forked import Forks

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIASECRETKEYOFTESTS",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-of-the-tests-0123456789",
    "AWS_SESSION_TOKEN": "aws-session-of-the-tests-0123456789",
    "HF_TOKEN": "hf_secretofthetests0123456789abcdef",
    "PREFECT_API_KEY": "pnu_secretofthetests0123456789",
    "VOXCURATE_TOKEN": "token-of-the-tests-0123456789",
}
IN_ADDRESSES = "password-in-an-address"
AROUND = {  # nobody answers there; and all that libraries would say is said
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
    "PREFECT_DEBUG_MODE": "true",
}
CODES = {  # with which commands end that fail: 2 is for words of the command line that cannot be
    "status of an address with a password": 2,
    "run over an address with a password": 1,
    "export of an address with a token": 2,
    "query of a bucket that nobody serves": 1,
    "publish to a hub that nobody serves": 1,
    "run": 1,  # there is nothing to hear
}


def tried(folder: Path, made: Path, forks: Forks, *, full: bool) -> Iterator[Tried]:
    """Commands that succeed and that fail, with secrets all around them."""
    catalog, out = copied(made / "catalog", folder / "catalog"), folder / "out"
    address = f"s3://user:{IN_ADDRESSES}@bucket/catalog"
    token = f"https://host/data?token={IN_ADDRESSES}"
    (folder / "p.toml").write_text(
        f'name = "toy"\ncatalog = "c"\n[[corpora]]\nname = "toy"\nreader = "folder"\nroot = "{address}"\n', "utf-8"
    )
    commands: dict[str, tuple[object, ...]] = {
        "status": ("status", "-c", catalog),
        "publish": ("publish", catalog, "toy", out / "published"),
        "status of an address with a password": ("status", "-c", address),
        "run over an address with a password": ("run", folder / "p.toml"),
        "export of an address with a token": ("export", token, out / "exported", "--to", "nemo"),
    }
    if full:
        pipeline = tiny.write_pipeline(made, catalog)
        commands |= {
            "query of a bucket that nobody serves": ("query", "select 1", "-c", "s3://bucket/catalog"),
            "publish to a hub that nobody serves": ("publish", catalog, "toy", out / "p2", "--push-to", "me/data"),
            "score": ("score", "toy", "-c", catalog),
            "report": ("report", catalog, out / "report", "--benchmark", "toy"),
            "run": ("run", pipeline),
        }
    for name, words in commands.items():
        done = curate(forks, *words, environment=SECRETS | AROUND)
        code = CODES.get(name, 0)
        yield Tried(
            suite="hostile",
            during=name,
            fault="secrets in the environment and in addresses",
            point="all that was printed and written",
            untold=(
                *told_of(done, folder),
                *((f"exit code {done.returncode}; expected {code}",) if done.returncode != code else ()),
            ),
        )


def told_of(done: Done, *folders: Path) -> tuple[str, ...]:
    """Where a secret stands, in what was printed or in a file."""
    places = {"what was printed": (done.stdout + done.stderr).encode()}
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".toml")
    places |= {str(path): path.read_bytes() for path in files}
    words = {name: text.encode() for name, text in SECRETS.items()} | {"a password": IN_ADDRESSES.encode()}
    escaped = {name: json.dumps(text.decode()).strip('"').encode() for name, text in words.items()}
    return tuple(
        f"{name} is told in {place}"
        for place, content in places.items()
        for name, word in words.items()
        if word in content or escaped[name] in content
    )
