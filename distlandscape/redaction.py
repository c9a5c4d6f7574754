"""Passwords, tokens and keys taken out of text, addresses and nested values; in doubt more is hidden, not less."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

HIDDEN = "***"
# Keys of a query whose values say nothing secret; all other values are hidden.
HARMLESS = frozenset(
    (
        *("application_name", "cache", "charset", "check_same_thread", "connect_timeout", "driver", "encrypt"),
        *("experiment_name", "isolation_level", "max_results", "mode", "region", "sslmode", "timeout", "uri"),
    )
)
WORDS = ("mlflow", "distlandscape")  # names of commands: as a password they hide nothing
SHORTEST = 3  # a shorter password is taken out of addresses only: hiding it wherever it stands would leave no text
EMBEDDED = 8  # a secret of this length is hidden inside a longer word too

LONGEST = 8192  # of an address in a text

_START = re.compile(r"(?P<quote>['\"`<]?)(?P<scheme>(?<![\w+.\-])(?:[A-Za-z][\w+.\-]{0,40}:){1,3}//)")
_PLAIN_AUTHORITY = re.compile(r"(?:[^\s:/?#@]*|\[[0-9A-Fa-f:.%]+\])(?::\d{1,5})?(?=[\s/?#'\"`,;.)\]}>]|$)")
# The end of a name that calls its value a secret. Quantifiers are bounded: no text takes more than linear time.
_NAME = "|".join(
    (
        r"(?:(?:passw(?:or)?d|passphrase|pwd|secret|credential)[\w.\-]{0,40}",
        r"(?:api|access|secret|private|account|shared)[_\-]?key[\w.\-]{0,40}",
        r"(?<![A-Za-z0-9])(?:pass|auth|sig|signature)",
        r"token)",
    )
)
_ADDRESS_NAME = re.compile(r"(?:ur[il]|dsn|address)\Z", re.IGNORECASE)
_SECRET_NAME = re.compile(rf"{_NAME}\Z", re.IGNORECASE)
_QUOTED = r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\""
# A value without quotes may have spaces; it ends where another pair begins.
_VALUE = rf"(?:\*\*\*|{_QUOTED}|\{{[^}}\n]*\}}|[^;'\"`\n<>]+?(?=\s{{1,8}}[\w.\-]{{1,40}}=|[;'\"`\n<>]|$))"
_PAIR = re.compile(rf"(?P<name>{_NAME})(?P<equals>\s?=\s?)(?P<value>{_VALUE})", re.IGNORECASE)
_ITEM = re.compile(rf"(?P<name>{_NAME}['\"]\s?:\s?)(?P<value>{_QUOTED})", re.IGNORECASE)
_ENCODED = re.compile(rf"(?P<name>{_NAME})(?P<equals>%3D)[^&\s'\"]*", re.IGNORECASE)
_BEARER = re.compile(r"(?P<name>\b(?:bearer|basic)\s)[\w.~+/=\-]{8,}", re.IGNORECASE)
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bglpat-[\w\-]{20,}")
_BARE = re.compile(r"(?<![\w/.:+\-%])[\w.+\-%]{1,80}:(?!//)[^\s'\"@]{1,256}@(?=[\w.\-\[])")  # user:password@host

_addresses: set[str] = set()
_secrets: set[str] = set()


def remember(address: str | None) -> None:
    """Hide an address's secrets from now on wherever they stand, in any spelling: its limits are known here only."""
    if address and has_secret(address):
        _addresses.add(address)
        public = redact_address(address)
        _secrets.update(s for s in _secrets_of(address) if len(s) >= SHORTEST and s not in public and s not in WORDS)


def remember_all(arguments: Iterable[str]) -> None:
    """Remember the addresses that arguments of a command end with."""
    for argument in arguments:
        found = _START.search(argument)
        if found is not None:
            remember(argument[found.start("scheme") :])


def has_secret(address: str) -> bool:
    """Whether an address holds a user name, a password or any value that is not known to be harmless."""
    return redact_address(address) != address


def redact_address(address: str) -> str:
    """One address, all of the text, without user, password and values of its query; a plain path stays."""
    scheme, slashes, rest = address.partition("://")
    if not slashes:
        return _redact_unnamed(address)
    _, at, rest = ("", "", rest) if rest.startswith("/") else rest.rpartition("@")
    if not at and not _is_host(re.split(r"[/?;#]", rest, maxsplit=1)[0]):
        return f"{scheme}://{HIDDEN}"
    return f"{scheme}://{HIDDEN + '@' if at else ''}{_redact_query(rest)}"


def openable(address: str) -> str:
    """An address as a browser opens it: without secrets, and without a mark where a user stood."""
    return redact_address(address).replace(f"{HIDDEN}@", "")


def redact(text: str) -> str:
    """Text with the secrets taken out of every address, pair and header in it."""
    text = _redact_known(text)
    text = _redact_addresses(text)
    text = _ITEM.sub(lambda m: f"{m['name']}{m['value'][0]}{HIDDEN}{m['value'][0]}", text)
    text = _PAIR.sub(lambda m: f"{m['name']}{m['equals']}{HIDDEN}", text)
    text = _ENCODED.sub(lambda m: f"{m['name']}{m['equals']}{HIDDEN}", text)
    text = _BEARER.sub(lambda m: f"{m['name']}{HIDDEN}", text)
    return _BARE.sub(f"{HIDDEN}@", _KEY_ID.sub(HIDDEN, text))


def redacted(value: Any, name: str = "") -> Any:
    """Nested mappings and lists with the secrets taken out of their texts, and of whatever a key calls a secret."""
    if isinstance(value, str):
        if value and _SECRET_NAME.search(name):
            return HIDDEN
        return redact_address(value) if _ADDRESS_NAME.search(name) else redact(value)
    if isinstance(value, dict):
        return {key: redacted(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [item if isinstance(item, (int, float)) else redacted(item, name) for item in value]
    return value


def _redact_unnamed(address: str) -> str:
    """An address without ``://``: a path, ``user:password@host``, or the pairs of a driver."""
    if address.startswith(("/", ".", "~")):
        return address
    first = _PAIR.search(address) or _ENCODED.search(address)
    if first is not None:
        address = f"{address[: first.start()]}{first['name']}{first['equals']}{HIDDEN}"
    before, at, host = address.rpartition("@")
    return f"{HIDDEN}@{host}" if at and before != HIDDEN else address


def _redact_query(rest: str) -> str:
    """Host, path and query: values of pairs are hidden, and whatever may be the rest of one."""
    host, *parts = re.split(r"([?&;#])", rest)
    shown, hidden = [HIDDEN if _PAIR.search(unquote(host)) else host], False
    for separator, part in zip(parts[::2], parts[1::2], strict=True):
        name, equals, value = part.partition("=")
        if equals and value and name.lower() not in HARMLESS:
            part, hidden = f"{name}={HIDDEN}", True
        elif (hidden and part and not equals) or _PAIR.search(unquote(part)):
            part, hidden = HIDDEN, True
        shown += [separator, part]
    return "".join(shown)


def _is_host(host: str) -> bool:
    """Whether this can be nothing but ``host``, ``host:port`` or a list of them."""
    try:
        ports = [urlsplit(f"//{one}").port for one in host.split(",")]
    except ValueError:
        return False
    bare = (one.rpartition("]")[2] for one in host.split(","))
    return all(port is not None or ":" not in one for port, one in zip(ports, bare, strict=True))


def _secrets_of(address: str) -> Iterator[str]:
    """The password and each secret value of an address, as they stand, decoded, and in the pieces parsers cut."""
    rest = address.partition("://")[2] or address
    user, at, _ = ("", "", rest) if rest.startswith("/") else rest.rpartition("@")
    name, colon, password = (user if at else re.split(r"[/?;#]", rest, maxsplit=1)[0]).partition(":")
    found = [password] if colon or not at else [name]
    for part in re.split(r"[?&;#]", rest)[1:]:
        key, equals, value = part.partition("=")
        if (equals and key.lower() not in HARMLESS) or (found and not equals):
            found.append(value or part)
            found += [m["value"].strip("'\"{}") for m in _PAIR.finditer(unquote_plus(value))]
    for secret in found:
        for spelling in {secret, unquote(secret), unquote_plus(secret)}:
            yield from _spellings(spelling)
            yield from (piece for piece in re.split(r"[\s/@#?:&;=%\\'\"{}]+", spelling) if len(piece) > SHORTEST)


def _spellings(secret: str) -> set[str]:
    """A secret as addresses, Python, JSON, HTML and a shell write it."""
    encoded = {quote(secret, safe=""), quote(secret), quote_plus(secret), quote(secret, safe="+!$&'()*,;=:@")}
    quoted = {repr(secret)[1:-1], json.dumps(secret)[1:-1], escape(secret), secret.replace("'", "'\"'\"'")}
    return {secret, *encoded, *quoted}


def _redact_known(text: str) -> str:
    """Whatever is known to be a secret: of addresses that were remembered, and of the environment."""
    for address in sorted(_addresses, key=len, reverse=True):
        if address in text:
            text = text.replace(address, redact_address(address))
    for secret in sorted(_secrets | _of_environment(), key=len, reverse=True):
        if secret in text:
            ends = ("", "") if len(secret) >= EMBEDDED else (r"(?<![^\W_])", r"(?![^\W_])")
            text = re.sub(ends[0] + re.escape(secret) + ends[1], HIDDEN, text)
    return text


def _of_environment() -> set[str]:
    """Long values of variables whose names call them a secret."""
    return {
        value
        for name, value in os.environ.items()
        if len(value) >= EMBEDDED and _SECRET_NAME.search(name) and not value.startswith(("/", "."))
    }


def _redact_addresses(text: str) -> str:
    pieces, done = [], 0
    while (found := _START.search(text, done)) is not None:
        begin = found.start("scheme")
        end = _end(text, begin, found.end(), found["quote"])
        pieces += [text[done:begin], redact_address(text[begin:end])]
        done = end
    return "".join([*pieces, text[done:]])


def _end(text: str, begin: int, authority: int, quoted: str) -> int:
    """Where an address in a text ends: at its closing quote, else at a space that no password can hold."""
    if quoted:
        closing = {"<": ">"}.get(quoted, quoted)
        inside = rf"(?:\\.|[^{closing}\\\n])*{closing}"
        found = re.compile(inside).match(text, authority, min(len(text), begin + LONGEST))
        if found is not None:
            return found.end() - 1
    line = text.find("\n", begin, begin + LONGEST)
    line = min(len(text), begin + LONGEST) if line < 0 else line
    end = _space(text, begin, line)
    # What has no user, or was redacted before, ends at a space; a password may have spaces in it.
    whole = text.startswith(f"{HIDDEN}@", authority) or _PLAIN_AUTHORITY.match(text, authority)
    at = -1 if whole else text.rfind("@", end, line)
    end = end if at < 0 else _space(text, at, line)
    while end > authority and text[end - 1] in ".,;:)]}>'\"`!":
        end -= 1
    return end


def _space(text: str, start: int, stop: int) -> int:
    found = re.compile(r"\s").search(text, start, stop)
    return stop if found is None else found.start()
