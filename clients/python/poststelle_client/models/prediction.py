from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.scope import Scope
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.cut import Cut
    from ..models.evidence import Evidence
    from ..models.mail_error import MailError
    from ..models.prediction_tasks import PredictionTasks


T = TypeVar("T", bound="Prediction")


@_attrs_define
class Prediction:
    """A mail's labels, or why it has none

    Attributes:
        error (MailError | None):
        external_id (None | str): What the client calls the mail.
        id (None | str): Its name for feedback; null where it is not kept.
        scope (None | Scope):
        tasks (PredictionTasks): By task.
        truncated (bool): The model read the beginning alone, for the mail is longer than it can read.
        cuts (list[Cut] | Unset): What cleaning cut, where it was asked for.
        evidence (list[Evidence] | Unset): What speaks for the labels, where it was asked for.
        text (str | Unset): What the model read of the mail, where it was asked for.
    """

    error: MailError | None
    external_id: None | str
    id: None | str
    scope: None | Scope
    tasks: PredictionTasks
    truncated: bool
    cuts: list[Cut] | Unset = UNSET
    evidence: list[Evidence] | Unset = UNSET
    text: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.mail_error import MailError

        error: dict[str, Any] | None
        if isinstance(self.error, MailError):
            error = self.error.to_dict()
        else:
            error = self.error

        external_id: None | str
        external_id = self.external_id

        id: None | str
        id = self.id

        scope: None | str
        if isinstance(self.scope, Scope):
            scope = self.scope.value
        else:
            scope = self.scope

        tasks = self.tasks.to_dict()

        truncated = self.truncated

        cuts: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.cuts, Unset):
            cuts = []
            for cuts_item_data in self.cuts:
                cuts_item = cuts_item_data.to_dict()
                cuts.append(cuts_item)

        evidence: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.evidence, Unset):
            evidence = []
            for evidence_item_data in self.evidence:
                evidence_item = evidence_item_data.to_dict()
                evidence.append(evidence_item)

        text = self.text

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "error": error,
                "external_id": external_id,
                "id": id,
                "scope": scope,
                "tasks": tasks,
                "truncated": truncated,
            }
        )
        if cuts is not UNSET:
            field_dict["cuts"] = cuts
        if evidence is not UNSET:
            field_dict["evidence"] = evidence
        if text is not UNSET:
            field_dict["text"] = text

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.cut import Cut
        from ..models.evidence import Evidence
        from ..models.mail_error import MailError
        from ..models.prediction_tasks import PredictionTasks

        d = dict(src_dict)

        def _parse_error(data: object) -> MailError | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                error_type_0 = MailError.from_dict(data)

                return error_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(MailError | None, data)

        error = _parse_error(d.pop("error"))

        def _parse_external_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        external_id = _parse_external_id(d.pop("external_id"))

        def _parse_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        id = _parse_id(d.pop("id"))

        def _parse_scope(data: object) -> None | Scope:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                scope_type_0 = Scope(data)

                return scope_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Scope, data)

        scope = _parse_scope(d.pop("scope"))

        tasks = PredictionTasks.from_dict(d.pop("tasks"))

        truncated = d.pop("truncated")

        _cuts = d.pop("cuts", UNSET)
        cuts: list[Cut] | Unset = UNSET
        if _cuts is not UNSET:
            cuts = []
            for cuts_item_data in _cuts:
                cuts_item = Cut.from_dict(cuts_item_data)

                cuts.append(cuts_item)

        _evidence = d.pop("evidence", UNSET)
        evidence: list[Evidence] | Unset = UNSET
        if _evidence is not UNSET:
            evidence = []
            for evidence_item_data in _evidence:
                evidence_item = Evidence.from_dict(evidence_item_data)

                evidence.append(evidence_item)

        text = d.pop("text", UNSET)

        prediction = cls(
            error=error,
            external_id=external_id,
            id=id,
            scope=scope,
            tasks=tasks,
            truncated=truncated,
            cuts=cuts,
            evidence=evidence,
            text=text,
        )

        prediction.additional_properties = d
        return prediction

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
