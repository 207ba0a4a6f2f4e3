"""Numbers as a person reads them."""

import math
from numbers import Integral

import numpy as np

Value = float | int | str | None  # of the summary; None: missing
DASH = "–"
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(value: float | int, digits: int = 4) -> str:
    """A number in few significant digits with a true minus sign; whole ones are written out."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if isinstance(value, Integral) or (float(value).is_integer() and abs(value) < 1e9):
        text = str(int(value))
    elif 10.0**digits <= abs(value) < 1e9:
        text = f"{float(value):.0f}"
    else:
        text = f"{float(value):.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    return text.replace("-", "−")


def with_unit(value: float, unit: str, digits: int = 3) -> str:
    """A finite number and its unit, which may be empty."""
    return f"{number(value, digits)} {unit}".strip()


def duration(seconds: float) -> str:
    """A time span in its two largest units, such as "2 h 5 min"."""
    if seconds < 100:
        return f"{number(seconds, 3)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def shown(key: str, value: Value) -> str:
    """A value of the summary; a dash for None."""
    if value is None:
        return DASH
    if isinstance(value, str):
        return value
    if key == "seconds" and 0 <= value < math.inf:
        return duration(value)
    return number(value, 3 if key == "chi2_p_value" else 4)
