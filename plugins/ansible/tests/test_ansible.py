"""Real playbooks on real machines."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from multiplespawner_ansible.ansible import AnsibleConfigurer
from multiplespawner_ansible.turns import turns

from multiplespawner_core import ConfigureFailed

WRITE = """
- hosts: {hosts}
  gather_facts: false
  tasks:
    - name: Write {name}
      ansible.builtin.copy:
        content: "{{{{ text }}}}{{{{ more.words | join(',') }}}}{{{{ switch }}}}"
        dest: "{{{{ home }}}}/{name}"
"""

# The same without a module, which takes seconds to bring.
SOON = """
- hosts: {hosts}
  gather_facts: false
  tasks:
    - ansible.builtin.raw: printf %s {{{{ text | quote }}}} > {{{{ home }}}}/{name}
"""


@pytest.mark.slow
async def test_playbooks_run_in_order_with_values_that_are_no_templates(site, play, machine):
    """On every Python, and so with every Ansible: the rest of this file is for one of them."""
    text = "{{ lookup('pipe', 'echo broken into') }} \"it's\" {x} $HOME\n"
    site("a.yml", WRITE.format(hosts="compute", name="first"))
    site("b.yml", WRITE.format(hosts="all", name="second"))
    words = {"words": ["{{ 1 }}", "no", "1e3", "~"]}
    variables = {"text": text, "switch": "yes", "more": words}
    assert await play("a.yml", "b.yml", **variables) == [
        "Ansible: Write first",
        "Ansible: Write second",
    ]
    written = f"{text}{{{{ 1 }}}},no,1e3,~yes"
    assert (machine.home / "first").read_text() == (machine.home / "second").read_text() == written
    # Recorded as done: the file stays away.
    (machine.home / "first").unlink()
    assert await play("a.yml", "b.yml", **variables) == ["It is configured already"]
    assert not (machine.home / "first").exists()


@pytest.mark.playbook
async def test_what_changed_is_done_again(site, play, machine):
    site("a.yml", SOON.format(hosts="all", name="file"))
    await play("a.yml", text="one")
    await play("a.yml", text="two")
    await play("a.yml", text="one")
    assert (machine.home / "file").read_text() == "one"


@pytest.mark.playbook
async def test_a_failed_task_is_told_with_host_task_and_message(site, play, machine, caplog):
    tasks = """
    - hosts: all
      gather_facts: false
      tasks:
        - name: First
          ansible.builtin.raw: 'true'
        - name: Second, which may fail
          ansible.builtin.fail: {msg: not this}
          ignore_errors: true
        - name: Third with {{ db_password }}
          ansible.builtin.fail: {msg: "there is {{ db_password }} and\\nno room"}
    """
    site("a.yml", tasks)
    with pytest.raises(ConfigureFailed) as failed:
        await play("a.yml", db_password="open-sesame")
    assert str(failed.value) == (
        "The task 'Third with ...' failed on 127.0.0.1: there is ... and no room"
    )
    assert "open-sesame" not in caplog.text
    # What failed is not recorded as done.
    site("a.yml", tasks.replace('ansible.builtin.fail: {msg: "there', 'debug: {msg: "there'))
    assert len(await play("a.yml", db_password="open-sesame")) == 3


@pytest.mark.playbook
async def test_a_playbook_for_other_machines_is_no_success(site, play):
    site("a.yml", SOON.format(hosts="storage", name="x"))
    with pytest.raises(ConfigureFailed, match="No play of the playbook is for the machine in"):
        await play("a.yml", text="")


@pytest.mark.playbook
async def test_a_playbook_that_is_none_is_told_without_its_text(site, play, caplog):
    site("a.yml", "- hosts: all\n  tasks:\n  - name: [")
    with pytest.raises(ConfigureFailed, match=r"^The playbook cannot be run\.$"):
        await play("a.yml")
    assert "a.yml" in caplog.text


@pytest.mark.playbook
async def test_an_inventory_lends_its_variables(site, play, machine):
    site("hosts/main.ini", "[compute]\n[compute:vars]\ntext=of the group\n")
    site("a.yml", SOON.format(hosts="compute", name="file"))
    await play("a.yml", inventory="hosts")
    assert (machine.home / "file").read_text() == "of the group"


@pytest.mark.playbook
async def test_no_option_undoes_the_pinned_host_key(site, play, machine, tmp_path):
    known = tmp_path / "empty"
    known.touch()
    access = replace(machine.access, known_hosts_file=str(known))
    site("a.yml", SOON.format(hosts="all", name="file"))
    with pytest.raises(ConfigureFailed, match="another host key"):
        await play("a.yml", access=access, text="x", ansible_ssh_args="-o StrictHostKeyChecking=no")
    assert not (machine.home / "file").exists()


HUB = """
import asyncio, pickle, sys
given, access, intent = pickle.loads(sys.stdin.buffer.read())
from multiplespawner_ansible.ansible import AnsibleConfigurer
asyncio.run(AnsibleConfigurer(**given).apply(intent, access, lambda line: print(line, flush=True)))
"""


@pytest.mark.playbook
def test_nothing_goes_on_without_the_hub(site, machine, make_intent, tmp_path):

    site("a.yml", "- hosts: all\n  gather_facts: false\n  tasks: [{name: Wait, raw: sleep 60}]")
    given = {
        "component": "T",
        "state_dir": tmp_path,
        "installation_id": "i",
        "configuration_dir": site.folder,
        "apply_kwargs": {"playbook_path": "a.yml"},
    }
    place = Path(f"/tmp/mh-{os.getpid()}")
    place.mkdir()
    environment = {**os.environ, "TMPDIR": str(place)}
    hub = subprocess.Popen(
        [sys.executable, "-c", HUB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    try:
        hub.stdin.write(pickle.dumps((given, machine.access, make_intent())))
        hub.stdin.close()
        assert hub.stdout.readline() == b"Ansible: Wait\n"
        _wait_for(lambda: ["sleep", "60"] in machine.processes())
        below = psutil.Process(hub.pid).children(recursive=True)
        assert below
        os.kill(hub.pid, signal.SIGKILL)
        hub.wait()
        _wait_for(lambda: not [one for one in below if _runs(one)] and not machine.processes())
        _wait_for(lambda: not list(place.iterdir()))
    finally:
        hub.kill()
        hub.stdout.close()
        place.rmdir()


def test_runs_wait_for_their_turn(make, machine, make_intent):
    """No more at once than the administrator allows; who waits is told."""
    told = []

    async def work():
        async with turns().turn(1, lambda _: None):
            configurer = make(
                AnsibleConfigurer,
                concurrent_runs=1,
                apply_kwargs={"playbook_path": "setup_ssh_spawner.yml"},
            )
            waiting = asyncio.ensure_future(
                configurer.apply(make_intent(), machine.access, told.append)
            )
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(work())
    assert told == ["Waiting for a turn"]


def _runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_for(condition, timeout=60):
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
