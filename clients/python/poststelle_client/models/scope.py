from enum import StrEnum


class Scope(StrEnum):
    AUTO_REPLY = "auto_reply"
    BOUNCE = "bounce"
    EMPTY = "empty"
    FOREIGN_LANGUAGE = "foreign_language"
    IN_SCOPE = "in_scope"
    OUT_OF_OFFICE = "out_of_office"
    SPAM = "spam"

    def __str__(self) -> str:
        return str(self.value)
