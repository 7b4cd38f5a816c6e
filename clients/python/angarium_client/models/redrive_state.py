from typing import Literal

RedriveState = Literal["done", "running", "stopped"]

REDRIVE_STATE_VALUES: set[RedriveState] = {
    "done",
    "running",
    "stopped",
}


def check_redrive_state(value: str) -> RedriveState:
    if value in REDRIVE_STATE_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {REDRIVE_STATE_VALUES!r}"
    )
