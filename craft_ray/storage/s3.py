"""An S3-compatible object store: its client, its endpoint, and how delta-rs reaches it.

Credentials are taken from the environment, a profile or a role by botocore, and are kept nowhere.
"""

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from craft_ray.core.settings import S3Settings
from craft_ray.storage.addresses import Entry


@dataclass(slots=True)
class S3:
    """Reaches object storage as some settings say. Its clients are made where they are used: s3fs is not fork-safe."""

    settings: S3Settings
    _clients: dict[bool, Any] = field(default_factory=dict, repr=False, compare=False)

    def client(self, bucket: str) -> Any:
        """The s3fs filesystem that reaches a bucket, with credentials or without."""
        anonymous = self.settings.is_anonymous(bucket)
        if anonymous not in self._clients:
            import s3fs

            made = self._clients[anonymous] = s3fs.S3FileSystem(
                anon=anonymous,
                profile=self.settings.profile,
                requester_pays=self.settings.requester_pays,
                endpoint_url=self.endpoint(),
                client_kwargs={"region_name": self.settings.region} if self.settings.region else {},
                config_kwargs={"connect_timeout": 5, "retries": {"max_attempts": 2, "mode": "standard"}},
                skip_instance_cache=True,
                use_listings_cache=False,
            )
            made.retries = 3  # of each call; `retry.with_retries` does the rest
        return self._clients[anonymous]

    def listed(self, address: str, delimiter: str, request: Callable[[Callable[[], Any]], Any]) -> Iterator[Entry]:
        """The objects whose addresses begin so, a page of 1,000 at a time; the tag of an object is its ETag.

        delimiter: `/` stops at folders, which are entries then; else all objects come that are below
        request:   sends the request for a page, with whatever retries it needs
        """
        bucket, _, prefix = address.partition("://")[2].partition("/")
        client = self.client(bucket)
        wanted = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter}
        while True:
            page = request(partial(client.call_s3, "list_objects_v2", **wanted))
            for folder in page.get("CommonPrefixes", ()):
                yield Entry(f"s3://{bucket}/{folder['Prefix'][:-1]}", is_folder=True)
            for found in page.get("Contents", ()):
                if found["Key"].endswith("/"):  # the mark of a folder, as consoles and copying programs make it
                    continue
                yield Entry(f"s3://{bucket}/{found['Key']}", int(found["Size"]), found.get("ETag", "").strip('"'))
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    def session(self) -> Any:
        """A botocore session of the profile that the settings name."""
        import botocore.session

        return botocore.session.Session(profile=self.settings.profile)

    def endpoint(self) -> str | None:
        """The server to use in place of AWS: by settings, the environment or the profile."""
        variables = (os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
        named = self.settings.endpoint_url or next((value for value in variables if value), None)
        return named or self.session().get_scoped_config().get("endpoint_url")

    def check_reachable(self) -> None:
        """Fail at once where nothing listens at the endpoint, which patient retries would find out in half a minute.

        Raises OSError.
        """
        if given := self.endpoint():
            endpoint = urlsplit(given)
            port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
            socket.create_connection((endpoint.hostname, port), timeout=5).close()

    def delta_options(self, bucket: str) -> dict[str, str]:
        """Options for delta-rs, which has a client of its own.

        A profile's credentials are resolved here, since delta-rs reads no profile files.
        """
        session = self.session()
        options = {"AWS_REGION": self.settings.region or session.get_config_variable("region") or "us-east-1"}
        # Its own retries are short: what is patient here reads back first whether a commit went through.
        options |= {"retry_timeout": "15s", "max_retries": "4", "connect_timeout": "5s", "timeout": "60s"}
        if endpoint := self.endpoint():
            options |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": str(endpoint.startswith("http://")).lower()}
        if self.settings.is_anonymous(bucket):
            options["AWS_SKIP_SIGNATURE"] = "true"
        elif session.get_config_variable("profile") and (credentials := session.get_credentials()):
            frozen = credentials.get_frozen_credentials()
            options |= {"AWS_ACCESS_KEY_ID": frozen.access_key, "AWS_SECRET_ACCESS_KEY": frozen.secret_key}
            if frozen.token:
                options["AWS_SESSION_TOKEN"] = frozen.token
        return options
