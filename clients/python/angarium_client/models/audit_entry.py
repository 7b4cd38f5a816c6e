from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.audit_entry_actor import AuditEntryActor
    from ..models.audit_entry_changes import AuditEntryChanges
    from ..models.audit_target import AuditTarget


T = TypeVar("T", bound="AuditEntry")


@_attrs_define
class AuditEntry:
    """A change in an app, by whom and from where.

    Attributes:
        action (str): Such as `keys.create`.
        actor (AuditEntryActor): `kind` is `key`, `user` or `console`; and what identifies it.
        at (datetime.datetime):
        changes (AuditEntryChanges): What is new. Secrets are never in it.
        id (str):
        target (AuditTarget): What was changed.
        address (None | str | Unset):
        request_id (None | str | Unset):
    """

    action: str
    actor: AuditEntryActor
    at: datetime.datetime
    changes: AuditEntryChanges
    id: str
    target: AuditTarget
    address: None | str | Unset = UNSET
    request_id: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        action = self.action

        actor = self.actor.to_dict()

        at = self.at.isoformat()

        changes = self.changes.to_dict()

        id = self.id

        target = self.target.to_dict()

        address: None | str | Unset
        if isinstance(self.address, Unset):
            address = UNSET
        else:
            address = self.address

        request_id: None | str | Unset
        if isinstance(self.request_id, Unset):
            request_id = UNSET
        else:
            request_id = self.request_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "action": action,
                "actor": actor,
                "at": at,
                "changes": changes,
                "id": id,
                "target": target,
            }
        )
        if address is not UNSET:
            field_dict["address"] = address
        if request_id is not UNSET:
            field_dict["request_id"] = request_id

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.audit_entry_actor import AuditEntryActor
        from ..models.audit_entry_changes import AuditEntryChanges
        from ..models.audit_target import AuditTarget

        d = dict(src_dict)
        action = d.pop("action")

        actor = AuditEntryActor.from_dict(d.pop("actor"))

        at = datetime.datetime.fromisoformat(d.pop("at"))

        changes = AuditEntryChanges.from_dict(d.pop("changes"))

        id = d.pop("id")

        target = AuditTarget.from_dict(d.pop("target"))

        def _parse_address(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        address = _parse_address(d.pop("address", UNSET))

        def _parse_request_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        request_id = _parse_request_id(d.pop("request_id", UNSET))

        audit_entry = cls(
            action=action,
            actor=actor,
            at=at,
            changes=changes,
            id=id,
            target=target,
            address=address,
            request_id=request_id,
        )

        audit_entry.additional_properties = d
        return audit_entry

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
