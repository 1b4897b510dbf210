"""What goes wrong in answering one request. None of them leaves the server.

RequestError
├── InvalidError     400: a parameter makes no sense
├── ForbiddenError   403: it may not be shown
├── NotFoundError    404: there is no such thing
└── UnavailableError 503: the run store or the published file cannot be read now
    └── StartingError    503: nothing has been read yet
"""


class RequestError(Exception):
    """Base: an HTTP status, a code for programs, a sentence, and what to do about it."""

    status = 400
    code = "invalid_request"

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        """Say what is wrong (``detail``), and what to do about it (``hint``)."""
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


class InvalidError(RequestError):
    """A parameter makes no sense."""

    code = "invalid_parameter"


class ForbiddenError(RequestError):
    """It may not be shown by this server."""

    status = 403
    code = "forbidden"


class NotFoundError(RequestError):
    """There is no such thing."""

    status = 404
    code = "not_found"


class UnavailableError(RequestError):
    """The run store or the published file cannot be read now."""

    status = 503
    code = "unavailable"


class StartingError(UnavailableError):
    """The server has just started, and reads the catalog."""

    def __init__(self) -> None:
        """Nothing is wrong: it takes a while."""
        super().__init__(
            "the catalog is being read: the server has just started",
            hint="try again in a few seconds",
        )
