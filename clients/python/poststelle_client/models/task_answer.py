from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.decision import Decision

if TYPE_CHECKING:
    from ..models.ranked import Ranked


T = TypeVar("T", bound="TaskAnswer")


@_attrs_define
class TaskAnswer:
    """One task's answer

    Attributes:
        confidence (float | None): Its calibrated probability.
        decision (Decision): What may be done with an answer
        label (None | str): The label; null where the label chosen for the task above has none below it.
        top (list[Ranked]): The label, then the other most probable ones below the same label of the task above.
    """

    confidence: float | None
    decision: Decision
    label: None | str
    top: list[Ranked]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        confidence: float | None
        confidence = self.confidence

        decision = self.decision.value

        label: None | str
        label = self.label

        top = []
        for top_item_data in self.top:
            top_item = top_item_data.to_dict()
            top.append(top_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "confidence": confidence,
                "decision": decision,
                "label": label,
                "top": top,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.ranked import Ranked

        d = dict(src_dict)

        def _parse_confidence(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        confidence = _parse_confidence(d.pop("confidence"))

        decision = Decision(d.pop("decision"))

        def _parse_label(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        label = _parse_label(d.pop("label"))

        top = []
        _top = d.pop("top")
        for top_item_data in _top:
            top_item = Ranked.from_dict(top_item_data)

            top.append(top_item)

        task_answer = cls(
            confidence=confidence,
            decision=decision,
            label=label,
            top=top,
        )

        task_answer.additional_properties = d
        return task_answer

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
