"""The methods that the paper's tables compare."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A row of the tables."""

    name: str
    label: str
    """As the tables print it."""
    family: str
    """"dps", "mpgd", "lgd", "cmedit", "walk" (the paper's kernel) or "exact" (the default one)."""
    preset: str
    """Its name in the presets."""
    backbone: str = "cm"
    """Which network it calls: "dm", the diffusion model, or "cm", the consistency model."""
    num_steps: int = 1
    """Network calls of the map in our methods."""
    scheme: str = "em"
    """Of "walk"."""


def _methods() -> dict[str, Method]:
    guided = [(f, b) for b in ("dm", "cm") for f in ("dps", "mpgd", "lgd")]
    out = [
        Method(name := f"{family}-{backbone}", name.upper(), family, name, backbone)
        for family, backbone in guided
    ]
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
GUIDED = ("dps-dm", "mpgd-dm", "lgd-dm", "dps-cm", "mpgd-cm", "lgd-cm")
OURS = ("ours1-em", "ours2-em", "ours1-exact", "ours2-exact")
