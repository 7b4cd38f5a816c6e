from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..models.grant_role import GrantRole, check_grant_role

T = TypeVar("T", bound="NewEmailGrant")


@_attrs_define
class NewEmailGrant:
    """A role for an address.

    Attributes:
        email (str): Whoever has this address by an issuer's word; it may be given before they ever came.
        role (GrantRole): A role that people can have.
    """

    email: str
    role: GrantRole

    def to_dict(self) -> dict[str, Any]:
        email = self.email

        role: str = self.role

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "email": email,
                "role": role,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        email = d.pop("email")

        role = check_grant_role(d.pop("role"))

        new_email_grant = cls(
            email=email,
            role=role,
        )

        return new_email_grant
