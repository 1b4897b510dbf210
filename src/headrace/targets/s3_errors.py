"""What goes wrong with S3, as one line that says what to do.

The same fault comes as an exception of botocore, or in the words of DuckDB, of deltalake's Rust or
of Arrow, often wrapped by dlt or dbt. Here alone it is told by either.
"""

import re
from dataclasses import dataclass

from headrace.exceptions import causes, first_line
from headrace.secrets import hide
from headrace.system_errors import system_fault


def code(error: BaseException) -> str:
    """S3's code of an error, such as ``NoSuchKey``; empty where it is none of S3's."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


@dataclass(frozen=True)
class _Problem:
    words: str
    advice: str


_KEPT = "run the same command again; what was published is kept"
_PROBLEMS = (
    _Problem(
        r"NoSuchBucket|specified bucket does not exist",
        "there is no bucket {bucket}: create it, or correct {setting}.url",
    ),
    _Problem(
        r"RequestTimeTooSkewed|RequestExpired|difference between the request time",
        "this machine's clock is off against the server's: set it (NTP), then run again",
    ),
    _Problem(
        r"ExpiredToken|TokenRefreshRequired|token.{0,20}expired",
        "the session's token has expired: get a new one, then run the same command again",
    ),
    _Problem(
        r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidClientTokenId|InvalidToken|AuthFailure|"
        r"Access Key Id.{0,40}does not exist|AuthorizationHeaderMalformed",
        "the server refuses the credentials: correct {setting}.access_key_id, secret_access_key "
        "and region, or those of AWS's tools",
    ),
    _Problem(
        r"StorageFull|InsufficientStorage|QuotaExceeded|\b507\b|No space left",
        f"the store is full: free some space or raise the quota, then {_KEPT}",
    ),
    _Problem(
        r"AccessDenied|Access Denied|AllAccessDisabled|MethodNotAllowed|\b403\b|Forbidden",
        "access is denied: let these credentials list, read, write and delete below {url}",
    ),
    _Problem(
        r"NotImplemented|\b501\b",
        "the server does not know a request that is needed (conditional writes, above all): use "
        "one that does",
    ),
    _Problem(
        r"SlowDown|ServiceUnavailable|Service Unavailable|\b503\b|Reduce your request rate|"
        r"TooManyRequests|\b429\b",
        f"the server is overloaded (503) and was asked several times: later, {_KEPT}",
    ),
    _Problem(
        r"InternalError|Internal Server Error|HTTP 50[024]",
        f"the server failed several times: look at it, and later {_KEPT}",
    ),
    _Problem(
        r"Read timeout|ReadTimeout|timed out|Timeout",
        f"the server answers too slowly: look at it and at the network, then {_KEPT}",
    ),
    _Problem(
        r"EndpointConnectionError|Connection refused|could not resolve|ConnectionError|"
        r"error sending request|Connection was closed|ConnectionClosed|Failed to connect|"
        r"Could not (establish|connect)",
        "no server answers at {endpoint}: start it, or correct {setting}.endpoint",
    ),
    _Problem(
        r"PermanentRedirect|IllegalLocationConstraint|HTTP 301|wrong region",
        "the bucket is in another region: correct {setting}.region",
    ),
)  # fmt: skip


def problem(
    error: BaseException, *, bucket: str, url: str, setting: str, endpoint: str | None
) -> str:
    """What is wrong, and what to do; no key of the credentials is in it.

    Args:
        error: what was raised; what it was raised from is looked at, too.
        bucket: its name.
        url: of the lake.
        setting: the target in the settings: ``targets.lake``.
        endpoint: of the server; None for AWS.
    """
    texts = [f"{type(cause).__name__} {code(cause)} {cause}" for cause in causes(error)]
    for known in _PROBLEMS:
        if any(re.search(known.words, text, re.IGNORECASE) for text in texts):
            return known.advice.format(
                bucket=bucket, setting=setting, url=url, endpoint=endpoint or "AWS"
            )
    fault = system_fault(error)
    return fault.message if fault else hide(first_line(error))
