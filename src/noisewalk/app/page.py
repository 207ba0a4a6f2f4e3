"""The page: its fields, and which function answers which of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ConfigError, NoisewalkError
from ..priors.load import list_priors
from ..priors.on_disk import where
from . import choices as of
from .choices import Choices
from .desk import Desk, error
from .preview import canvas_of, mask_from, picture_of, preview_of
from .rooms import EXAMPLES, example

OWN = "My own file"
GREY_LEVELS = 12.0  # the noise level that is proposed for 8-bit pictures,
FLOATS = 0.1  # and for others
TITLE = """# noisewalk
Restore an image, and see how far it is known. Pick an image and a problem, look at the measurement,
and press Sample. The draws appear as the chains make them."""
FIELDS = (
    *("source", "upload", "kind", "prior", "problem", "std", "factor", "sigma_y", "effort"),
    *("seed", "mask", "fit", "low", "high", "label", "missing", "bands", "part"),
)
AFRESH = ("source", "upload", "kind", "prior", "problem", "fit", "low", "high", "missing", "bands")
"""Fields whose change gives another image to paint on."""


def priors_here(more: tuple[str, ...] = ()) -> list[str]:
    """The priors of known sources whose weights are on this machine, and those given beside."""
    known = {name: card for name, card in list_priors().items() if "edm" not in name}
    return [*more, *(name for name, card in known.items() if where(name, card) is not None)]


def choices_from(root: Path, device: str, values: dict[str, Any]) -> Choices:
    """The values of the fields as choices; ConfigError where one is none of the page's."""
    v = dict(values)
    source, upload = v.pop("source"), v.pop("upload")
    uploads, file = (root / "uploads").resolve(), None
    if source in EXAMPLES:
        file = example(root, source)
    elif upload is not None:
        file = Path(upload).resolve()
        if not file.is_relative_to(uploads):
            raise ConfigError("this file was not uploaded here: upload it again")
    size, _, bits = str(v.pop("mask") or "").partition(":")
    v["mask"] = mask_from(bits, size)
    v["seed"] = 0 if v["seed"] is None else int(v["seed"])
    v["factor"] = int(v["factor"])
    return Choices(file, device=device, **v)


class Page:
    """The functions that the widgets call, for one app."""

    def __init__(self, root: Path, priors: list[str], device: str) -> None:
        self.root, self.priors, self.device = root, priors, device
        self.desk = Desk(root)

    def chosen(self, values: tuple[Any, ...]) -> Choices:
        """The choices in the fields."""
        found = choices_from(self.root, self.device, dict(zip(FIELDS, values, strict=True)))
        if found.prior not in self.priors:
            raise ConfigError(f"the prior {found.prior!r} is none of this page's")
        return found

    def canvas(self, *values: Any) -> tuple[str, str, str, str]:
        """The image to paint on, an empty mask, and what `measurement` shows."""
        cleared = tuple("" if f == "mask" else v for f, v in zip(FIELDS, values, strict=True))
        try:
            choices = self.chosen(cleared)
            painted = canvas_of(choices, self.root) if choices.problem == of.PAINT else ""
        except NoisewalkError as fault:
            return "", "", error(str(fault)), ""
        return painted, "", *self.measurement(*cleared)

    def measurement(self, *values: Any) -> tuple[str, str]:
        """The measurement y and the command, or the sentence that says what is wrong."""
        try:
            choices = self.chosen(values)
            if choices.problem == of.PAINT and choices.mask is None:
                return "<p>Paint the region that is missing. Its measurement appears here.</p>", ""
            found = preview_of(choices, self.root)
        except NoisewalkError as fault:
            return error(str(fault)), ""
        return picture_of(found), found.command

    def begin(self, visitor: str, *values: Any) -> str:
        """Put a job into the queue, and say so."""
        try:
            self.desk.begin(visitor, self.chosen(values))
        except NoisewalkError as fault:
            return error(str(fault))
        return "Waiting for its turn."

    def cancel(self, visitor: str) -> str:
        """Stop the visitor's job, and say so."""
        found = self.desk.stop(visitor)
        return "Cancelled. The step in progress ends." if found else "Nothing is running."


def build(page: Page) -> Any:
    """The gradio page."""
    import gradio as gr

    with gr.Blocks(title="noisewalk", analytics_enabled=False, delete_cache=(3600, 86400)) as made:
        gr.Markdown(TITLE, elem_classes="nw-title")
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                fields = _fields(gr, page.priors)
            with gr.Column(scale=7, min_width=320):
                shown = _shown(gr)
        _wire(gr, page, fields, shown, made)
    return made


def _fields(gr: Any, priors: list[str]) -> dict[str, Any]:
    """What a person chooses."""
    gr.Markdown("## 1. The image")
    first = next(iter(EXAMPLES))
    f: dict[str, Any] = {}
    f["source"] = gr.Radio([*EXAMPLES, OWN], value=first, label="Image", elem_id="nw-from")
    f["upload"] = gr.File(
        label=f"Your file: {' '.join(of.ENDINGS)}", file_types=of.ENDINGS, type="filepath",
        height=120, elem_id="nw-upload",
    )  # fmt: skip
    f["kind"] = gr.Radio(of.KINDS, value=of.CLEAN, label="What is in the file?")
    f["prior"] = gr.Dropdown(priors, value=priors[0], label="Prior: what images look like")
    gr.Markdown("## 2. The problem")
    f["problem"] = gr.Radio(of.PROBLEMS, value=of.BLUR, label="What is wrong with it?")
    f["std"] = gr.Slider(0.5, 5, 1.5, step=0.1, label="Width of the blur, in pixels")
    f["factor"] = gr.Slider(2, 8, 4, step=2, label="Factor of the resolution", visible=False)
    f["sigma_y"] = gr.Number(GREY_LEVELS, label="Noise level, in the unit of the file", minimum=0)
    f["effort"] = gr.Radio(of.EFFORTS, value=of.QUICK, label="Effort")
    with gr.Accordion("More", open=False):
        f["fit"] = gr.Radio(of.FITS, value="resize", label="A clean image of another size")
        with gr.Row():
            f["low"] = gr.Number(None, label="Value of black")
            f["high"] = gr.Number(None, label="Value of white")
        with gr.Row():
            f["missing"] = gr.Textbox("", label="Value that marks gaps", placeholder="nan")
            f["bands"] = gr.Textbox("", label="Bands", placeholder="4,3,2")
            f["part"] = gr.Textbox("", label="Part of the file", placeholder="SCI")
        with gr.Row():
            f["label"] = gr.Number(None, label="Label of the prior")
            f["seed"] = gr.Number(0, label="Seed", precision=0, minimum=0)
    with gr.Column(elem_classes="nw-hidden"):
        f["mask"] = gr.Textbox("", label="The painted mask", elem_id="nw-mask", max_length=1 << 17)
    return f


def _shown(gr: Any) -> dict[str, Any]:
    """What the page answers."""
    s: dict[str, Any] = {}
    with gr.Row():
        with gr.Column(min_width=280):
            s["canvas"] = gr.HTML("", elem_id="nw-canvas")
        with gr.Column(min_width=280):
            s["y"] = gr.HTML("", elem_id="nw-measurement")
    gr.Markdown("## 3. The draws")
    with gr.Row():
        s["sample"] = gr.Button("Sample", variant="primary", elem_id="nw-sample")
        s["cancel"] = gr.Button("Cancel", elem_id="nw-cancel")
    s["status"] = gr.HTML("", elem_id="nw-status")
    s["verdict"] = gr.HTML("", elem_id="nw-verdict")
    s["view"] = gr.HTML("", elem_id="nw-view")
    s["files"] = gr.File(
        label="Download: the run as a zip, its report, its results", file_count="multiple",
        visible=False, interactive=False, elem_id="nw-files",
    )  # fmt: skip
    with gr.Accordion("The same job as a command line", open=False):
        s["command"] = gr.Textbox(
            "", label="Type this beside the file", lines=3, interactive=False, elem_id="nw-command"
        )
        s["copy"] = gr.Button("Copy command", elem_id="nw-copy")
    return s


def _wire(gr: Any, page: Page, f: dict[str, Any], s: dict[str, Any], made: Any) -> None:
    """Which function answers which widget."""
    values = [f[name] for name in FIELDS]
    told, hidden = {"api_visibility": "private"}, {"show_progress": "hidden"}
    quick: dict[str, Any] = {
        **told,
        **hidden,
        "concurrency_limit": 4,
        "trigger_mode": "always_last",
    }
    canvas = {"fn": page.canvas, "inputs": values}
    canvas["outputs"] = [s["canvas"], f["mask"], s["y"], s["command"]]
    made.load(**canvas, **quick)
    gr.on([f[name].change for name in AFRESH if name != "source"], **canvas, **quick)
    gr.on(
        [f[name].change for name in FIELDS if name not in (*AFRESH, "upload")],
        page.measurement, values, [s["y"], s["command"]], **quick,
    )  # fmt: skip
    f["source"].input(
        lambda name: _proposed(gr, name),
        f["source"],
        [f["prior"], f["kind"], f["sigma_y"]],
        **quick,
    ).then(**canvas, **quick)
    f["upload"].upload(
        lambda file: (OWN, _level(file)), f["upload"], [f["source"], f["sigma_y"]], **quick
    ).then(**canvas, **quick)
    f["problem"].change(
        lambda name: (gr.update(visible=name == of.BLUR), gr.update(visible=name == of.DOWNSAMPLE)),
        f["problem"], [f["std"], f["factor"]], **quick,
    )  # fmt: skip
    s["copy"].click(None, s["command"], js="(text) => { navigator.clipboard.writeText(text); }")
    _wire_sampling(gr, page, values, s, made, told, hidden)


def _wire_sampling(
    gr: Any, page: Page, values: list[Any], s: dict[str, Any], made: Any, told: Any, hidden: Any
) -> None:
    """Sample, Cancel, and what happens when a visitor leaves."""
    outputs = [s["status"], s["verdict"], s["view"], s["files"]]

    def begin(request: gr.Request, *given: Any) -> tuple[Any, ...]:
        status = page.begin(str(request.session_hash), *given)
        return status, "", "", gr.update(visible=False)

    def looks(request: gr.Request) -> Iterator[tuple[Any, ...]]:
        yield (gr.skip(),) * 4
        for look in page.desk.looks(str(request.session_hash)):
            new, files = look.view, look.files
            seen = (gr.skip(), gr.skip()) if new is None else (new.verdict, new.html)
            yield (
                look.status,
                *seen,
                gr.skip() if not files else gr.update(value=files, visible=True),
            )

    begin.__annotations__["request"] = looks.__annotations__["request"] = gr.Request
    started = s["sample"].click(begin, values, outputs, **told, **hidden, concurrency_limit=4)
    started.then(looks, None, outputs, **told, show_progress="minimal", concurrency_limit=1)

    def cancel(request: gr.Request) -> str:
        return page.cancel(str(request.session_hash))

    def leave(request: gr.Request) -> None:
        page.desk.stop(str(request.session_hash))

    cancel.__annotations__["request"] = leave.__annotations__["request"] = gr.Request
    s["cancel"].click(cancel, None, s["status"], **told, **hidden, queue=False)
    made.unload(leave)


def _proposed(gr: Any, name: str) -> tuple[Any, ...]:
    """The prior, the kind and the noise level that fit an example."""
    if name not in EXAMPLES:
        return gr.skip(), gr.skip(), gr.skip()
    return EXAMPLES[name][0], of.CLEAN, GREY_LEVELS


def _level(file: str | None) -> float:
    """A noise level to begin with, by the kind of the file."""
    pictures = (".png", ".jpg", ".jpeg", ".webp")
    return GREY_LEVELS if str(file).lower().endswith(pictures) else FLOATS
