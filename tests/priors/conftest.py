"""A Hub of a few folders on this machine: as much of the real one's HTTP interface as
huggingface_hub's own code needs to download and upload."""

import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests share `architectures`

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Its repositories are the folders OWNER/NAME below `root`; `requests` lists what was asked
    for; it may fail with a status, or want a token."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[str] = []
        self.fails_with: int | None = None
        self.token: str | None = None
        self.server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self})
        )
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """huggingface_hub asks this Hub, and its and noisewalk's caches are in the test's folder."""
    from huggingface_hub import close_session, constants

    server = Hub(tmp_path / "hub")
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        server.url + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(
        constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agents.json"), raising=False
    )
    monkeypatch.setenv("NOISEWALK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    close_session()  # it may have read other proxies
    yield server
    server.stop()
    close_session()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self._send_file()

    def do_GET(
        self,
    ) -> None:  # the client also asks for things that are no files; those are not here
        if self.url.startswith("/api/models/"):
            name = self.url.removeprefix("/api/models/")
            self._send_json(
                {
                    "id": name,
                    "private": (self.hub.root / name / ".private").exists(),
                    "sha": COMMIT,
                    "siblings": [],
                    "tags": [],
                }
            )
        else:
            self._send_file()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.requests.append(f"POST {self.url}")
        if (
            self.hub.token is not None
            and self.headers.get("Authorization") != f"Bearer {self.hub.token}"
        ):
            self._send(401, b'{"error": "Invalid username or password."}')
        elif self.url == "/api/repos/create":
            self._create(json.loads(body))
        elif "/preupload/" in self.url:
            self._send_json(
                {
                    "files": [
                        {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                        for f in json.loads(body)["files"]
                    ]
                }
            )
        else:
            self._commit(
                self.url.removeprefix("/api/models/").split("/commit/")[0],
                [json.loads(line) for line in body.splitlines()],
            )

    @property
    def url(self) -> str:
        return unquote(urlsplit(self.path).path)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        folder = self.hub.root / name
        if folder.exists():
            self._send(
                409,
                json.dumps(
                    {
                        "error": "You already created this model repo",
                        "url": f"{self.hub.url}/{name}",
                    }
                ).encode(),
            )
            return
        folder.mkdir(parents=True)
        if asked.get("visibility") == "private":
            (folder / ".private").touch()
        self._send_json({"url": f"{self.hub.url}/{name}"})

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        for value in (line["value"] for line in lines if line["key"] == "file"):
            path = self.hub.root / name / value["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(value["content"]))
        self._send_json(
            {"commitUrl": f"{self.hub.url}/{name}/commit/{COMMIT}", "commitOid": COMMIT}
        )

    def _send_file(self) -> None:
        repository, is_file, rest = self.url.lstrip("/").partition("/resolve/")
        if not is_file:
            self._send(404)
            return
        revision, file = rest.split("/", 1)
        self.hub.requests.append(f"{self.command} {file}")
        path = self.hub.root / repository / file
        if self.hub.fails_with is not None:
            self._send(self.hub.fails_with)
        elif not (self.hub.root / repository).is_dir():
            self._send(401, headers={"X-Error-Code": "RepoNotFound"})
        elif revision != "main":
            self._send(404, headers={"X-Error-Code": "RevisionNotFound"})
        elif not path.is_file():
            self._send(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            content = path.read_bytes()
            self._send(
                200,
                content,
                {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT},
            )

    def _send_json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(
        self, status: int, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
