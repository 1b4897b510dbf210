"""How a bucket is reached: the settings, and the words of each library that reads there."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, SecretStr

from headrace.errors import WarehouseError
from headrace.extras import how_to_install
from headrace.targets.base import TargetSettings


@dataclass(frozen=True)
class S3Access:
    """How a bucket is reached.

    Attributes:
        bucket: its name.
        prefix: of all keys, without slashes at its ends; may be empty.
        endpoint: URL of a server other than AWS; None for AWS.
        region: of the bucket.
        path_style: whether the bucket is in the path of URLs rather than in the host name.
        key_id: of the access key; None for the credentials that AWS's tools find.
        secret: of the access key.
        token: of a session.
        setting: where in the settings this is, for messages: ``targets.lake``.
    """

    bucket: str
    prefix: str
    endpoint: str | None
    region: str
    path_style: bool
    key_id: str | None
    secret: str | None
    token: str | None
    setting: str

    def credentials(self) -> tuple[str, str, str | None]:
        """Key id, secret and token, as they are now: those of AWS's tools may expire.

        Raises:
            WarehouseError: there are none.
        """
        if self.key_id and self.secret:
            return self.key_id, self.secret, self.token
        found = botocore().session.Session().get_credentials()
        if found is None:
            raise WarehouseError(
                f"no credentials for s3://{self.bucket}: set {self.setting}.access_key_id and "
                "secret_access_key, or those of AWS's tools (AWS_ACCESS_KEY_ID, AWS_PROFILE)"
            )
        frozen = found.get_frozen_credentials()
        return frozen.access_key, frozen.secret_key, frozen.token

    def duckdb_secret(self, name: str | None = None) -> dict[str, str]:
        """DuckDB's secret with these credentials, for this bucket alone, by its parameters.

        Args:
            name: what it is called; by default a name that no other prefix has.

        Raises:
            WarehouseError: there are no credentials.
        """
        key_id, secret, token = self.credentials()
        digest = hashlib.sha256(f"{self.bucket}/{self.prefix}".encode()).hexdigest()[:16]
        scheme, _, host = (self.endpoint or "").rpartition("://")
        return {
            "name": name or f"lake_{digest}",
            "type": "s3",
            "key_id": key_id,
            "secret": secret,
            "region": self.region,
            "url_style": "path" if self.path_style else "vhost",
            "scope": f"s3://{self.bucket}",
            **({"session_token": token} if token else {}),
            **({"endpoint": host.rstrip("/")} if host else {}),
            **({"use_ssl": "false"} if scheme == "http" else {}),
        }

    def deltalake_options(self) -> dict[str, str]:
        """deltalake's ``storage_options``.

        Raises:
            WarehouseError: there are no credentials.
        """
        key_id, secret, token = self.credentials()
        options = {
            "aws_access_key_id": key_id,
            "aws_secret_access_key": secret,
            "region": self.region,
        }
        if token:
            options["aws_session_token"] = token
        if self.endpoint:
            options["endpoint_url"] = self.endpoint
            options["aws_allow_http"] = str(self.endpoint.startswith("http://")).lower()
        if not self.path_style:
            options["aws_virtual_hosted_style_request"] = "true"
        return options

    def dlt_credentials(self) -> Any:
        """dlt's.

        Raises:
            WarehouseError: there are none.
        """
        from dlt.common.configuration.specs import AwsCredentials

        key_id, secret, token = self.credentials()
        return AwsCredentials(
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            aws_session_token=token,
            region_name=self.region,
            endpoint_url=self.endpoint,
        )


class S3Settings(TargetSettings):
    """Settings of a target whose files may be in a bucket."""

    endpoint: str | None = Field(
        None, description="URL of a server that speaks S3, such as `http://127.0.0.1:8333`; by "
        "default AWS",
    )  # fmt: skip
    region: str = Field("us-east-1", description="of the bucket")
    url_style: Literal["auto", "path", "vhost"] = Field(
        "auto", description="whether the bucket is in the path of URLs or in the host name; "
        "`auto` is `path` with an `endpoint`",
    )  # fmt: skip
    access_key_id: SecretStr | None = Field(
        None, description="by default what AWS's tools find: variables, profile, role"
    )
    secret_access_key: SecretStr | None = Field(None, description="of the access key")
    session_token: SecretStr | None = Field(None, description="of a temporary access key")

    def access(self, url: str, name: str) -> S3Access | None:
        """How the bucket of a URL is reached; None of a local folder.

        Args:
            url: a path, or ``s3://bucket/prefix``.
            name: the target's.
        """
        if not url.startswith("s3://"):
            return None
        bucket, _, prefix = url[5:].strip("/").partition("/")

        def secret(value: SecretStr | None) -> str | None:
            return value.get_secret_value() if value else None

        return S3Access(
            bucket=bucket,
            prefix=prefix.strip("/"),
            endpoint=self.endpoint,
            region=self.region,
            path_style=self.url_style == "path"
            or (self.url_style == "auto" and self.endpoint is not None),
            key_id=secret(self.access_key_id),
            secret=secret(self.secret_access_key),
            token=secret(self.session_token),
            setting=f"targets.{name}",
        )


def folder_or_bucket(value: str | None) -> str | None:
    """A setting that names a local folder or a bucket.

    Raises:
        ValueError: it names something else.
    """
    if value and "://" in value and not value.startswith("s3://"):
        raise ValueError("name a local folder, or s3://bucket/prefix")
    if value and value.startswith("s3://") and not value[5:].strip("/"):
        raise ValueError("the bucket is missing: s3://bucket/prefix")
    return value


def botocore() -> Any:
    """AWS's library.

    Raises:
        WarehouseError: it is not installed.
    """
    try:
        import botocore.config  # type: ignore[import-untyped]
        import botocore.session  # type: ignore[import-untyped]
    except ImportError as error:
        raise WarehouseError(f"a lake needs more packages: run `{how_to_install('lake')}`") from (
            error
        )
    return botocore
