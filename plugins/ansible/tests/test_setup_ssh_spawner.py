"""The shipped playbook, by the reference's own block, on a machine whose files are apart."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest
import yaml
from machine_apart import Apart, can_be_made
from multiplespawner_ansible.ansible import AnsibleConfigurer

pytestmark = [pytest.mark.playbook, pytest.mark.timeout(400)]

REFERENCE = Path(__file__).parents[3] / "tests/catalogue/reference/templates_example.json"

LOOK = (
    "id -un",
    "stat -c %a ~/.ssh ~/.ssh/authorized_keys",
    "/opt/multiplespawner/venv/bin/greeter 2>&1",
    "/usr/bin/python3 /usr/local/bin/get_port.py | grep -c '^[0-9]*$'",
    "sudo -n true 2>/dev/null || echo no root",
)


@pytest.fixture
def apart(tmp_path, keys):
    if why := can_be_made():
        pytest.skip(f"a machine apart cannot be made: {why}")
    with Apart(tmp_path / "apart", keys) as machine:
        yield machine


@pytest.fixture
def wheels(tmp_path):
    """A folder with a real, small wheel, so that nothing comes from elsewhere."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "greeter-1.0.dist-info"
    contents = {
        "greeter.py": "def main():\n    print('hello')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ngreeter = greeter:main\n",
    }
    rows = []
    for name, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
        rows.append(f"{name},sha256={digest.rstrip('=')},{len(text)}")
    contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    with zipfile.ZipFile(folder / "greeter-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in contents.items():
            wheel.writestr(name, text)
    return folder


def homes():
    return set(Path("/home").iterdir())


async def test_the_reference_s_block_sets_a_machine_up(make, make_intent, apart, wheels, keys):
    (template,) = yaml.safe_load(REFERENCE.read_text())
    block = template["configurer"]
    del block["class"]
    user = "Grüße{{ 1 }}"
    block["options"]["host_variables"]["new_username"] = user
    more = {"packages": ["greeter"], "wheels": str(wheels), "auth_key": keys.public_key}
    intent = make_intent(user)
    account = intent.owner.unix_user

    async def configure():
        configurer = make(AnsibleConfigurer, **block, host_variables=more, skip_if_done=False)
        told = []
        await configurer.apply(intent, apart.access(), told.append)
        return told

    there = homes()
    told = await configure()
    assert "Ansible: Install the server" in told
    assert homes() == there  # nothing was made on the hub's own machine
    found = apart.run("; ".join(LOOK), account)
    assert found.splitlines() == [account, "700", "600", "hello", "1", "no root"]

    # A second run changes nothing.
    look = "find /opt/multiplespawner /usr/local/bin /home /etc -newer /machine/mark -not -type d"
    apart.run("touch /machine/mark")
    assert await configure() == told
    changed = apart.run(f"{look} | grep -v -e __pycache__ -e /.local/state/ || true")
    assert changed == ""
