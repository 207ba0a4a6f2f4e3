"""Reading of specifications of format 1, which held objects as printed text, as format 2."""

import ast
import json
import re
from contextlib import suppress
from typing import Any

_SAME = ("microbatch", "dtype", "device", "num_threads", "problem", "probe", "command")
_TARGET = re.compile(
    r"NoisePosterior\(phi=(.*), operator=(.*), likelihood=(.*), y=(.*), observed=.*\)", re.DOTALL
)
_EXACT = ("HMC", "SplitHMC", "EllipticalSlice")


def converted(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts in the shape of format 2, as far as the text tells them."""
    same = {key: value for key, value in facts.items() if key in _SAME}
    text = facts.get("target")
    if isinstance(text, str) and (found := _TARGET.fullmatch(text)):
        parts = zip(("map", "operator", "likelihood", "y"), found.groups(), strict=True)
        target = {key: named(part) for key, part in parts}
    else:
        target = {"target": text} if text is not None else {}
    plan = {k: value_of(v) for k, v in facts.items() if k not in (*_SAME, "target")}
    if isinstance(facts.get("kernel"), str):
        kernel = plan["kernel"] = named(facts["kernel"])
        kernel["exact"] = kernel.get("adjust", kernel["name"] in _EXACT)
    problem = same.get("problem")
    if isinstance(problem, dict) and "value_range" in problem:
        rest = {key: value for key, value in problem.items() if key != "value_range"}
        same["problem"] = {**rest, "range": problem["value_range"]}
    return {**target, "plan": plan, **same}


def named(text: str) -> dict[str, Any]:
    """The name and the fields of a printed object, with its text."""
    found = value_of(text)
    if isinstance(found, dict) and "text" in found:
        return found
    return {"name": re.split(r"[(\[#]", text)[0], "text": text}


def value_of(text: Any) -> Any:
    """What a printed value stands for; the text itself where it does not parse."""
    if isinstance(text, str):
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            return _node(ast.parse(text, mode="eval").body, text)
    return text


def _node(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Call):
        fields = {k.arg: _node(k.value, ast.unparse(k.value)) for k in node.keywords if k.arg}
        return {"name": "", **fields} | {"name": ast.unparse(node.func), "text": text}
    try:
        return json.loads(json.dumps(ast.literal_eval(node)))
    except (TypeError, ValueError):
        return text
