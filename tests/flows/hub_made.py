"""A stand-in for the Hugging Face Hub on this machine: what its client asks for to fill a data set repository.

It takes small files within the commit and others through Git LFS' batch protocol, as the Hub does.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_right"


class Hub(ThreadingHTTPServer):
    """`files` is what the repository holds; commits are counted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []
        self.commits = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[value["path"]] = self.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del self.files[value["path"]]
        self.commits += 1


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, told: object, status: int = 200) -> None:
        text = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    @property
    def is_refused(self) -> bool:
        return self.headers.get("Authorization") != f"Bearer {TOKEN}"

    def do_GET(self) -> None:
        if self.is_refused:
            self.answer({"error": "Invalid credentials"}, 401)
        elif "/tree/" in self.path:
            files = sorted(self.server.files.items())
            self.answer([{"type": "file", "path": name, "size": len(held), "oid": "0"} for name, held in files])
        else:
            self.answer({"id": "lab/toy", "sha": "0"})

    def do_PUT(self) -> None:
        content = self.body()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self.answer({})

    def do_POST(self) -> None:
        content = self.body()
        if self.is_refused and "validate-yaml" not in self.path:
            self.answer({"error": "Invalid credentials"}, 401)
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(content))
            self.answer({"url": f"{self.server.address}/datasets/lab/toy", "name": "lab/toy", "id": "0"})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif self.path.endswith("/preupload/main"):
            self.answer({"files": [self.mode(one["path"]) for one in json.loads(content)["files"]]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            self.answer({"transfer": "basic", "objects": [self.upload(one) for one in json.loads(content)["objects"]]})
        elif self.path.endswith("/commit/main"):
            self.server.commit([json.loads(line) for line in content.splitlines()])
            self.answer({"commitUrl": f"{self.server.address}/datasets/lab/toy/commit/1", "commitOid": "1"})
        else:
            self.answer({"error": f"not known here: {self.path}"}, 404)

    def mode(self, path: str) -> dict[str, object]:
        return {"path": path, "uploadMode": "lfs" if path.endswith(".parquet") else "regular", "shouldIgnore": False}

    def upload(self, one: dict[str, Any]) -> dict[str, Any]:
        return one | {"actions": {"upload": {"href": f"{self.server.address}/large/{one['oid']}"}}}


@contextmanager
def hub() -> Iterator[Hub]:
    """The stand-in, listening until the end."""
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
