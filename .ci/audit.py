"""Exit with 1 if an installed package has a known vulnerability, and with 3 if no advisory service is reachable."""

import json
import subprocess
import sys


def main() -> int:
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
        print("no advisory service is reachable")
        return 3
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
