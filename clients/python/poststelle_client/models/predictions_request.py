from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define

from ..models.part import Part
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.mail_input import MailInput


T = TypeVar("T", bound="PredictionsRequest")


@_attrs_define
class PredictionsRequest:
    """Mails to be labelled

    Attributes:
        mails (list[MailInput]): The mails, answered in this order.
        include (list[Part] | Unset): What is told of each mail besides its labels. `evidence` is for few mails: it
            costs as much as labelling a mail's every sentence.
    """

    mails: list[MailInput]
    include: list[Part] | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        mails = []
        for mails_item_data in self.mails:
            mails_item = mails_item_data.to_dict()
            mails.append(mails_item)

        include: list[str] | Unset = UNSET
        if not isinstance(self.include, Unset):
            include = []
            for include_item_data in self.include:
                include_item = include_item_data.value
                include.append(include_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "mails": mails,
            }
        )
        if include is not UNSET:
            field_dict["include"] = include

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.mail_input import MailInput

        d = dict(src_dict)
        mails = []
        _mails = d.pop("mails")
        for mails_item_data in _mails:
            mails_item = MailInput.from_dict(mails_item_data)

            mails.append(mails_item)

        _include = d.pop("include", UNSET)
        include: list[Part] | Unset = UNSET
        if _include is not UNSET:
            include = []
            for include_item_data in _include:
                include_item = Part(include_item_data)

                include.append(include_item)

        predictions_request = cls(
            mails=mails,
            include=include,
        )

        return predictions_request
