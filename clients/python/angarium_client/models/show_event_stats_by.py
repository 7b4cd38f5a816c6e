from typing import Literal

ShowEventStatsBy = Literal["type"]

SHOW_EVENT_STATS_BY_VALUES: set[ShowEventStatsBy] = {
    "type",
}


def check_show_event_stats_by(value: str) -> ShowEventStatsBy:
    if value in SHOW_EVENT_STATS_BY_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {SHOW_EVENT_STATS_BY_VALUES!r}"
    )
