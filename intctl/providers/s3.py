"""Amazon S3."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, HttpProbe, SigV4
from intctl.providers.base import Field, Provider, secret_of, text_of

#: S3's error codes in its XML, and the cause code of each.
_SAID = (
    (403, "InvalidAccessKeyId", "http.auth.rejected", "there is no such access key"),
    (403, "SignatureDoesNotMatch", "http.auth.rejected", "the secret access key is wrong"),
    (403, "RequestTimeTooSkewed", "self.clock", "the clocks of S3 and this machine differ by more than 15 minutes"),
    (403, "AccessDenied", "http.scope_missing", "the key does not allow listing the bucket (s3:ListBucket)"),
    (404, "NoSuchBucket", "not.found", "there is no such bucket"),
    (400, "AuthorizationHeaderMalformed", "not.found", "the bucket is in another region: check region"),
    (301, "PermanentRedirect", "not.found", "the bucket is in another region: check region"),
)


class S3(Provider):
    """Amazon S3 and compatible services: one key of the bucket is listed (ListObjectsV2), signed
    with Signature Version 4, the bucket in the path (docs.aws.amazon.com: "Signature Calculations
    for the Authorization Header"; error codes as its "Error responses" lists them, from memory).

    AccessDenied means a valid key (general knowledge): S3 checks the signature first. For MinIO and
    others set base_url. Temporary credentials are not supported, because they expire.
    """

    name = "s3"
    title = "Amazon S3"
    type = "storage"
    proof = "GET of at most one key of the bucket, signed"
    scopes = "s3:ListBucket of the bucket; without it degraded"
    cost = "1 LIST request, which AWS bills (some 0.005 USD for 1000: general knowledge)"
    limits = "far beyond one check"
    docs = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html"
    confidence = "vendor"
    fields = (
        Field("bucket", "Bucket", required=True, pattern="[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", example="my-bucket"),
        Field(
            "region",
            "Region of the bucket",
            required=True,
            destination=True,
            pattern="[a-z0-9-]{2,40}",
            example="eu-central-1",
        ),
        Field("access_key_id", "Access key id", required=True, example="AKIAIOSFODNN7EXAMPLE"),
        Field("secret_access_key", "Secret access key", secret=True, required=True),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        region = text_of(config, "region")
        url = f"https://s3.{region}.amazonaws.com/{text_of(config, 'bucket')}?list-type=2&max-keys=1"
        return HttpProbe(
            url,
            SigV4(text_of(config, "access_key_id"), secret_of(config, "secret_access_key"), region, "s3"),
            json=False,
            expect_text="<ListBucketResult",
            answers=tuple(
                Answer(status, code, contains=f"<Code>{word}</Code>", detail=detail)
                for status, word, code, detail in _SAID
            ),
        )
