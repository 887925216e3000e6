"""A cron expression in words: `every day at 06:00`, `every 15 minutes`, `on the second Monday of the month at 09:30`."""

from __future__ import annotations

from calendar import day_name, month_name
from collections.abc import Sequence

from legato.declare.cron import LAST, LAST_WEEKDAY, Table, parse_cron

_MOST_TIMES = 4
_ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", LAST: "last"}
_WEEK = (1, 2, 3, 4, 5, 6, 0)


def cron_in_words(expression: str, business_day: int = 0) -> str:
    """What the expression names; its text where that would take too many words."""
    table = parse_cron(expression)
    times = _times(table)
    if not times:
        return f"cron {expression}"
    days = _business(business_day) if business_day else _days(table)
    months = _months(table)
    if times.startswith("every"):
        return ", ".join(filter(None, (times, days, months)))
    return " ".join(filter(None, (days or "every day", months, times)))


def ordinal(number: int) -> str:
    """`third`, `21st`."""
    if number in _ORDINALS:
        return _ORDINALS[number]
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def listed(words: Sequence[str], joint: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f"{', '.join(words[:-1])} {joint} {words[-1]}" if len(words) > 1 else "".join(words)


def _times(table: Table) -> str:
    minutes, hours = table.minutes, table.hours
    if table.hourly:
        step = _step(minutes, 60)
        if step:
            return "every minute" if step == 1 else f"every {step} minutes" if step < 60 else "every hour"
        return f"every hour at {listed([f':{minute:02d}' for minute in minutes])}" if len(minutes) <= _MOST_TIMES else ""
    step = _step(hours, 24)
    if step and step < 24 and len(minutes) == 1:
        return f"every {step} hours" + (f" at :{minutes[0]:02d}" if minutes[0] else "")
    if len(minutes) * len(hours) <= _MOST_TIMES:
        return "at " + listed([f"{hour:02d}:{minute:02d}" for hour in hours for minute in minutes])
    if _step(minutes, 60) and hours == tuple(range(hours[0], hours[-1] + 1)):
        every = _step(minutes, 60)
        often = "every minute" if every == 1 else f"every {every} minutes" if every < 60 else "every hour"
        return f"{often} from {hours[0]:02d}:00 to {hours[-1]:02d}:59"
    return ""


def _step(numbers: tuple[int, ...], whole: int) -> int:
    """The step of numbers that go round a whole evenly from 0; 0 if these do not."""
    step = whole // len(numbers)
    return step if numbers == tuple(range(0, whole, step)) and whole % step == 0 else 0


def _days(table: Table) -> str:
    of_month, of_week = _days_of_month(table), _days_of_week(table)
    if of_month and of_week:
        return f"{of_month} {'if it is also' if table.both else 'or'} {of_week}"
    return of_month or of_week


def _days_of_month(table: Table) -> str:
    if len(table.days) == 31:
        return ""
    numbers = sorted(day for day in table.days if day > 0)
    words = [f"day {listed([str(each) for each in numbers])}"] if numbers else []
    words += ["the last day"] if LAST in table.days else []
    words += ["the last weekday"] if LAST_WEEKDAY in table.days else []
    return f"on {listed(words)} of the month"


def _days_of_week(table: Table) -> str:
    if len(table.weekdays) == 7:
        return ""
    days = [_WEEK.index(day) for day in _WEEK if day in table.weekdays]
    words = []
    if days and days == list(range(days[0], days[-1] + 1)) and len(days) > 2:
        words = [f"{day_name[days[0]]} to {day_name[days[-1]]}"]
    elif days:
        words = [day_name[day] for day in days]
    words += [f"the {ordinal(nth)} {day_name[_WEEK.index(day)]} of the month" for day, nth in sorted(table.nth)]
    return f"on {listed(words)}"


def _months(table: Table) -> str:
    return "" if len(table.months) == 12 else f"in {listed([month_name[month] for month in sorted(table.months)])}"


def _business(nth: int) -> str:
    if nth > 0:
        return f"on the {ordinal(nth)} business day of the month"
    return "on the last business day of the month" if nth == -1 else f"on the {ordinal(-nth)} business day before the month's end"
