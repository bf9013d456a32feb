"""
Every answer that a relay gives is one that its OpenAPI document names.
"""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks

from cutover.server.access import Role, new_token
from cutover.server.api import OPERATIONS
from cutover.testing.store_helpers import until

EXAMPLES = 25
ENDLESS = "text/event-stream"  # asked by a test of its own
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture
def described(serving, shop_url, tmp_path):
    """
    A relay's own description, asked as an admin.
    """
    text, token = new_token(Role.ADMIN, "rina")
    file = tmp_path / "tokens"
    file.write_text(str(token))
    relay = serving(shop_url, "--tokens", str(file))
    admin = {"Authorization": f"Bearer {text}"}
    assert until(lambda: relay.get("/v1/migrations/shop/snapshot", **admin)[0] == 200)
    schema = schemathesis.openapi.from_url(f"{relay.url}/openapi.json")
    schema.relay, schema.admin = relay, admin
    return schema


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", [(o.method, o.path) for o in OPERATIONS if o.result != ENDLESS], ids=" ".join)
def test_no_surprises(described, path, mode):
    """
    Whatever is asked, the answer is documented, has the documented shape, and is no error of the relay.
    """
    method, where = path
    operation = described[where][method]
    asked = set()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def ask(case, known):
        if "wait" in (case.query or {}):
            case.query["wait"] = 0
        if known and case.path_parameters:
            case.path_parameters["migration"] = "shop"
        headers = {**(case.headers or {}), **described.admin}
        asked.add(case.call_and_validate(headers=headers, checks=CHECKS).status_code)

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # an endpoint without parameters cannot be asked wrongly
        return
    assert asked


def test_every_path_is_described(described):
    """
    Every endpoint is in the document, with its role and at least one success and one failure.
    """
    paths = json.loads(described.relay.get("/openapi.json")[2])["paths"]

    assert {"/healthz", "/readyz", "/metrics", "/v1/migrations/{migration}/snapshot"} <= paths.keys()
    for path, methods in paths.items():
        for operation in methods.values():
            assert {status[0] for status in operation["responses"]} >= {"2", "4"}, path
            assert operation["summary"], path
