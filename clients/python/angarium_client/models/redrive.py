from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.redrive_state import RedriveState, check_redrive_state
from ..types import UNSET, Unset

T = TypeVar("T", bound="Redrive")


@_attrs_define
class Redrive:
    """A redrive.

    Attributes:
        failed (int): Letters that could not be run again, and stay.
        id (str):
        matched (int): Letters that the filter let through when it was asked for.
        rate (int): Letters a second.
        redriven (int):
        started_at (datetime.datetime):
        state (RedriveState): Where a redrive stands.
        code (None | str | Unset):
        ended_at (datetime.datetime | None | Unset):
        from_ (datetime.datetime | None | Unset):
        kind (None | str | Unset):
        max_ (int | None | Unset):
        source (None | str | Unset):
        to (datetime.datetime | None | Unset):
    """

    failed: int
    id: str
    matched: int
    rate: int
    redriven: int
    started_at: datetime.datetime
    state: RedriveState
    code: None | str | Unset = UNSET
    ended_at: datetime.datetime | None | Unset = UNSET
    from_: datetime.datetime | None | Unset = UNSET
    kind: None | str | Unset = UNSET
    max_: int | None | Unset = UNSET
    source: None | str | Unset = UNSET
    to: datetime.datetime | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        failed = self.failed

        id = self.id

        matched = self.matched

        rate = self.rate

        redriven = self.redriven

        started_at = self.started_at.isoformat()

        state: str = self.state

        code: None | str | Unset
        if isinstance(self.code, Unset):
            code = UNSET
        else:
            code = self.code

        ended_at: None | str | Unset
        if isinstance(self.ended_at, Unset):
            ended_at = UNSET
        elif isinstance(self.ended_at, datetime.datetime):
            ended_at = self.ended_at.isoformat()
        else:
            ended_at = self.ended_at

        from_: None | str | Unset
        if isinstance(self.from_, Unset):
            from_ = UNSET
        elif isinstance(self.from_, datetime.datetime):
            from_ = self.from_.isoformat()
        else:
            from_ = self.from_

        kind: None | str | Unset
        if isinstance(self.kind, Unset):
            kind = UNSET
        else:
            kind = self.kind

        max_: int | None | Unset
        if isinstance(self.max_, Unset):
            max_ = UNSET
        else:
            max_ = self.max_

        source: None | str | Unset
        if isinstance(self.source, Unset):
            source = UNSET
        else:
            source = self.source

        to: None | str | Unset
        if isinstance(self.to, Unset):
            to = UNSET
        elif isinstance(self.to, datetime.datetime):
            to = self.to.isoformat()
        else:
            to = self.to

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "failed": failed,
                "id": id,
                "matched": matched,
                "rate": rate,
                "redriven": redriven,
                "started_at": started_at,
                "state": state,
            }
        )
        if code is not UNSET:
            field_dict["code"] = code
        if ended_at is not UNSET:
            field_dict["ended_at"] = ended_at
        if from_ is not UNSET:
            field_dict["from"] = from_
        if kind is not UNSET:
            field_dict["kind"] = kind
        if max_ is not UNSET:
            field_dict["max"] = max_
        if source is not UNSET:
            field_dict["source"] = source
        if to is not UNSET:
            field_dict["to"] = to

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        failed = d.pop("failed")

        id = d.pop("id")

        matched = d.pop("matched")

        rate = d.pop("rate")

        redriven = d.pop("redriven")

        started_at = datetime.datetime.fromisoformat(d.pop("started_at"))

        state = check_redrive_state(d.pop("state"))

        def _parse_code(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        code = _parse_code(d.pop("code", UNSET))

        def _parse_ended_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                ended_at_type_0 = datetime.datetime.fromisoformat(data)

                return ended_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        ended_at = _parse_ended_at(d.pop("ended_at", UNSET))

        def _parse_from_(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                from_type_0 = datetime.datetime.fromisoformat(data)

                return from_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        from_ = _parse_from_(d.pop("from", UNSET))

        def _parse_kind(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        kind = _parse_kind(d.pop("kind", UNSET))

        def _parse_max_(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_ = _parse_max_(d.pop("max", UNSET))

        def _parse_source(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source = _parse_source(d.pop("source", UNSET))

        def _parse_to(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                to_type_0 = datetime.datetime.fromisoformat(data)

                return to_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        to = _parse_to(d.pop("to", UNSET))

        redrive = cls(
            failed=failed,
            id=id,
            matched=matched,
            rate=rate,
            redriven=redriven,
            started_at=started_at,
            state=state,
            code=code,
            ended_at=ended_at,
            from_=from_,
            kind=kind,
            max_=max_,
            source=source,
            to=to,
        )

        redrive.additional_properties = d
        return redrive

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
