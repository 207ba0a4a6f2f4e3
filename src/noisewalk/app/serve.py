"""Serve the page: on this machine alone by default, and asking no other host for anything."""

import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from .._checks import whole
from ..errors import ConfigError, MissingExtraError
from .choices import MOST_BYTES
from .job import warm_up
from .page import Page, build, priors_here
from .rooms import rooms

HERE = Path(__file__).parent
FORBIDDING = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'"
)
"""The browser then asks nobody but this server, whatever a page or a library wants."""
Message = MutableMapping[str, Any]


class OwnHostOnly:
    """ASGI middleware that gives every answer the policy `FORBIDDING`."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Pass a request on, and its answer back with two headers more."""

        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [
                    (b"content-security-policy", FORBIDDING.encode()),
                    (b"referrer-policy", b"no-referrer"),
                ]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        await self.app(scope, receive, send_with)


def launch(root: Path, port: int | None, share: bool, priors: list[str], device: str) -> Any:
    """Start the server, and give back the gradio page with its address in `local_url`."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # of the runs: the page needs a core too
    os.environ["GRADIO_TEMP_DIR"] = str(root / "uploads")
    try:
        import gradio as gr
        from starlette.middleware import Middleware
    except ImportError as error:
        raise MissingExtraError("gradio", "app") from error
    (root / "uploads").mkdir(exist_ok=True)
    warm_up()
    made = build(Page(root, priors_here(tuple(priors)), device))
    made.queue(default_concurrency_limit=4, max_size=64)
    script = (HERE / "page.js").read_text(encoding="utf-8")
    try:
        made.launch(
            server_name="127.0.0.1",
            server_port=None if port is None else whole("--port", port, 1, 65535),
            share=share,
            theme=gr.themes.Default(
                font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
            ),
            css=(HERE / "page.css").read_text(encoding="utf-8"),
            head=f"<script>{script}</script>",
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            footer_links=[],
            run_history=False,
            max_file_size=MOST_BYTES,
            app_kwargs={"middleware": [Middleware(OwnHostOnly)]},
        )
    except OSError as error:
        raise ConfigError(f"port {port or 7860} cannot be used: give another --port") from error
    return made


def serve(port: int | None, share: bool, priors: list[str], device: str) -> None:
    """Serve the page until Ctrl-C."""
    with rooms() as root:
        made = launch(root, port, share, priors, device)
        print(f"open {made.local_url}", flush=True)
        if share:
            print(f"anybody can open {made.share_url}", flush=True)
        try:
            while made.is_running:
                time.sleep(0.5)
        except KeyboardInterrupt:
            print("closed")
        finally:
            made.close(verbose=False)
