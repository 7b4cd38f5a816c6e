from typing import Literal

GrantRole = Literal["admin", "operator", "sender", "viewer"]

GRANT_ROLE_VALUES: set[GrantRole] = {
    "admin",
    "operator",
    "sender",
    "viewer",
}


def check_grant_role(value: str) -> GrantRole:
    if value in GRANT_ROLE_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {GRANT_ROLE_VALUES!r}"
    )
