"""Deep links into a cloud's own console.

AWS resolves an ARN to the page of the resource at ``/go/view?arn=`` (seen in many public tools; for partitions other
than ``aws`` only the hosts are known, unverified there).
"""

from __future__ import annotations

import re
from urllib.parse import quote

_HOSTS = {
    "aws": "console.aws.amazon.com",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-cn": "console.amazonaws.cn",
}
_ARN = re.compile(r"arn:(aws|aws-us-gov|aws-cn):[a-z0-9-]+:[a-z0-9-]*:(?:[0-9]{12})?:[^\s]{1,1024}")
# What scanners write where there is no resource of its own: no page to open.
_INVENTED = re.compile(r"[:/](unknown|account|trail|recorder|password-policy)$")


def console_url(uid: str) -> str:
    """The console's page of a resource, "" when it cannot be told."""
    found = _ARN.fullmatch(uid)
    if found is None or _INVENTED.search(uid):
        return ""
    return f"https://{_HOSTS[found[1]]}/go/view?arn={quote(uid, safe='')}"
