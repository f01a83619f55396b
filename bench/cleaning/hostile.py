"""Mails made to be slow, of any size. All words are invented."""


def lines(*repeated: str):
    """The lines again and again, up to a size."""
    block = "".join(line + "\n" for line in repeated).encode()
    return lambda size: block * (size // len(block))


def around(opening: str, closing: str):
    """Elements in one another: half the size opens, half closes."""
    return lambda size: (opening * (size // 2 // len(opening))).encode() + b"Wort" + (closing * (size // 2 // max(1, len(closing)))).encode()


def forwards(size: int) -> bytes:
    """A forward in a forward in a forward, each with a note above."""
    block = "Zur Kenntnis.\n\n---------- Weitergeleitete Nachricht ----------\nVon: A <a@example.com>\nDatum: 5. Januar 2026\nBetreff: WG: C\n\n"
    return block.encode() * (size // len(block.encode()))


def base64_junk(size: int) -> bytes:
    head = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + b"====!!AAAA=A=/+zz$$\r\n" * (size // 21)


def quoted_printable_junk(size: int) -> bytes:
    head = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head + b"=E4=\r\n==ZZ=3" * (size // 13)


def nested_multiparts(size: int) -> bytes:
    parts, length, depth = [], 0, 0
    while length < size:
        part = f'Content-Type: multipart/mixed; boundary="b{depth}"\r\n\r\n--b{depth}\r\n'
        parts.append(part)
        length += len(part)
        depth += 1
    return "".join(parts).encode() + b"Content-Type: text/plain\r\n\r\nWort\r\n"


def nested_messages(size: int) -> bytes:
    part = b"Content-Type: message/rfc822\r\n\r\n"
    return part * (size // len(part)) + b"Subject: Wort\r\n\r\nWort\r\n"


def many_parts(size: int) -> bytes:
    head = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    part = b"--b\r\nContent-Type: text/plain\r\n\r\nWort\r\n"
    return head + part * (size // len(part)) + b"--b--\r\n"


def long_header(size: int) -> bytes:
    word = b" =?utf-8?Q?=C3=A4?=\r\n"
    return b"Subject:" + word * (size // len(word)) + b"\r\nWort\r\n"


# Name, the kind of frame (`p` text, `h` HTML, `m` raw mail) and what makes it.
HOSTILE = {
    "`>` lines": ("p", lines("> Wort und noch ein Wort")),
    "`>` lines and answers in turn": ("p", lines("> Frage", "Antwort")),
    "200 `>` a line": ("p", lines("> " * 200 + "Wort")),
    "one line of `>`": ("p", lambda size: b">" * size),
    "`Von: a` lines": ("p", lines("Von: a")),
    "whole header blocks": ("p", lines("Von: A <a@example.com>", "Gesendet: Montag, 5. Januar 2026 10:00", "An: B", "Betreff: C", "", "x")),
    "attributions": ("p", lines("Am 03.04.2026 um 10:00 schrieb Max <max@example.com>:")),
    "an attribution and its quote in turn": ("p", lines("Am 03.04.2026 um 10:00 schrieb Max <max@example.com>:", "> Frage", "Antwort")),
    "one line of attributions": ("p", lambda size: b"Am Montag, 5. Januar 2026 schrieb Max " * (size // 38)),
    "a forward in a forward": ("p", forwards),
    "beginnings of attributions": ("p", lines("On Mon, Jan 5, 2026 at 10:00 AM Max")),
    "ends of attributions": ("p", lines("<max@example.com> schrieb:")),
    "original-message lines": ("p", lines("-----Ursprüngliche Nachricht-----")),
    "dashes": ("p", lines("-----")),
    "one line of dashes": ("p", lambda size: b"-" * size),
    "`-- ` lines": ("p", lines("-- ")),
    "closings": ("p", lines("Mit freundlichen Grüßen", "Max Muster")),
    "company lines": ("p", lines("Geschäftsführer: Max Muster, Amtsgericht Köln HRB 12345, USt-IdNr. DE123456789")),
    "contact lines": ("p", lines("Tel.: +49 221 123456 | max@example.com | www.example.com")),
    "confidentiality notices": ("p", lines("Diese E-Mail ist vertraulich. Sind Sie nicht der Empfänger, löschen Sie sie.", "")),
    "blank lines": ("p", lines("")),
    "lines of one letter": ("p", lines("a")),
    "prose": ("p", lines("Bitte schicken Sie mir den Auszug zu, und sagen Sie mir, wann er kommt.", "")),
    "one line of words": ("p", lambda size: b"Wort " * (size // 5)),
    "one word": ("p", lambda size: b"a" * size),
    "one line of `a@`": ("p", lambda size: b"a@" * (size // 2)),
    "one line of `:`": ("p", lambda size: b"a: " * (size // 3)),
    "one line of `<`": ("p", lambda size: b"<" * size),
    "one line of spaces": ("p", lambda size: b"a" + b" " * size + b"b"),
    "`div` in `div`": ("h", around("<div>", "</div>")),
    "`blockquote` in `blockquote`": ("h", around("<blockquote>", "</blockquote>")),
    "`table` in `table`": ("h", around("<table><tr><td>", "</td></tr></table>")),
    "`li` in `li`": ("h", around("<ul><li>", "</li></ul>")),
    "hidden `div` in hidden `div`": ("h", around("<div style='display:none'>", "</div>")),
    "Gmail quote in Gmail quote": ("h", around("<div class=gmail_quote><div>A schrieb:</div><blockquote>", "</blockquote></div>")),
    "an open `style`": ("h", lambda size: b"Wort<style>" + b"p{color:red}" * (size // 12)),
    "unclosed `b`, `i`, `p`": ("h", lambda size: b"<b><i><p>Wort" * (size // 13)),
    "unclosed `a` in `p`": ("h", lambda size: b"<p><a href=x>Wort" * (size // 17)),
    "closing tags alone": ("h", lambda size: b"</div></p></b>" * (size // 14)),
    "an open comment": ("h", lambda size: b"Wort<!--" + b"<!-" * (size // 3)),
    "attributes of one tag": ("h", lambda size: b"<p " + b"a=1 b " * (size // 6) + b">Wort"),
    "entities": ("h", lambda size: b"&amp;&auml;&#x;&" * (size // 16)),
    "`<` alone": ("h", lambda size: b"<" * size),
    "Gmail quotes side by side": ("h", lambda size: b"<div class=gmail_quote>alt</div>neu<br>" * (size // 39)),
    "base64 junk": ("m", base64_junk),
    "quoted-printable junk": ("m", quoted_printable_junk),
    "multipart in multipart": ("m", nested_multiparts),
    "message in message": ("m", nested_messages),
    "many parts": ("m", many_parts),
    "a header of encoded words": ("m", long_header),
    "random bytes": ("m", lambda size: bytes((at * at * 7 + at // 3) % 256 for at in range(size))),
}
