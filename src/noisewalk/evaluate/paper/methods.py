"""The methods that the paper's tables compare."""

from dataclasses import dataclass

GUIDED = ("dps-dm", "mpgd-dm", "lgd-dm", "dps-cm", "mpgd-cm", "lgd-cm")
OURS = ("ours1-em", "ours2-em", "ours1-exact", "ours2-exact")


@dataclass(frozen=True)
class Method:
    """A row of the tables."""

    name: str
    label: str  # as the tables print it
    family: str  # "dps", "mpgd", "lgd", "cmedit", "walk" (the paper's kernel) or "exact" (default)
    preset: str  # its name in the presets
    backbone: str = "cm"  # network it calls: "dm", the diffusion or "cm", the consistency model
    num_steps: int = 1  # network calls of our map
    scheme: str = "em"  # of "walk"


def _methods() -> dict[str, Method]:
    splits = ((name, *name.split("-")) for name in GUIDED)
    out = [Method(name, name.upper(), family, name, backbone) for name, family, backbone in splits]
    out.append(Method("cmedit", "CMEdit", "cmedit", "cmedit"))
    for n in (1, 2):
        for scheme in ("em", "ei"):
            label = f"Ours-{scheme.upper()} ({n}-step)"
            out.append(Method(f"ours{n}-{scheme}", label, "walk", f"ours{n}", "cm", n, scheme))
        label = f"Ours, exact kernel ({n}-step)"
        out.append(Method(f"ours{n}-exact", label, "exact", f"ours{n}", "cm", n))
    out.append(Method("diverse", "Ours-EM (1-step), larger step", "walk", "diverse"))
    return {method.name: method for method in out}


METHODS = _methods()
