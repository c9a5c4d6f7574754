"""Numbers as people write them: as many digits as the error allows, powers of ten, a true minus sign."""

from __future__ import annotations

import math

PLACES = 6  # decimals; more than anyone reads, however small a residual is
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(value: float | None, digits: int = 4) -> str:
    """``value`` to so many significant digits; 'unknown' where there is none."""
    if value is None or not math.isfinite(value):
        return "unknown"
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -3 <= power < 6:
        return _signed(f"{value:,.{max(0, digits - 1 - power)}f}")
    return f"{_signed(f'{value / 10.0**power:.{digits - 1}f}')}{times_power(power)}"


def with_error(value: float, error: float) -> str:
    """``value ± error``, both cut where the error's second digit is."""
    if not math.isfinite(error):
        return f"{number(value)} (error unknown)"
    if error <= 0:
        return f"{number(value, 6)} (exact)"
    mean, margin, power = _cut(value, error)
    return f"({mean} ± {margin}){power}" if power else f"{mean} ± {margin}"


def as_known(value: float, error: float) -> str:
    """``value``, cut where the error's second digit is."""
    if not math.isfinite(error) or error <= 0:
        return number(value, 6)
    mean, _, power = _cut(value, error)
    return f"{mean}{power}"


def _cut(value: float, error: float) -> tuple[str, str, str]:
    """Value, error, and the power of ten that both are multiples of ('' for none)."""
    power = math.floor(math.log10(max(abs(value), error)))
    scale, suffix = (1.0, "") if -3 <= power < 6 else (10.0**power, times_power(power))
    places = max(0, 1 - math.floor(math.log10(error / scale)))
    margin = error / scale
    if places > PLACES:
        # The bound has to hold for the value as it is shown.
        places, unit = PLACES, 10.0**-PLACES
        margin = unit * math.ceil(margin / unit + 0.5)
    mean = _signed(f"{value / scale:,.{places}f}")
    return mean, f"{margin:,.{places}f}", suffix


def times_power(power: int) -> str:
    """``×10ⁿ``."""
    return f"×10{str(power).translate(SUPERSCRIPTS)}"


def _signed(text: str) -> str:
    return text.replace("-", "−")
