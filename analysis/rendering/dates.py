"""Dates in the title block, in the tokens that Quarto's `date-format` takes."""

import datetime
import re
from collections.abc import Callable

from analysis.errors import RequestError

_STYLES = {
    "iso": "YYYY-MM-DD",
    "long": "MMMM D, YYYY",
    "full": "dddd, MMMM D, YYYY",
    "medium": "MMM D, YYYY",
    "short": "M/D/YY",
}
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TOKEN = re.compile(r"\[([^\]]*)\]|[A-Za-z]+")


def formatted(
    given: object, style: object, today: datetime.date, *, place: Callable[[str], str]
) -> str:
    """The date as text: `given` is `today`, an ISO date, or text that is left alone.

    RequestError for a day that there is none of, and for a style with tokens that are not offered,
    at `place` of `date` or `date-format`.
    """
    date = _date(given, today, place("date"))
    if date is None:
        return str(given)
    name = str(style or "long")
    return _TOKEN.sub(
        lambda token: _piece(token, date, name, place("date-format")), _STYLES.get(name, name)
    )


def _date(given: object, today: datetime.date, place: str) -> datetime.date | None:
    if isinstance(given, datetime.date):
        return given
    if str(given) in ("today", "now", "last-modified"):
        return today
    digits = re.fullmatch(r"\s*(\d{4})-(\d{1,2})-(\d{1,2})\s*", str(given))
    if digits is None:
        return None
    try:
        return datetime.date(*map(int, digits.groups()))
    except ValueError:
        raise RequestError(f"{place}: there is no day {given}: correct the date.") from None


def _piece(token: re.Match[str], date: datetime.date, style: str, place: str) -> str:
    month, day = _MONTHS[date.month - 1], _DAYS[date.weekday()]
    suffix = "th" if 10 < date.day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(date.day % 10, "th")
    pieces = {
        "YYYY": str(date.year),
        "YY": f"{date.year % 100:02}",
        "MMMM": month,
        "MMM": month[:3],
        "MM": f"{date.month:02}",
        "M": str(date.month),
        "DD": f"{date.day:02}",
        "D": str(date.day),
        "Do": f"{date.day}{suffix}",
        "dddd": day,
        "ddd": day[:3],
    }
    if token[1] is not None:
        return token[1]
    if token[0] not in pieces:
        raise RequestError(
            f"{place}: date-format {style!r}: {token[0]!r} is not offered. Allowed: "
            f"{', '.join(pieces)}, "
            f"[text], or {', '.join(_STYLES)}."
        )
    return pieces[token[0]]
