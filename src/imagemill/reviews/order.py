"""What comes after what, whatever clocks say.

The last word is in force, by time; but one person's clock may run ahead, and would win for as long.
So a word is given a time after every word on the same item that was there when it was given: a
hybrid logical clock (Kulkarni et al. 2014). What came from elsewhere is held to our own now.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from imagemill.reviews import rows
from imagemill.reviews.rows import Review

_TICK = timedelta(microseconds=1)

Item = tuple[str, str, str]


def item(review: Review) -> Item:
    """Return what a review is about."""
    return review.digest, review.other, review.annotation


def after(added: Sequence[Review], there: Iterable[Review]) -> list[Review]:
    """Return ``added``, each with a time later than all ``there`` on the same item."""
    wanted = {item(each) for each in added}
    latest: dict[Item, str] = {}
    for each in there:
        if item(each) in wanted and _key(each.time) >= _key(latest.get(item(each), "")):
            latest[item(each)] = each.time
    ordered = []
    for each in added:
        before = latest.get(item(each), "")
        time = each.time if _key(each.time) > _key(before) else _next(before)
        latest[item(each)] = time
        ordered.append(each._replace(time=time))
    return ordered


def not_ahead(reviews: Iterable[Review]) -> list[Review]:
    """Return reviews of another machine, none of them later than now."""
    now = rows.now()
    return [each._replace(time=min(each.time, now, key=_key)) for each in reviews]


def _key(time: str) -> str:
    return time.removesuffix("Z")


def _next(time: str) -> str:
    """Return the time a microsecond later; the same at the end of all time: the line decides."""
    try:
        later = datetime.fromisoformat(time).astimezone(UTC) + _TICK
    except OverflowError:
        return time
    return later.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
