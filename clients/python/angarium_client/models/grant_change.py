from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..models.grant_role import GrantRole, check_grant_role

T = TypeVar("T", bound="GrantChange")


@_attrs_define
class GrantChange:
    """Another role for a grant.

    Attributes:
        role (GrantRole): A role that people can have.
    """

    role: GrantRole

    def to_dict(self) -> dict[str, Any]:
        role: str = self.role

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "role": role,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        role = check_grant_role(d.pop("role"))

        grant_change = cls(
            role=role,
        )

        return grant_change
