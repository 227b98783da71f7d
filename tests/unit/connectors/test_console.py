"""Links into the cloud's console: only for what is a resource, and nothing else gets into the address."""

import pytest

from connectors.console import console_url


@pytest.mark.parametrize(
    ("uid", "url"),
    [
        (
            "arn:aws:s3:::acme-invoices",
            "https://console.aws.amazon.com/go/view?arn=arn%3Aaws%3As3%3A%3A%3Aacme-invoices",
        ),
        (
            "arn:aws-cn:ec2:cn-north-1:123456789012:instance/i-1",
            "https://console.amazonaws.cn/go/view?arn=arn%3Aaws-cn%3Aec2%3Acn-north-1%3A123456789012%3Ainstance%2Fi-1",
        ),
        ("arn:aws:iam::123456789012:password-policy", ""),
        ("arn:aws:securityhub:us-east-1:123456789012:hub/unknown", ""),
        ("https://sqs.us-east-1.amazonaws.com/123456789012/queue", ""),
        ("arn:aws:s3:::a b", ""),
        ("arn:evil:s3:::x", ""),
        ("", ""),
    ],
)
def test_console_url(uid: str, url: str) -> None:
    assert console_url(uid) == url


def test_foreign_text_cannot_leave_the_query() -> None:
    url = console_url('arn:aws:s3:::x"><script>&arn=y|<!channel>')
    assert url.startswith("https://console.aws.amazon.com/go/view?arn=")
    assert not set(url.partition("arn=")[2]) & set('<>"&|!')
