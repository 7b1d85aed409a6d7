"""Exit with 1 if an installed package has a known vulnerability, and with 3 if no advisory service is reachable.

`python .ci/audit.py --list` writes the list in .github/dependencies.txt.
"""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata


def installed(package: str = "craft-ray") -> dict[str, str]:
    """Versions of all direct and indirect dependencies by name, with the extra `torch` of the package itself."""
    versions: dict[str, str] = {}
    pending = [package]
    while pending:
        for requirement in metadata.requires(pending.pop()) or []:
            name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()
            extra = re.search(r"extra == .(\w+)", requirement)
            if name in versions or (extra and (extra[1] != "torch" or name not in ("torch", "transformers"))):
                continue
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue  # for another platform
            pending.append(name)
    return dict(sorted(versions.items()))


def listing() -> str:
    """One package a line, with today's date."""
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return "".join(f"{name}=={version}  # {day}\n" for name, version in installed().items())


def main() -> int:
    if sys.argv[1:] == ["--list"]:
        print(listing(), end="")
        return 0
    audit = [sys.executable, "-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(audit, capture_output=True, text=True, check=False)
    packages = json.loads(done.stdout or '{"dependencies": []}')["dependencies"]
    vulnerable = [package for package in packages if package.get("vulns")]
    for package in vulnerable:
        ids = ", ".join(found["id"] for found in package["vulns"])
        print(f"{package['name']} {package['version']}: {ids}")
    looked_up = [package for package in packages if "vulns" in package]
    print(f"pip-audit: {len(looked_up)} of {len(packages)} packages looked up, {len(vulnerable)} vulnerable")
    if not looked_up:
        print("no advisory service is reachable; installed packages:")
        print(listing(), end="")
        return 3
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
