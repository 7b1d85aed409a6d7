"""Clients of an S3-compatible object store. botocore finds the credentials; nothing here stores them."""

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.addresses import Entry


@dataclass(slots=True)
class S3:
    """Makes clients in the process that uses them, since s3fs does not survive a fork."""

    settings: S3Settings
    _clients: dict[bool, Any] = field(default_factory=dict, repr=False, compare=False)
    _session: Any = field(default=None, repr=False, compare=False)

    def client(self, bucket: str) -> Any:
        """Return the s3fs filesystem for a bucket, anonymous or with credentials, which it renews by itself."""
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
            made.retries = 3  # per call; `retry.with_retries` does the rest
        return self._clients[anonymous]

    def list_objects(
        self, address: str, delimiter: str, request: Callable[[Callable[[], Any]], Any]
    ) -> Iterator[Entry]:
        """List the objects whose addresses begin with one, in pages of 1,000.

        delimiter: "/" lists one level, with folders as entries; "" lists all objects
        request:   runs the request for a page, with retries
        """
        bucket, _, prefix = address.partition("://")[2].partition("/")
        client = self.client(bucket)
        wanted = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter}
        while True:
            page = request(partial(client.call_s3, "list_objects_v2", **wanted))
            for folder in page.get("CommonPrefixes", ()):
                yield Entry(f"s3://{bucket}/{folder['Prefix'][:-1]}", is_folder=True)
            for found in page.get("Contents", ()):
                if found["Key"].endswith("/"):  # the marker of an empty folder, as consoles make it
                    continue
                yield Entry(f"s3://{bucket}/{found['Key']}", int(found["Size"]), found.get("ETag", "").strip('"'))
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    def session(self) -> Any:
        """Return the botocore session of the profile; one, since it renews the credentials that it has found."""
        if self._session is None:
            import botocore.session

            self._session = botocore.session.Session(profile=self.settings.profile)
        return self._session

    def endpoint(self) -> str | None:
        """Return the server to use instead of AWS, from the settings, the environment or the profile.

        Raises SettingsError if it is no web address.
        """
        variables = (os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
        named = self.settings.endpoint_url or next((value for value in variables if value), None)
        url: str | None = named or self.session().get_scoped_config().get("endpoint_url")
        if url and "@" in url:
            raise SettingsError("the S3 endpoint holds credentials, which belong in the AWS environment")
        if url and not url.startswith(("http://", "https://")):
            raise SettingsError(f"the S3 endpoint {url} must begin with http:// or https://")
        return url

    def check_reachable(self) -> None:
        """Raise OSError if nothing listens at the endpoint, which retries would find out after half a minute."""
        if given := self.endpoint():
            endpoint = urlsplit(given)
            port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
            socket.create_connection((endpoint.hostname, port), timeout=5).close()

    def delta_options(self, bucket: str) -> dict[str, str]:
        """Return the options of delta-rs, which has its own client and reads no profile files.

        A profile's credentials are in them, and are renewed before they expire: a table handle that has older options
        must be opened again.
        """
        session = self.session()
        options = {"AWS_REGION": self.settings.region or session.get_config_variable("region") or "us-east-1"}
        # delta-rs retries only briefly: before our own retries, a commit is read back to see whether it went through.
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
