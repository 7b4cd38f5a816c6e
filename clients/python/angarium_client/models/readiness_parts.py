from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.feed_part import FeedPart
    from ..models.http_part import HttpPart
    from ..models.kafka_part import KafkaPart
    from ..models.store_part import StorePart


T = TypeVar("T", bound="ReadinessParts")


@_attrs_define
class ReadinessParts:
    """
    Attributes:
        feed (FeedPart):
        http (HttpPart):
        store (StorePart):
        kafka (KafkaPart | None | Unset):
        spool (None | StorePart | Unset): What takes events in where streams are in Kafka.
    """

    feed: FeedPart
    http: HttpPart
    store: StorePart
    kafka: KafkaPart | None | Unset = UNSET
    spool: None | StorePart | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.kafka_part import KafkaPart
        from ..models.store_part import StorePart

        feed = self.feed.to_dict()

        http = self.http.to_dict()

        store = self.store.to_dict()

        kafka: dict[str, Any] | None | Unset
        if isinstance(self.kafka, Unset):
            kafka = UNSET
        elif isinstance(self.kafka, KafkaPart):
            kafka = self.kafka.to_dict()
        else:
            kafka = self.kafka

        spool: dict[str, Any] | None | Unset
        if isinstance(self.spool, Unset):
            spool = UNSET
        elif isinstance(self.spool, StorePart):
            spool = self.spool.to_dict()
        else:
            spool = self.spool

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "feed": feed,
                "http": http,
                "store": store,
            }
        )
        if kafka is not UNSET:
            field_dict["kafka"] = kafka
        if spool is not UNSET:
            field_dict["spool"] = spool

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.feed_part import FeedPart
        from ..models.http_part import HttpPart
        from ..models.kafka_part import KafkaPart
        from ..models.store_part import StorePart

        d = dict(src_dict)
        feed = FeedPart.from_dict(d.pop("feed"))

        http = HttpPart.from_dict(d.pop("http"))

        store = StorePart.from_dict(d.pop("store"))

        def _parse_kafka(data: object) -> KafkaPart | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                kafka_type_0 = KafkaPart.from_dict(data)

                return kafka_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(KafkaPart | None | Unset, data)

        kafka = _parse_kafka(d.pop("kafka", UNSET))

        def _parse_spool(data: object) -> None | StorePart | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                spool_type_0 = StorePart.from_dict(data)

                return spool_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | StorePart | Unset, data)

        spool = _parse_spool(d.pop("spool", UNSET))

        readiness_parts = cls(
            feed=feed,
            http=http,
            store=store,
            kafka=kafka,
            spool=spool,
        )

        readiness_parts.additional_properties = d
        return readiness_parts

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
