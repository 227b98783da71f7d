"""What is not a question about posture: orders, requests for secrets or prompts, attempts to change the rules.

Gatehouse only reads here. An order is refused however politely it is put; steering text around a real question is cut
away and the question answered. Both are decided before the rest of the question is read.
"""

from __future__ import annotations

import re

_POLITE = (
    r"(?:please|pls|kindly|now|then|and then|also|ok|okay|hey|hi|hello|gatehouse|just|quickly|go ahead and|"
    r"(?:can|could|would|will) (?:you|we|u|i|gatehouse|someone|somebody)(?: please| kindly)?|"
    r"(?:would|do) you mind|i (?:want|need|would like|'d like|order) you to|you (?:should|must|need to|have to|"
    r"can|may)|"
    r"let'?s|we (?:should|must|need to|have to)|i (?:want|need|would like) to|help me(?: to)?|make sure (?:to|"
    r"that you)|"
    r"feel free to|be so kind (?:as to|and)|it would be (?:great|nice) if you could|i'd like to|"
    r"(?:i )?(?:hereby )?(?:authori[sz]e|instruct|command|order|tell) you to|try to|start to|begin to)"
)
_VERBS = (
    r"suppress|mute|dismiss|silence|snooze|ignore|accept|waive|resolve|remediate|patch|assign|reassign|"
    r"unassign|create|"
    r"raise|file|log|send|e-?mail|mail|export|download|upload|approve|reject|deny|delete|remove|disable|enable|"
    r"rotate|"
    r"block|unblock|quarantine|isolate|execute|trigger|launch|restart|rescan|re-scan|scan|escalate|notify|"
    r"ping|page|grant|revoke|update|modify|edit|mark|reopen|re-open|add|deploy|apply|merge|undo|rollback|"
    r"roll back|revert|"
    r"transfer|kill|terminate|shut down|shutdown|turn off|turn on|switch off|switch on|encrypt|decrypt|erase|"
    r"wipe|purge|"
    r"drop|insert|alter|truncate|commit|push|publish|share|forward|post|tweet|message|dm|call|order|buy|book|"
    r"schedule|"
    r"automate|implement|configure|install|uninstall|upgrade|downgrade|stop|write|draft|build|generate|hide|"
    r"unsuppress|unmute|de-?escalate|move|rename|tag|untag|label|close|clear|approve|lower|downgrade|bump|sign off|"
    r"open up|make|set|change|fix|run|start|invite|subscribe|unsubscribe|remind|tell|delegate|freeze|unfreeze|"
    r"pause|harden|secure|lock|unlock"
)
# Verbs that are words of questions too need an object right behind them.
_OBJECT = (
    r"(?:the|all|every|each|this|that|these|those|it|them|my|our|your|any|a|an|both|him|her|everyone|everybody|"
    r"finding|findings|"
    r"issue|alert|alerts|low|high|critical|medium|lows|highs|criticals|mediums|open|overdue|ticket|tickets|"
    r"remediation|playbook|script|"
    r"to|on|as|for|off|everything|whatever|team|someone|somebody|new|one|me a|me an|"
    r"public|ssh|rdp|access|security|unowned|old|stale|exposed|ports?|[\w.-]*\d[\w.:/-]*|<[^>]*>|\"[^\"]+\")"
)
_ORDER = re.compile(
    rf"^(?:{_POLITE}[\s,]+)*(?:{_VERBS})\s+(?:up\s+|down\s+|out\s+)?{_OBJECT}\b|"
    rf"^(?:{_POLITE}[\s,]+)*(?:open|file|raise|create|cut|log|make)\s+(?:me\s+|us\s+)?(?:a|an|the|new|"
    rf"some)?\s*(?:\w+\s+){{0,2}}"
    r"(?:ticket|tickets|jira|issue in|incident|incidents|case|pr|pull request|change request|service request|"
    r"task|tasks|exception)\b|"
    rf"^(?:{_POLITE}[\s,]+)+(?!(?:tell|share|make|write|run|page|call|log|order|add|set|start|build|"
    rf"update)\b)(?:{_VERBS})\b",
    re.IGNORECASE,
)
_ORDER_BARE = re.compile(
    rf"^(?:{_POLITE}[\s,]+)*(?:fix|patch|resolve|close|upgrade|update|deploy|mitigate|repair|encrypt|harden|lock|"
    r"unlock|block|launch|terminate|restart|reboot|install|uninstall|configure|remove|wipe|purge|revert|undo|merge|"
    r"accept|waive|unmute|unsuppress|download|upload|transfer|kill|enable|turn (?:on|off)|switch (?:on|off))\s+"
    r"(?!rates?\b|times?\b|available\b|availability\b|status\b|levels?\b|counts?\b|percent|share\b|trend\b|to\b)\w|"
    rf"^(?:{_POLITE}[\s,]+)*(?:change|set|update|edit)\s+(?:the\s+)?(?:owner|severity|status|team|sla|priority)\b|"
    rf"^(?:{_POLITE}[\s,]+)*(?:suppress|mute|dismiss|snooze|remediate|assign|reassign|approve|reject|delete|"
    rf"disable|rotate|"
    r"quarantine|isolate|execute|escalate|notify|export|e-?mail|rescan|reopen|grant|revoke|silence)\s+\w",
    re.IGNORECASE,
)
_ORDER_LATER = re.compile(
    rf"(?:\band|\bthen|,|;|\.|\bplus)\s+(?:please\s+|then\s+|also\s+|just\s+)*(?:{_VERBS})\s+"
    r"(?:it|them|those|these|all|the|every|"
    r"th(?:is|at)(?! (?:week|month|quarter|year|day|morning))|each|everything|a|an|me|to|my|"
    r"our|your|both|everyone|us)\b",
    re.IGNORECASE,
)
_HANDED = re.compile(
    rf"^(?:{_POLITE}[\s,]+)*(?:give|hand|pass|move|shift)\b(?! me\b| us\b).{{3,}}\bto\b(?! me\b| us\b)|"
    rf"^(?:{_POLITE}[\s,]+)*(?:archive|triage|acknowledge|ack|ask)\b(?! for\b| about\b)",
    re.IGNORECASE,
)
_SAID_LATER = re.compile(
    r"(?:\band|\bthen|,)\s+(?:please\s+|then\s+|also\s+)*(?:suppress|mute|assign|close(?! to)|export|e-?mail|"
    r"send|approve|delete|"
    r"remediate|escalate|notify|dismiss|mark)\s+\w",
    re.IGNORECASE,
)
# "can we get the criticals closed": to have it done. With a time behind it, it asks for what was done.
_TOLD = re.compile(
    rf"^(?:{_POLITE}[\s,]+)*(?:tell|ask|have|get|remind|urge|instruct|order|make|let)\s+(?!me\b|us\b|you\b).{{2,60}}?\s"
    rf"(?:to\s+)?(?:{_VERBS})\s+(?:it|them|those|these|this|that|their|its|the|all|every|any|each|everything)\b",
    re.IGNORECASE,
)
_CAUSED = re.compile(
    r"^(?:(?:can|could|would|will|shall|please|pls|kindly|i want to|i'd like to|let'?s|we need to)\b[\s,]*)+"
    r"(?:(?:we|you|i|someone|somebody)\b\s*)?(?:please\s+)?(?:get|have)\b(?!.*\b(?:list|number|count|overview|figures?)\b)"
    r".+\b(?:closed|fixed|resolved|suppressed|muted|patched|deleted|approved|exported|remediated|dismissed|escalated|sent|"
    r"reassigned|reopened|removed|encrypted)\b\s*(?:please|pls|now|asap|today|off|out|down|up|right away|immediately|"
    r"for (?:me|us))*\W*$",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\b(?:show|print|give|reveal|list|dump|display|tell)\b[^.?!]{0,20}\b(?:every|all|your|the|any|our) secrets?\b"
    r"(?! in\b| found\b)|"
    r"\b(?:instructions|prompts?|guidelines) (?:that )?(?:you|were|are)\b|\brules (?:that )?you\b|"
    r"\b(?:system|hidden|initial|original|secret|developer|base)\s*(?:prompt|instruction|message)s?\b|"
    r"\byour\s+(?:\w+\s+)?(?:prompts?|instructions?|rules|configuration|config|settings|guidelines|source code|"
    r"api keys?|tokens?|"
    r"secrets?|credentials?|password|model|training data|context|policy file|env|environment variables|database)\b|"
    r"\b(?:what|which) (?:are|were) you (?:told|instructed|programmed|given)\b|"
    r"\b(?:the|an?|our|all|any|show|print|give me|list|reveal|dump|me)\s+(?:\w+\s+)?(?:api[- ]keys?|"
    r"api[- ]tokens?|bot tokens?|slack tokens?|"
    r"openai (?:api )?keys?|signing secrets?|database (?:password|url|credentials)|connection strings?|"
    r"environment variables|"
    r"private keys?|passwords?|credentials|secret keys?|client secrets?|admin passwords?|root passwords?|"
    r"session tokens?)\b|"
    r"\b(?:prompt|instructions) (?:above|you (?:got|were given|received))\b|\brepeat (?:everything|the text|"
    r"the words|all) (?:above|before)\b",
    re.IGNORECASE,
)
_STEER = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass|skip|drop)\b[^.?!;]{0,40}\b(?:instructions?|rules?|prompts?|"
    r"guidelines|everything|"
    r"above|previous|prior|polic(?:y|ies)|filters?|restrictions?|permissions?|training|constraints?|safety)\b|"
    r"\b(?:pretend|act as|you are now|from now on|roleplay|role-play|imagine you|simulate|developer mode|"
    r"jailbreak|dan mode|sudo mode)\b|"
    r"\b(?:just|simply|always|only)?\s*(?:say|answer|reply|respond|output|return|report|write|"
    r"state)\s+(?:with\s+|just\s+|only\s+|that\s+)*"
    r"(?:[\"']?\d+[\"']?|\"x+\"|zero|none|nothing|no findings|there are (?:no|none|\d+)|all (?:clear|good|is well|"
    r"resolved)|yes|no|ok)(?!\w)|"
    r"\b(?:system|assistant|admin)\s*:\s|</?(?:system|data|user|instructions?|prompt)>|\bthe (?:right|correct|"
    r"true) answer is\b|"
    r"\bas an? (?:admin|administrator|superuser|root|ciso|owner)\b|\bnew (?:rule|instruction|policy)s?\b|"
    r"\bwithout (?:checking|restrictions?|limits|filters?)\b|"
    r"\b(?:count|treat|consider|regard|assume)\b[^.?!;]{0,40}\bas (?:zero|closed|resolved|fixed|nothing|"
    r"suppressed|compliant)\b|"
    r"\b(?:trust me|i am (?:the|an?) (?:admin|ciso|ceo|owner|developer)|i'm (?:the|an?) (?:admin|ciso|ceo|"
    r"owner|developer)|this is (?:a test|the admin|an emergency))\b|"
    r"\b(?:make it|round (?:it|them)?|set it to|it must be|it should be|the answer (?:is|must be|should be|"
    r"has to be))\s*(?:to|down to|up to|be)?\s*\d+\b",
    re.IGNORECASE,
)  # fmt: skip
_REDEFINED = re.compile(
    r"\bfrom now on\b|^\W*(?:please\s+)?(?:treat|regard|consider|count|classify|define|redefine|interpret)\s+"
    r"(?!how\b)[^.?!;]{2,60}?\s+(?:as|to be)\s+(?!of\b|at\b|well\b|many\b)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|`[^`]*`|«[^»]*»|(?<!\w)'[^']{2,}'(?!\w)")


def without_quotes(text: str) -> str:
    return _QUOTED.sub(lambda match: '"' + "x" * (len(match.group()) - 2) + '"', text)


def secret(text: str) -> bool:
    return bool(_SECRET.search(without_quotes(text)))


def redefined(text: str) -> bool:
    """Whether the question sets other meanings: "from now on treat suppressed as open"."""
    return any(_REDEFINED.search(part.strip()) for part in re.split(r"(?<=[.!?;:,])\s+|\n+", without_quotes(text)))


def order(text: str) -> bool:
    """Whether the question asks for an act."""
    for sentence in re.split(r"(?<=[.!?;:])\s+|\n+", without_quotes(text)):
        said = sentence.strip(" ,-–\t")
        if (
            _ORDER.match(said)
            or _ORDER_BARE.match(said)
            or _ORDER_LATER.search(said)
            or _HANDED.match(said)
            or _CAUSED.match(said)
            or _TOLD.match(said)
            or _SAID_LATER.search(said)
        ):
            return True
    return False


def without_steering(text: str) -> tuple[str, bool]:
    """The question without what tries to steer the answer, and whether there was any."""
    masked = without_quotes(text)
    if not _STEER.search(masked):
        return text, False
    kept: list[str] = []
    position = 0
    for match in re.finditer(r"(?<=[.!?;\n])\s+|$", masked):
        sentence, plain = text[position : match.start()], masked[position : match.start()]
        position = match.end()
        if not _STEER.search(plain):
            kept.append(sentence)
            continue
        # Inside one sentence: cut the steering clause and keep a question that stands beside it.
        rest = re.split(r"\s*(?:,|;|:|\s-\s|\band\b|\bbut\b|\bthen\b|\bso\b)\s*", sentence)
        good = [part for part in rest if part and not _STEER.search(part)]
        asking = [part for part in good if re.search(r"\b(?:how many|which|list|show|what|count|number)\b", part, re.I)]
        kept += asking
    return " ".join(part.strip() for part in kept if part.strip()), True
