"""The KubeRay manifests, as kustomize builds them."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import ray
import yaml
from jsonschema import Draft202012Validator

from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.core.settings import load_settings
from tests.support.commands import CLUSTER, ROOT, in_comments, parsed

KUBERAY = CLUSTER / "kuberay"

FORMS = ("once", "nightly", "cronjob")

CHOICES = (
    {"s3-secret"},
    {"s3-irsa", "spot-gke"},
    {"s3-secret", "spot-eks", "model-cache"},
    {"s3-irsa", "spot-aks", "model-cache"},
)
"""Combinations of components, each component with and without others."""

GB = 10**9
SECONDS_TO_STOP = 10
"""A run commits finished work within so many seconds."""


@pytest.fixture(scope="session")
def schemas() -> dict[str, Any]:
    """KubeRay's schemas by kind. Skips tests that need them where they are missing."""
    folder = Path(os.environ.get("CRAFT_RAY_SCHEMAS", ROOT.parent / "shared" / "schemas"))
    if not folder.is_dir():
        pytest.skip(f"no KubeRay schemas at {folder}; set CRAFT_RAY_SCHEMAS")
    kinds = {"RayJob": "rayjob", "RayCronJob": "raycronjob"}
    files = {kind: folder / f"{name}.v1.schema.json" for kind, name in kinds.items()}
    return {kind: Draft202012Validator(json.loads(file.read_text())) for kind, file in files.items()}


@pytest.fixture(scope="session", params=CHOICES, ids=lambda choice: "+".join(sorted(choice)))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The objects of each form for one choice of components, built by the commands in the files' comments."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl, which builds the manifests")
    root = tmp_path_factory.mktemp("site")
    shutil.copytree(KUBERAY, root / "cluster" / "kuberay", ignore=shutil.ignore_patterns("cronjob/rayjob.yaml"))
    choose(root / "cluster" / "kuberay" / "once" / "kustomization.yaml", request.param)
    command = next(line for line in in_comments(KUBERAY / "cronjob" / "kustomization.yaml") if "kustomize" in line)
    subprocess.run(command, shell=True, cwd=root, check=True)
    return {form: kustomized(root / "cluster" / "kuberay" / form) for form in FORMS}


def choose(file: Path, components: set[str]) -> None:
    """Uncomment the lines of the given components and comment out all others."""
    lines = []
    for line in file.read_text().splitlines():
        if component := re.fullmatch(r"  (?:# )?- \.\./components/(\S+)", line):
            line = f"  {'' if component[1] in components else '# '}- ../components/{component[1]}"
        lines.append(line)
    file.write_text("\n".join(lines) + "\n")


def kustomized(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def one(objects: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    """The only object of a kind (and name)."""
    (found,) = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    return found


def spec_of(form: str, objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The spec of the RayJob, which each form has in another object."""
    if form == "once":
        return dict(one(objects, "RayJob")["spec"])
    if form == "nightly":
        return dict(one(objects, "RayCronJob")["spec"]["jobTemplate"])
    return dict(yaml.safe_load(one(objects, "ConfigMap", "craft-ray-rayjob")["data"]["rayjob.yaml"])["spec"])


@pytest.fixture
def objects(built: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The objects of one form; `test_the_three_forms_share_one_spec` says that the others are the same."""
    return built["once"]


@pytest.fixture
def spec(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return spec_of("once", objects)


def pods(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The pods' specs: of the head and of each group of workers."""
    cluster = spec["rayClusterSpec"]
    groups = {group["groupName"]: group["template"]["spec"] for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"]["template"]["spec"], **groups}


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return dict(only)


def settings_of(objects: list[dict[str, Any]], folder: Path) -> Any:
    file = folder / "settings.yaml"
    file.write_text(one(objects, "ConfigMap", "craft-ray-settings")["data"]["settings.yaml"])
    return load_settings(file)


def amount(quantity: str) -> float:
    """A quantity of Kubernetes in bytes or cores."""
    number, unit = re.fullmatch(r"([\d.]+)(m|Mi|Gi)?", quantity).groups()  # type: ignore[union-attr]
    return float(number) * {None: 1, "m": 0.001, "Mi": 1 << 20, "Gi": 1 << 30}[unit]


def test_objects_match_their_schemas(built: dict[str, list[dict[str, Any]]], schemas: dict[str, Any]):
    for objects in built.values():
        for each in objects:
            if each["apiVersion"] == "ray.io/v1":
                schemas[each["kind"]].validate(each)
            else:
                kubernetes_validate.validate(each, "1.34", strict=True)
    text = one(built["cronjob"], "ConfigMap", "craft-ray-rayjob")["data"]["rayjob.yaml"]
    schemas["RayJob"].validate(yaml.safe_load(text))


def test_the_three_forms_share_one_spec(built: dict[str, list[dict[str, Any]]]):
    once, nightly, cronjob = (spec_of(form, objects) for form, objects in built.items())
    assert nightly == cronjob == once | {"activeDeadlineSeconds": nightly["activeDeadlineSeconds"]}
    assert nightly["activeDeadlineSeconds"] < 24 * 3600 < once["activeDeadlineSeconds"]
    shared = ("ConfigMap", "NetworkPolicy", "PersistentVolumeClaim", "ServiceAccount")
    for each in built["once"]:
        if each["kind"] in shared:
            assert all(one(objects, each["kind"], each["metadata"]["name"]) == each for objects in built.values())


def test_pods_have_time_to_commit(spec: dict[str, Any], objects: list[dict[str, Any]]):
    stop = (KUBERAY / "once" / "stop.py").read_text()
    timeout = float(re.search(r"^TIMEOUT_S = ([\d.]+)", stop, re.MULTILINE)[1])  # type: ignore[index]
    wait = int(yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"])
    assert SECONDS_TO_STOP < wait < timeout
    assert all(pod["terminationGracePeriodSeconds"] >= SECONDS_TO_STOP for pod in pods(spec).values())
    head = pods(spec)["head"]
    assert head["terminationGracePeriodSeconds"] >= timeout + SECONDS_TO_STOP
    _, path = container(head)["lifecycle"]["preStop"]["exec"]["command"]
    assert mounted(head, objects, path) == stop


def mounted(pod: dict[str, Any], objects: list[dict[str, Any]], path: str) -> str:
    """The content of a file that is mounted from a ConfigMap."""
    folder, _, name = path.rpartition("/")
    (volume,) = [mount["name"] for mount in container(pod)["volumeMounts"] if mount["mountPath"] == folder]
    (source,) = [each["configMap"]["name"] for each in pod["volumes"] if each["name"] == volume]
    return str(one(objects, "ConfigMap", source)["data"][name])


def test_the_entrypoint_uses_the_mounted_settings(spec: dict[str, Any], objects: list[dict[str, Any]], tmp_path: Path):
    parameters = parsed(spec["entrypoint"])
    assert parameters is not None
    content = mounted(pods(spec)["head"], objects, str(parameters["settings"]))
    assert content == (KUBERAY / "once" / "settings.yaml").read_text()
    assert settings_of(objects, tmp_path).model == "embedded"


def test_folders_named_in_comments_exist():
    for file in KUBERAY.rglob("kustomization.yaml"):
        for line in in_comments(file):
            for folder in re.findall(r"cluster/kuberay/\S+(?<!\.yaml)(?=\s|$)", line):
                assert (ROOT / folder / "kustomization.yaml").is_file(), line


def test_pools_can_grow_enough(spec: dict[str, Any], objects: list[dict[str, Any]], tmp_path: Path):
    cluster = spec["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    nodes = []
    for group in cluster["workerGroupSpecs"]:
        assert (group["minReplicas"], group["replicas"]) == (0, 0)
        assert "restartPolicy" not in group["template"]["spec"]  # the autoscaler's version 2 takes Never alone
        limits = container(group["template"]["spec"])["resources"]["limits"]
        assert (group["groupName"] == "gpu") == ("nvidia.com/gpu" in limits)
        node = {"CPU": amount(limits["cpu"]), "GPU": amount(limits.get("nvidia.com/gpu", "0"))}
        nodes += [node] * group["maxReplicas"]
    wanted = settings_of(objects, tmp_path).wait_for
    assert 0 < wanted.gpus <= sum(node["GPU"] for node in nodes)
    assert 0 < wanted.cpus <= sum(node["CPU"] for node in nodes)


def test_requests_follow_from_measured_sizes(spec: dict[str, Any]):
    readme = (CLUSTER / "README.md").read_text(encoding="utf-8")
    worker = int(re.search(r"one process for each 0.61 cores, of (\d+) MB", readme)[1]) * 10**6  # type: ignore[index]
    driver = int(re.search(r"the driver \((\d+) MB", readme)[1]) * 10**6  # type: ignore[index]
    ledger = 26 * 40_000_000
    for name, pod in pods(spec).items():
        resources = container(pod)["resources"]
        assert resources["requests"] == resources["limits"]
        memory, cores = amount(resources["limits"]["memory"]), amount(resources["limits"]["cpu"])
        store, heap = 0.3 * memory, 0.7 * memory
        assert ledger + GB <= store
        if name == "head":
            assert driver + ledger + GB <= heap
        else:
            processes = int(cores / make_plan(load_settings(), [{"CPU": 64, "GPU": 1}]).write_cpus)
            assert processes * worker + GB <= heap


def test_only_workers_are_on_spot_machines(spec: dict[str, Any], request: pytest.FixtureRequest):
    chosen = request.node.callspec.params["built"]
    head, *workers = pods(spec).values()
    assert "nodeSelector" not in head
    for pod in workers:
        spot = [pair for pair in pod.get("nodeSelector", {}).items() if re.search("(?i)spot", "".join(pair))]
        assert bool(spot) == any(name.startswith("spot") for name in chosen)
        assert len(pod.get("tolerations", [])) == bool(spot) + (pod is workers[1])
    assert workers[1]["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_pods_have_credentials_and_files_have_none(
    spec: dict[str, Any], built: dict[str, list[dict[str, Any]]], request: pytest.FixtureRequest
):
    secret = "s3-secret" in request.node.callspec.params["built"]
    for pod in pods(spec).values():
        sources = [source["secretRef"]["name"] for source in container(pod).get("envFrom", [])]
        assert sources == (["craft-ray-s3"] if secret else [])
        assert pod.get("serviceAccountName") == (None if secret else "craft-ray")
    if not secret:
        account = one(built["once"], "ServiceAccount", "craft-ray")
        assert list(account["metadata"]["annotations"]) == ["eks.amazonaws.com/role-arn"]
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert not re.search(r"AKIA|aws_secret|AWS_SECRET|RAY_AUTH_TOKEN", json.dumps(built))


def test_model_cache(spec: dict[str, Any], objects: list[dict[str, Any]], request: pytest.FixtureRequest):
    chosen = "model-cache" in request.node.callspec.params["built"]
    head = pods(spec)["head"]
    homes = {each["value"] for each in container(head).get("env", []) if each["name"] == "HF_HOME"}
    claims = {each["persistentVolumeClaim"]["claimName"] for each in head["volumes"] if "persistentVolumeClaim" in each}
    made = {each["metadata"]["name"] for each in objects if each["kind"] == "PersistentVolumeClaim"}
    assert len(homes) == len(claims) == chosen
    assert claims == made
    assert homes <= {each["mountPath"] for each in container(head)["volumeMounts"]}


def test_pods_run_the_named_image_unprivileged(spec: dict[str, Any]):
    (image,) = yaml.safe_load((KUBERAY / "once" / "kustomization.yaml").read_text())["images"]
    assert spec["rayClusterSpec"]["rayVersion"] == ray.__version__
    for pod in pods(spec).values():
        assert container(pod)["image"] == f"{image['newName']}:{image['newTag']}"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container(pod)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"name": "tmp", "emptyDir": {}} in pod["volumes"]
        assert {"name": "home", "emptyDir": {}} in pod["volumes"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container(pod)["volumeMounts"]}
        assert (mounts["/tmp"], mounts["/home/craft"]) == ("tmp", "home")
    autoscaler = spec["rayClusterSpec"]["autoscalerOptions"]
    assert autoscaler["securityContext"]["readOnlyRootFilesystem"] is True


def test_connections_come_from_the_cluster_its_job_and_the_operator_alone(
    spec: dict[str, Any], objects: list[dict[str, Any]]
):
    policy = one(objects, "NetworkPolicy")["spec"]
    label = policy["podSelector"]["matchLabels"]
    cluster = spec["rayClusterSpec"]
    templates = [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    assert all(label.items() <= template["metadata"]["labels"].items() for template in templates)
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"][0] == {"from": [{"podSelector": {"matchLabels": label}}]}
    others = {port["port"]: rule["from"] for rule in policy["ingress"][1:] for port in rule["ports"]}
    named = {port["name"]: port["containerPort"] for port in container(pods(spec)["head"])["ports"]}
    assert set(others) == {named["dashboard"], named["metrics"]}
    assert len(others[named["dashboard"]]) == 2


def test_a_cron_job_waits_with_the_rights_it_needs(built: dict[str, list[dict[str, Any]]]):
    objects = built["cronjob"]
    spec = one(objects, "CronJob")["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    (start,), (wait,) = pod["initContainers"], pod["containers"]
    (file,) = [argument.partition("=")[2] for argument in start["args"] if argument.startswith("--filename=")]
    job = yaml.safe_load(mounted({"containers": [start], "volumes": pod["volumes"]}, objects, file))
    name = job["metadata"]["name"]
    assert wait["args"][:2] == ["wait", f"rayjob/{name}"]
    assert pod["serviceAccountName"] == one(objects, "RoleBinding")["subjects"][0]["name"]
    rules = one(objects, "Role")["rules"]
    assert {(*rule["apiGroups"], *rule["resources"]) for rule in rules} == {("ray.io", "rayjobs")}
    named = {verb: rule.get("resourceNames") for rule in rules for verb in rule["verbs"]}
    assert named == {"create": None, **{verb: [name] for verb in ("get", "list", "watch", "delete")}}
    assert one(objects, "RoleBinding")["roleRef"]["name"] == one(objects, "Role")["metadata"]["name"]
    for command in (start, wait):  # a server that is not there is all that kubectl has to say against them
        arguments = [argument.replace(file, str(KUBERAY / "once" / "rayjob.yaml")) for argument in command["args"]]
        done = subprocess.run(
            ["kubectl", "--server=http://127.0.0.1:1", *arguments],
            env=os.environ | {"KUBECONFIG": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr.splitlines()[-1].endswith(("connection refused", "right host or port?"))


def test_schedules_are_equal(built: dict[str, list[dict[str, Any]]]):
    nightly, cron = (
        one(built[form], kind)["spec"] for form, kind in (("nightly", "RayCronJob"), ("cronjob", "CronJob"))
    )
    assert len(nightly["schedule"].split()) == 5
    assert [nightly[key] for key in ("schedule", "timeZone")] == [cron[key] for key in ("schedule", "timeZone")]
