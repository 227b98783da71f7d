"""What must not leave in a request is taken out: secrets, personal data, and the company's own identifiers.

Rules
- Text is normalised first (NFKC, invisible characters dropped), so that nothing hides between two letters.
- What is cut is named by its kind, ``[secret]``, ``[email]``, so that the sentence still reads.
- Too much is cut rather than too little: long random-looking runs go, whatever they are.
- A person's name is known from the directory, from an address or from the words around it ("created by …"). A name
  that nothing points at cannot be told from another word; docs/model.md says so.
"""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import yaml

WORDS: dict[str, str] = yaml.safe_load((Path(__file__).parent / "words.yml").read_text("utf-8"))
_WORD = re.compile(r"[^\W\d_]+")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_UPPER, _NAME = "A-ZÀ-ÖØ-ÞĀ-ŽΑ-ΩА-ЯЁ", r"[^\W\d_](?:[^\W\d_]|['’-](?=[^\W\d_]))*"
_PERSON = (
    rf"(?:[{_UPPER}]\.\s*)?[{_UPPER}]{_NAME}"
    rf"(?:\s+(?:(?:van|von|de|der|den|da|di|bin|al|la|le)\s+)*[{_UPPER}]{_NAME}){{0,2}}"
)
_CUE = re.compile(
    rf"\b((?:created|owned|assigned|managed|launched|modified|changed|made|reported|requested|approved|reviewed|written|"
    rf"erstellt|angelegt|créée?|creado|criado)\s+(?:by|to|von|par|por)|"
    rf"(?:owner|contact|author|user|employee|manager|engineer|admin|ask|call|from|name|regards|thanks|dear|hi|hello|"
    rf"mrs?|ms|dr|prof|herr|frau|señora?|monsieur|madame)\.?\s*[:=,]?)\s+(?:(?:mrs?|ms|dr|prof)\.?\s+)?({_PERSON})",
    re.IGNORECASE,
)
_KEYWORDS = (
    r"pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|auth|credential|private[_-]?key|client[_-]?"
    r"secret|connection[_-]?string|account[_-]?key|signature|sig|bearer|cookie|session|kennwort|passwort|contraseña|"
    r"senha|mot de passe|пароль|密码|パスワード"
)
_SECRETS = (
    re.compile(r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|CERTIFICATE|PGP MESSAGE)[\s\S]*?(?:-----END[^-]*-----|\Z)"),
    re.compile(r"(?<![A-Za-z0-9])(?:A3T[A-Z0-9]|AKIA|ASIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{12,}", re.I),
    re.compile(
        r"\b(?:gh[pousr]_|github_pat_|glpat-|glptt-|xox[abeoprs]-|xapp-|npm_|pypi-|sk-|sk_live_|sk_test_|rk_live_|"
        r"pk_live_|whsec_|hf_|dop_v1_|SG\.|key-|AIza|ya29\.|dckr_pat_|hvs\.|atlasv1|shp(?:at|ss)_|sq0|EAA|"
        r"AccountKey=|SharedAccessSignature|sig=|sv=20)[\w.~+/=&%-]{6,}"
    ),
    re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"),  # a JWT, also one that is cut
    re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/@:]*:[^\s/@]+@[^\s]*", re.I),
    re.compile(r"\b(?:Authorization|X-Api-Key|Cookie)\s*:\s*[^\n]+", re.I),
    re.compile(
        rf"""\b[\w-]*(?:{_KEYWORDS})[\w-]*["']?\s*(?:[:=]|=>|\bis\b|\bist\b|\bes\b)\s*(?:bearer\s+|basic\s+)?"""
        r"""["'`]?[^\s"'`,;<>{}()]{4,}""",
        re.I,
    ),
    re.compile(r"\b(?:bearer|basic)\s+[\w.~+/=-]{8,}", re.I),
)
_EMAIL = re.compile(
    r"[^\s<>()\[\],;:\"'@]+\s?(?:@|\((?:at|@)\)|\[(?:at|@)\]|\{at\})\s?[\w-]+(?:\s?(?:\.|\(dot\)|\[dot\])\s?[\w-]+)+"
)
_URL = re.compile(
    r"\b(?:https?|ftp|s3|ssh|git|ldaps?|jdbc:\w+|postgres(?:ql)?|mysql|mongodb(?:\+srv)?|redis)://\S+", re.I
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?(?![\w])")
_IPV6 = re.compile(
    r"(?<![\w:])(?:[0-9a-f]{0,4}:){2,8}(?:[0-9a-f]{0,4}|(?:\d{1,3}\.){3}\d{1,3})(?:/\d{1,3})?(?![\w:])", re.I
)
_IPWORDS = re.compile(r"\bip-\d{1,3}-\d{1,3}-\d{1,3}-\d{1,3}\b", re.I)
_ARN = re.compile(r"\barn:[\w-]*:[^\s\"'<>]+", re.I)
_PATH = re.compile(r"/?(?:subscriptions|projects|organizations|tenants|accounts)/[^\s\"'<>]+", re.I)
_ID = re.compile(
    r"\b(?:i|sg|vpc|subnet|vol|snap|ami|eni|eipalloc|rtb|acl|igw|nat|vpce|db|cluster|fs|lt|key|rtbassoc)-[0-9a-f]{6,}\b"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[UWCGTBS]0[A-Z0-9]{6,}\b",
    re.I,
)
_HOST = re.compile(
    r"\b(?:[a-z0-9_-]+\.)+(?:internal|local|localdomain|corp|lan|intranet|home|com|net|org|io|dev|cloud|app|ai|co|de|fr|"
    r"uk|eu|us|nl|ch|at|es|it|se|pl|jp|cn|br|in|ru|gov|edu|mil|info|biz)\b(?:/\S*)?",
    re.I,
)
_DIGITS = re.compile(r"(?<![\w.-])\+?(?:\(?\d[\d ()./-]{6,}\d)(?![\w])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){3,7}(?:\s?[A-Z0-9]{1,3})?\b")
_HANDLE = re.compile(r"(?<![\w.])@[\w][\w.-]+|<[@!#][^>\n]*>?")
_RUN = re.compile(r"[A-Za-z0-9+/=_\-%]{16,}")
_GIVEN = frozenset(WORDS["given"].split())
_FULL_NAME = re.compile(
    rf"\b([{_UPPER}]{_NAME})((?:\s+(?:(?:van|von|de|der|den|da|di|bin|al)\s+)*[{_UPPER}]{_NAME}){{1,2}})"
)
_NO_NAMES = frozenset(WORDS["no_names"].split())


class Redactor:
    """``people`` are names of the directory; ``known`` what this very text may name: identifier to ``[resource]``."""

    def __init__(self, people: Iterable[str] = (), known: Mapping[str, str] | None = None) -> None:
        self._people: set[str] = set()
        for person in people:
            whole = " ".join(_WORD.findall(tidy(person).casefold()))
            for name in (whole, *whole.split()):
                if len(name) > 2 and name not in _NO_NAMES and not name.isdigit():
                    self._people.add(name)
        self._most = max((name.count(" ") + 1 for name in self._people), default=0)
        words: dict[str, str] = {}
        for word, stands in (known or {}).items():
            word = " ".join(tidy(word).split()).casefold()
            if len(word) > 2 and word not in _NO_NAMES:
                words.setdefault(word, stands)
        self._known, self._pattern = words, _alternatives(words)

    def __call__(self, text: str, limit: int = 2000) -> str:
        """``text`` as it may leave, on one line unless it had several; never longer than ``limit``."""
        text = tidy(text[: limit * 4])
        for secret in _SECRETS:
            text = secret.sub("[secret]", text)
        text = _EMAIL.sub("[email]", text)
        if self._pattern is not None:
            text = self._pattern.sub(
                lambda found: self._known.get(" ".join(found.group().casefold().split()), "[name]"), text
            )
        text = self._without_people(text)
        text = _URL.sub("[link]", text)
        text = _ARN.sub("[arn]", text)
        text = _PATH.sub("[path]", text)
        text = _IPWORDS.sub("[ip]", text)
        text = _IPV4.sub(_address, text)
        text = _IPV6.sub(_address, text)
        text = _ID.sub("[id]", text)
        text = _HOST.sub("[host]", text)
        text = _IBAN.sub("[number]", text)
        text = _DIGITS.sub(_long_number, text)
        text = _HANDLE.sub("[handle]", text)
        text = _CUE.sub(_cued, text)
        text = _FULL_NAME.sub(_full_name, text)
        text = _RUN.sub(_opaque, text)
        return text if len(text) <= limit else text[: limit - 1] + "…"

    def _without_people(self, text: str) -> str:
        """Names of the directory, the longest first; also inside identifiers: "alice-laptop"."""
        if not self._people:
            return text
        spans = [(found.start(), found.end(), found.group().casefold()) for found in _WORD.finditer(text)]
        made, done, at = [], 0, 0
        while at < len(spans):
            for size in range(min(self._most, len(spans) - at), 0, -1):
                if " ".join(word for _, _, word in spans[at : at + size]) in self._people:
                    made += [text[done : spans[at][0]], "[person]"]
                    done, at = spans[at + size - 1][1], at + size
                    break
            else:
                at += 1
        return "".join([*made, text[done:]])


def without_secrets(text: str) -> str:
    """``text`` without secrets and addresses of people; the company's own names stay."""
    text = tidy(text)
    for secret in _SECRETS:
        text = secret.sub("[secret]", text)
    return _RUN.sub(_opaque, _EMAIL.sub("[email]", text))


def tidy(text: str) -> str:
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))))


def _alternatives(words: Mapping[str, str]) -> re.Pattern[str] | None:
    if not words:
        return None
    longest = sorted(words, key=len, reverse=True)
    # A name also stands inside identifiers: "alice-laptop", "bucket_of_alice".
    joined = "|".join(r"\s+".join(re.escape(part) for part in word.split()) for word in longest)
    return re.compile(rf"(?<![^\W_])(?:{joined})(?![^\W_])", re.IGNORECASE)


def _address(found: re.Match[str]) -> str:
    said = found.group()
    try:
        network = ipaddress.ip_network(said, strict=False)
    except ValueError:
        return "[ip]" if said.count(".") == 3 else said
    # "anywhere" is the very point of many findings and nobody's address
    return said if network.prefixlen == 0 or said in {"::", "0.0.0.0"} else "[ip]"  # noqa: S104


def _long_number(found: re.Match[str]) -> str:
    said = found.group()
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", said):
        return said  # a day
    return "[number]" if sum(c.isdigit() for c in said) >= 7 else said


def _cued(found: re.Match[str]) -> str:
    name: str = found.group(2)
    first = name.split()[0]
    if not first[0].isupper() or first.casefold() in _NO_NAMES:
        return found.group()
    return found.group()[: found.start(2) - found.start()] + "[person]"


def _full_name(found: re.Match[str]) -> str:
    return "[person]" if found.group(1).casefold() in _GIVEN else found.group()


def _opaque(found: re.Match[str]) -> str:
    """Random-looking runs: keys, hashes, base64 of anything. Words joined by - or _ are not."""
    run = found.group()
    parts = [part for part in re.split(r"[-_/=+%]", run) if part]
    longest = max(parts, key=len, default="")
    if len(longest) < 16 and not re.search(r"[A-Z].*[a-z].*\d|\d.*[A-Z].*[a-z]|[a-z].*\d.*[A-Z]", run):
        return run
    if longest.isalpha() and (longest.islower() or longest.isupper() or longest.istitle()) and _entropy(longest) < 3.6:
        return run
    if len(run) >= 16 and (_mixed(longest) or _entropy(longest) >= 3.3 or len(longest) >= 32):
        return "[opaque]"
    return run


def _mixed(text: str) -> bool:
    kinds: tuple[Callable[[str], bool], ...] = (str.isdigit, str.islower, str.isupper)
    return sum(any(kind(c) for c in text) for kind in kinds) >= 2 and len(text) >= 12


def _entropy(text: str) -> float:
    """Bits a character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0
