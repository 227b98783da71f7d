"""What a failed AWS call means for us. Pure but for the types of botocore's exceptions.

A write whose answer cannot be read may have happened: ``OutcomeUnknown``, and the caller reads before anything else.
"""

from __future__ import annotations

from bot.domain.errors import CloudRefused, ConnectorError, OutcomeUnknown, RetryLater

THROTTLED = frozenset(
    {
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
        "TooManyRequestsException", "RequestLimitExceeded", "SlowDown", "BandwidthLimitExceeded",
        "LimitExceededException", "ProvisionedThroughputExceededException", "PriorRequestNotComplete",
        "TransactionInProgressException", "EC2ThrottledException",
    }
)  # fmt: skip
LOGIN = frozenset(
    {
        "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure",
        "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestExpired", "InvalidToken", "InvalidSignatureException",
        "IncompleteSignature", "MissingAuthenticationToken",
    }
)  # fmt: skip
DENIED = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess",
        "AuthorizationErrorException", "AuthorizationError", "403",
    }
)  # fmt: skip
_UNCLEAR = frozenset(
    {
        "InternalError", "InternalFailure", "InternalServerError", "InternalServerErrorException", "InternalException",
        "InternalServiceException", "ServiceUnavailable", "ServiceUnavailableException", "ServiceException",
        "Unavailable", "RequestTimeout", "RequestTimeoutException",
    }
)  # fmt: skip
# LimitExceededException is a quota in most services (IAM: keys per user) and a rate in Security Hub only.
_QUOTA_ELSEWHERE = "LimitExceededException"


def explain(error: Exception, *, service: str, operation: str, write: bool) -> ConnectorError:
    """The error of ours that tells the caller what to do next."""
    from botocore import exceptions as boto

    call = f"AWS {service}.{operation}"
    if isinstance(error, boto.ClientError):
        return _answered(error, call, service, write)
    if isinstance(error, (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)):
        return CloudRefused(
            f"{call}: no AWS credentials were found.",
            code="NoCredentials",
            mend="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or run where a role is attached.",
        )
    if isinstance(error, (boto.ParamValidationError, boto.UnknownParameterError, boto.MissingParametersError)):
        return CloudRefused(f"{call}: the parameters are wrong: {error}", code="ParamValidation")
    if isinstance(error, (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError)):
        # No connection was made, so nothing was sent: a write is safe to try again.
        return RetryLater(f"{call}: AWS cannot be reached: {error}", mend="Check network and aws.endpoint_url.")
    if isinstance(
        error, (boto.UnknownServiceError, boto.UnknownRegionError, boto.NoRegionError, boto.InvalidRegionError)
    ):
        return CloudRefused(f"{call}: {error}", code="BadCall", mend="Check service and region.")
    if write:
        return OutcomeUnknown(f"{call}: no readable answer ({type(error).__name__}); it may have happened.")
    return RetryLater(f"{call}: no readable answer ({type(error).__name__}: {error})")


def _answered(error: Exception, call: str, service: str, write: bool) -> ConnectorError:
    answer = getattr(error, "response", {}) or {}
    inner = answer.get("Error") or {}
    code, said = str(inner.get("Code") or ""), str(inner.get("Message") or "")[:1000]
    http = int((answer.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0)
    if (code in THROTTLED and (code != _QUOTA_ELSEWHERE or service == "securityhub")) or http == 429:
        return RetryLater(f"{call}: AWS asks to go slower ({code}).", after=_retry_after(answer))
    if code in LOGIN:
        return CloudRefused(
            f"{call}: AWS does not accept our credentials ({code}: {said})",
            code=code,
            mend="Renew the credentials, or check the clock of this machine.",
        )
    if code in DENIED:
        return CloudRefused(f"{call}: {said or code}", code=code, mend=f"Grant the role what {call[4:]} needs.")
    if code in _UNCLEAR or http >= 500 or not code or code.isdigit():
        # A number in place of a code is an error page of something that is not (quite) AWS.
        if write:
            return OutcomeUnknown(f"{call}: AWS answered {code or http} without a clear result; it may have happened.")
        if code.isdigit() and 400 <= int(code) < 500:
            return CloudRefused(f"{call}: {code} {said}", code=code)
        return RetryLater(f"{call}: AWS answered {code or http}: {said[:200]}")
    return CloudRefused(f"{call}: {code}: {said}", code=code)


def _retry_after(answer: object) -> float | None:
    headers = (answer.get("ResponseMetadata") or {}).get("HTTPHeaders") if isinstance(answer, dict) else None
    try:
        return max(float((headers or {})["retry-after"]), 0.0)
    except (KeyError, ValueError, TypeError):
        return None
