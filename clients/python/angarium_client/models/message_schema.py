from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    Self,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="MessageSchema")


@_attrs_define
class MessageSchema:
    """The schema of an app's messages.

    Attributes:
        on_mismatch (Literal['refuse'] | Literal['set_aside']): What becomes of a message that its app's schema does not
            allow.
        schema (Any): A JSON Schema.
    """

    on_mismatch: Literal["refuse", "set_aside"]
    schema: Any
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        on_mismatch: Literal["refuse", "set_aside"]
        on_mismatch = self.on_mismatch

        schema = self.schema

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "on_mismatch": on_mismatch,
                "schema": schema,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_on_mismatch(data: object) -> Literal["refuse", "set_aside"]:
            componentsschemas_on_mismatch_type_0 = cast(Literal["refuse"], data)
            if componentsschemas_on_mismatch_type_0 != "refuse":
                raise ValueError(
                    f"/components/schemas/OnMismatch_type_0 must match const 'refuse', got '{componentsschemas_on_mismatch_type_0}'"
                )
            return componentsschemas_on_mismatch_type_0
            componentsschemas_on_mismatch_type_1 = cast(Literal["set_aside"], data)
            if componentsschemas_on_mismatch_type_1 != "set_aside":
                raise ValueError(
                    f"/components/schemas/OnMismatch_type_1 must match const 'set_aside', got '{componentsschemas_on_mismatch_type_1}'"
                )
            return componentsschemas_on_mismatch_type_1

        on_mismatch = _parse_on_mismatch(d.pop("on_mismatch"))

        schema = d.pop("schema")

        message_schema = cls(
            on_mismatch=on_mismatch,
            schema=schema,
        )

        message_schema.additional_properties = d
        return message_schema

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
