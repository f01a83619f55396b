from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.evidence_weights import EvidenceWeights


T = TypeVar("T", bound="Evidence")


@_attrs_define
class Evidence:
    """A part of the text, and how much it speaks for the label of each task.

    Attributes:
        text (str): The part.
        weights (EvidenceWeights): By task: how far the chosen label's probability falls without this part, -1 to 1.
    """

    text: str
    weights: EvidenceWeights
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        text = self.text

        weights = self.weights.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "text": text,
                "weights": weights,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.evidence_weights import EvidenceWeights

        d = dict(src_dict)
        text = d.pop("text")

        weights = EvidenceWeights.from_dict(d.pop("weights"))

        evidence = cls(
            text=text,
            weights=weights,
        )

        evidence.additional_properties = d
        return evidence

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
