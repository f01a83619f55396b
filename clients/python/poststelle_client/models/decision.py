from enum import StrEnum


class Decision(StrEnum):
    ASK = "ask"
    AUTO = "auto"
    SUGGEST = "suggest"

    def __str__(self) -> str:
        return str(self.value)
