"""The Marquez profile of docker-compose.yml, as far as it can be told without Docker."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

COMPOSE = Path(__file__).parents[3] / "docker-compose.yml"


@pytest.fixture(scope="module")
def services() -> Any:
    found = YAML(typ="safe").load(COMPOSE)["services"]
    return {name: found[name] for name in found if name.startswith("marquez")}


def test_marquez_is_off_unless_asked_for_and_each_part_says_when_it_is_well(services: Any) -> None:
    assert set(services) == {"marquez", "marquez-web", "marquez-db"}
    for service in services.values():
        assert service["profiles"] == ["marquez"]
        assert service["healthcheck"]["test"]
    for name, needs in (("marquez", "marquez-db"), ("marquez-web", "marquez")):
        assert services[name]["depends_on"][needs] == {"condition": "service_healthy"}


def test_marquez_is_open_to_this_machine_alone(services: Any) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert sorted(ports) == ["127.0.0.1:3000:3000", "127.0.0.1:5000:5000"]


def test_marquez_keeps_its_data_and_has_no_password_in_the_file(services: Any) -> None:
    assert services["marquez-db"]["volumes"] == ["marquez:/var/lib/postgresql/data"]
    for name in ("marquez", "marquez-db"):
        assert services[name]["environment"]["POSTGRES_PASSWORD"] is None
    images = [service["image"] for service in services.values()]
    tags = {image.rpartition(":")[2] for image in images if "marquez" in image}
    assert len(tags) == 1, "the page and the API are of one release"


def test_headrace_in_a_container_can_send_to_it(services: Any) -> None:
    headrace = YAML(typ="safe").load(COMPOSE)["services"]["headrace"]["environment"]
    assert {"HEADRACE_OPENLINEAGE__ENABLED", "OPENLINEAGE_URL"} <= set(headrace)
    assert services["marquez"]["environment"]["MARQUEZ_PORT"] == "5000"
