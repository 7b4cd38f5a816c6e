from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..models.grant_role import GrantRole, check_grant_role
from ..types import UNSET, Unset

T = TypeVar("T", bound="NewSubjectGrant")


@_attrs_define
class NewSubjectGrant:
    """A role for a subject.

    Attributes:
        role (GrantRole): A role that people can have.
        subject (str): The `sub` of their tokens.
        issuer (None | str | Unset): The issuer of their tokens; the only one, if not given.
        tenant (None | str | Unset): The tenant within the issuer, if it has some.
    """

    role: GrantRole
    subject: str
    issuer: None | str | Unset = UNSET
    tenant: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        role: str = self.role

        subject = self.subject

        issuer: None | str | Unset
        if isinstance(self.issuer, Unset):
            issuer = UNSET
        else:
            issuer = self.issuer

        tenant: None | str | Unset
        if isinstance(self.tenant, Unset):
            tenant = UNSET
        else:
            tenant = self.tenant

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "role": role,
                "subject": subject,
            }
        )
        if issuer is not UNSET:
            field_dict["issuer"] = issuer
        if tenant is not UNSET:
            field_dict["tenant"] = tenant

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        role = check_grant_role(d.pop("role"))

        subject = d.pop("subject")

        def _parse_issuer(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        issuer = _parse_issuer(d.pop("issuer", UNSET))

        def _parse_tenant(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        tenant = _parse_tenant(d.pop("tenant", UNSET))

        new_subject_grant = cls(
            role=role,
            subject=subject,
            issuer=issuer,
            tenant=tenant,
        )

        return new_subject_grant
