from enum import StrEnum


class Part(StrEnum):
    CUTS = "cuts"
    EVIDENCE = "evidence"
    TEXT = "text"

    def __str__(self) -> str:
        return str(self.value)
