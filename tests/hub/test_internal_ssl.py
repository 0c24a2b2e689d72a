"""Internal SSL, with the proxy from npm: the one from PyPI cannot be asked for certificates."""

from __future__ import annotations

import ssl

import httpx
import pytest
from ends import lifetime, path
from harness import wait_for
from site_fixture import phases, rows
from test_resources import resources

pytestmark = pytest.mark.hub


def hubs_context(hub):
    """What the hub shows to a server, and believes of it."""
    certificates = hub.folder / "certs"
    context = ssl.create_default_context(cafile=certificates / "hub-ca_trust.crt")
    pair = certificates / "hub-internal"
    context.load_cert_chain(pair / "hub-internal.crt", pair / "hub-internal.key")
    return context


@pytest.mark.essential
def test_a_server_speaks_tls_with_the_hub_and_the_proxy_alone(site):
    hub = site(internal_ssl=True)
    hub.client.start("ada")
    pid = hub.client.server_get("ada").json()["pid"]
    ((url,),) = rows(hub, "url")
    (server,) = hub.server_processes()
    assert url.startswith("https://127.0.0.1:")
    assert server.environ()["JUPYTERHUB_SERVICE_URL"].startswith("https://")

    inside = f"{url}/user/ada/api"
    answer = httpx.get(inside, verify=hubs_context(hub), trust_env=False)
    assert answer.json() == {"version": "0"}
    with pytest.raises(httpx.TransportError):
        httpx.get(inside.replace("https:", "http:"), trust_env=False)
    stranger = ssl.create_default_context(cafile=hub.folder / "certs/hub-ca_trust.crt")
    with pytest.raises(httpx.TransportError):
        httpx.get(inside, verify=stranger, trust_env=False)

    hub.restart()
    assert hub.client.is_running("ada")
    assert hub.client.server_get("ada").json()["pid"] == pid
    hub.client.stop("ada")
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    assert not hub.server_processes()
    # A certificate of a start after a restart is as good.
    hub.client.start("ada")
    assert hub.client.server_get("ada").json()["stub"]
    hub.client.stop("ada")


@pytest.mark.essential
def test_a_server_reads_its_end_behind_tls(tidy_site):
    hub = tidy_site(internal_ssl=True)
    hub.client.start("ada", {"lifetime": 60})
    assert hub.client.request("POST", path("ada"), json={"minutes": 30}).is_success
    (server,) = hub.server_processes()
    environment = server.environ()
    context = ssl.create_default_context(cafile=environment["JUPYTERHUB_SSL_CLIENT_CA"])
    context.load_cert_chain(
        environment["JUPYTERHUB_SSL_CERTFILE"], environment["JUPYTERHUB_SSL_KEYFILE"]
    )
    url = environment["JUPYTERHUB_API_URL"]
    assert url.startswith("https://")
    answer = httpx.get(
        f"{url}{path('ada')}",
        headers={"Authorization": f"token {environment['JUPYTERHUB_API_TOKEN']}"},
        verify=context,
        trust_env=False,
    )
    assert answer.json() == lifetime(hub)


@pytest.mark.timeout(300)  # a command takes seconds
def test_resources_are_seen_and_released_behind_tls(site):
    hub = site(internal_ssl=True)
    hub.client.start("ada")
    ((intent,),) = rows(hub, "id")
    listed = resources(hub, "list", token=hub.token)
    assert f"{intent[:12]}  ada    running  local" in listed.stdout
    assert listed.stderr == "", "the hub was asked"
    # Directly nobody is heard without the hub's own certificates.
    inside = ("--hub-url", f"https://127.0.0.1:{hub.hub_port}/hub/api")
    done = resources(hub, "release", intent, *inside, token=hub.token, status=1)
    assert "with internal SSL ask through the hub's proxy" in done.stderr
    done = resources(hub, "release", intent, token=hub.token)
    assert done.stdout == f"{intent} of ada is given back\n"
    hub.client.wait_until_stopped("ada")
