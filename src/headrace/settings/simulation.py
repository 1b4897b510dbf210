"""The settings of `headrace simulate`: the bucket, how warehouses reach it, and prices."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

_NAME = r"^[a-z][a-z0-9_]*$"


class PriceSettings(BaseModel):
    """What the explanations count with: list prices of us-east-1, in dollars; set your own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    s3_writes: float = Field(0.005, ge=0, description="1,000 requests to S3 that write or list")
    s3_reads: float = Field(0.0004, ge=0, description="1,000 requests to S3 that read")
    s3_gb_month: float = Field(0.023, ge=0, description="a GB in S3 for a month")
    spark_hour: float = Field(
        0.44, ge=0, description="an hour of one unit of a managed Spark (Glue: a DPU)"
    )
    spark_units: int = Field(2, ge=1, description="units that such a job takes at least")
    snowflake_credit: float = Field(3.0, ge=0, description="a credit of Snowflake")
    snowflake_credits_hour: float = Field(
        1.0, gt=0, description="credits that the warehouse takes in an hour: 1 for X-Small"
    )
    snowpipe_credits_gb: float = Field(
        0.0037, ge=0, description="credits for a GB that Snowpipe loads"
    )
    redshift_rpu_hour: float = Field(0.375, ge=0, description="an RPU-hour of Redshift Serverless")
    redshift_rpus: int = Field(8, ge=1, description="RPUs of the workgroup")


class SimulateSettings(BaseModel):
    """The stages of a cloud stack (`headrace simulate`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    local: bool = Field(
        True, description="the stand-in for S3 on this machine; `false`: the bucket, by the keys "
        "below",
    )  # fmt: skip
    url: str = Field(
        "s3://headrace-local", description="the bucket, and a prefix: `s3://bucket/prefix`"
    )
    endpoint: str | None = Field(None, description="URL of a server that speaks S3; by default AWS")
    region: str = Field("us-east-1", description="of the bucket")
    access_key_id: SecretStr | None = Field(
        None, description="by default what AWS's tools find: variables, profile, role"
    )
    secret_access_key: SecretStr | None = Field(None, description="of the access key")
    session_token: SecretStr | None = Field(None, description="of a temporary access key")
    snowflake: str = Field(
        "snowflake", pattern=_NAME, description="the target that COPY INTO loads"
    )
    storage_integration: str | None = Field(
        None, pattern=r"^[A-Za-z_][A-Za-z0-9_$]*$",
        description="the integration of the account that may read the bucket; without one, the "
        "stage gets the access key",
    )  # fmt: skip
    on_error: Literal["abort_statement", "continue", "skip_file"] = Field(
        "abort_statement", description="what Snowflake's COPY does with a bad row"
    )
    redshift: str = Field("redshift", pattern=_NAME, description="the target that COPY loads")
    iam_role: str | None = Field(
        None, description="the role with which Redshift reads the bucket; the stand-in has one"
    )
    poll_seconds: float = Field(
        5, ge=0.1, description="how often `headrace simulate watch` looks for new files"
    )
    prices: PriceSettings = Field(
        default_factory=PriceSettings, description="what the explanations count with"
    )

    @field_validator("url")
    @classmethod
    def _names_a_bucket(cls, value: str) -> str:
        if not value.startswith("s3://") or not value[5:].strip("/"):
            raise ValueError("write a bucket, like s3://bucket/prefix")
        return value.rstrip("/")
