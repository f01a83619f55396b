"""The peers of PyPI, behind the same frames as `crates/mail/examples/cleaning.rs`.

    python peer.py clean|time PEER FRAMES [SECONDS]
"""

import json
import pathlib
import struct
import sys
import time


def lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def mail_parser_reply():
    from mailparser_reply import EmailReplyParser

    languages = ["en", "de", "fr", "it", "es", "nl", "pl", "da", "sv", "cs", "ja", "ko", "zh"]
    def clean(kind: str, text: str) -> str:
        replies = EmailReplyParser(languages=languages).read(text).replies
        return replies[0].body if replies else ""

    return clean


def email_reply_parser():
    from email_reply_parser import EmailReplyParser

    return lambda kind, text: EmailReplyParser.parse_reply(text)


def talon():
    # Importing `talon.signature` loads its learned model, which needs a scikit-learn of 2015; its rules do not.
    import types

    import talon as package

    stub = types.ModuleType("talon.signature")
    stub.__path__ = [str(pathlib.Path(package.__file__).parent / "signature")]
    sys.modules["talon.signature"] = stub
    from talon import quotations
    from talon.signature.bruteforce import extract_signature

    def clean(kind: str, text: str) -> tuple[str, str] | str:
        if kind == "h":
            return "h", quotations.extract_from_html(text)
        return extract_signature(quotations.extract_from_plain(text))[0]

    return clean


def quotequail():
    import quotequail as package

    def clean(kind: str, text: str) -> tuple[str, str] | str:
        if kind == "h":
            return "h", "".join(part for expanded, part in package.quote_html(text, quote_intro_line=True) if expanded)
        # What stands above a wrapped mail, or the wrapped mail where nothing does.
        wrapped = package.unwrap(text)
        if wrapped is not None:
            return wrapped.get("text_top") or wrapped.get("text") or ""
        return "\n".join(part for expanded, part in package.quote(text, quote_intro_line=True) if expanded)

    return clean


def unquotemail():
    from unquotemail import Unquote

    def clean(kind: str, text: str) -> tuple[str, str] | str:
        if not text.strip():
            return ""
        return ("h", Unquote(text, None).get_html()) if kind == "h" else Unquote(None, text).get_text()

    return clean


def email_reply_extractor():
    from email_reply_extractor import clean_for_scoring, extract_new_text, split_html_parts

    def clean(kind: str, text: str) -> str:
        if kind == "h":
            return clean_for_scoring(extract_new_text(None, html_body=text).text, split_html_parts(text).signature_text).text
        return clean_for_scoring(extract_new_text(text).text).text

    return clean


def part(message, kind: str) -> str | None:
    """The first part of a type, decoded by the standard library."""
    found = message.get_body(preferencelist=(kind,))
    if found is None:
        return None
    try:
        return found.get_content()
    except (LookupError, UnicodeError):  # an unknown charset
        return (found.get_payload(decode=True) or b"").decode("utf-8", "replace")


def standard_library(convert):
    import email
    import email.policy

    def read(kind: str, raw: bytes) -> str:
        message = email.message_from_bytes(raw, policy=email.policy.default)
        text = part(message, "plain")
        return lines(text) if text is not None else convert(part(message, "html") or "")

    return read


def email_inscriptis():
    from inscriptis import get_text

    return standard_library(get_text)


def email_html2text():
    import html2text

    def convert(html: str) -> str:
        reader = html2text.HTML2Text(bodywidth=0)
        reader.ignore_links = reader.ignore_images = reader.ignore_emphasis = True
        return reader.handle(html)

    return standard_library(convert)


def mail_parser():
    import mailparser
    from inscriptis import get_text

    def read(kind: str, raw: bytes) -> str:
        message = mailparser.parse_from_bytes(raw)
        return lines("\n".join(message.text_plain)) if message.text_plain else get_text("\n".join(message.text_html))

    return read


def fast_mail_parser():
    import fast_mail_parser as package
    from inscriptis import get_text

    def read(kind: str, raw: bytes) -> str:
        message = package.parse_email(raw)
        return lines("\n".join(message.text_plain)) if message.text_plain else get_text("\n".join(message.text_html))

    return read


PEERS = {
    "mail-parser-reply": mail_parser_reply,
    "email-reply-parser": email_reply_parser,
    "talon": talon,
    "quotequail": quotequail,
    "unquotemail": unquotemail,
    "email-reply-extractor": email_reply_extractor,
    "email + inscriptis": email_inscriptis,
    "email + html2text": email_html2text,
    "mail-parser": mail_parser,
    "fast-mail-parser": fast_mail_parser,
}


def frames(path: str):
    data = pathlib.Path(path).read_bytes()
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<cI", data, at)
        content = data[at + 5 : at + 5 + length]
        kind = kind.decode()
        yield kind, content if kind == "m" else content.decode()
        at += 5 + length


def main() -> None:
    mode, name, path, *seconds = sys.argv[1:]
    clean = PEERS[name]()
    failed = 0

    def guarded(kind: str, content) -> tuple[str, str] | str:
        nonlocal failed
        try:
            return clean(kind, content)
        except Exception:  # a mail it cannot read is an empty text and counted
            failed += 1
            return ""

    mails = list(frames(path))
    if mode == "clean":
        for kind, content in mails:
            kept = guarded(kind, content)
            kind, text = kept if isinstance(kept, tuple) else ("p", kept)
            data = (text or "").encode("utf-8", "replace")
            sys.stdout.buffer.write(struct.pack("<cI", kind.encode(), len(data)) + data)
        sys.stdout.buffer.flush()
        print(f"failed {failed}", file=sys.stderr)
    else:
        # To warm up, then to time; processor time is not stretched by other programs on the machine.
        for share in (0.5, 1.0):
            start, done = time.process_time(), 0
            while not done or time.process_time() - start < share * float(seconds[0]):
                for kind, content in mails:
                    guarded(kind, content)
                done += len(mails)
        print(json.dumps({"per_s": done / (time.process_time() - start)}))
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            print("peak", line.split(":")[1].strip(), file=sys.stderr)


if __name__ == "__main__":
    main()
