"""The image of the small cloud's machines, made of Debian's packages: needs no registry.

``python -m multiplespawner_core.testing.machine_image`` makes it where the engine does not have it
yet; as root, with ``debootstrap``, in about two minutes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from multiplespawner_core.testing.cloud.containers import IMAGE, EngineError, docker

SUITE = "bookworm"

_PACKAGES = (
    *("systemd-sysv", "dbus", "openssh-server", "sudo", "cloud-init", "iproute2", "procps"),
    *("python3", "python3-venv", "ca-certificates"),
    "python3-cffi-backend",  # depended on by another name, which debootstrap does not know
)
_MASKED = (
    *("getty@.service", "console-getty.service", "systemd-networkd.service"),
    *("systemd-networkd-wait-online.service", "systemd-networkd.socket", "systemd-udevd.service"),
    *("systemd-udev-trigger.service", "systemd-logind.service", "systemd-timesyncd.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_reap.service"),
)
"""What has nothing to do in a container, or fails there."""

_FILES = {"etc/cloud/cloud.cfg.d/90_dpkg.cfg": "datasource_list: [ NoCloud, None ]\n"}
_SURPLUS = (
    *("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"),
    "var/log/bootstrap.log",
)
_CHANGES = ('CMD ["/sbin/init"]',)
_LABEL = "multiplespawner.recipe"


def make() -> bool:
    """Make the image, unless the engine has it as it is made now.

    Returns:
        Whether it was made.

    Raises:
        EngineError: it cannot be made; the message says why.
    """
    recipe = _recipe()
    if docker("images", "--quiet", "--filter", f"label={_LABEL}={recipe}", IMAGE).strip():
        return False
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise EngineError("the image is made as root, by debootstrap: install it")
    with tempfile.TemporaryDirectory(prefix="multiplespawner-image-") as folder:
        root = Path(folder) / "root"
        _call(
            "debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", SUITE, str(root)
        )
        _furnish(root)
        _load(root, recipe)
    return True


def _recipe() -> str:
    said = repr((SUITE, _PACKAGES, _MASKED, _FILES, _SURPLUS, _CHANGES))
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _furnish(root: Path) -> None:
    for name, content in _FILES.items():
        (root / name).write_text(content, "utf-8")
    for unit in _MASKED:
        place = root / "etc/systemd/system" / unit
        place.unlink(missing_ok=True)
        place.symlink_to("/dev/null")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()  # each machine has its own
    (root / "var/lib/cloud/seed/nocloud").mkdir(parents=True)
    for name in _SURPLUS:
        place = root / name
        if place.is_dir():
            shutil.rmtree(place)
            place.mkdir()
        else:
            place.unlink(missing_ok=True)


def _load(root: Path, recipe: str) -> None:
    changes = (*_CHANGES, f"LABEL {_LABEL}={recipe}")
    with subprocess.Popen(  # noqa: S603 - a program of the system's
        [_program("tar"), "--create", "--numeric-owner", "--directory", str(root), "."],
        stdout=subprocess.PIPE,
    ) as archive:
        options = (part for change in changes for part in ("--change", change))
        docker("import", *options, "-", f"{IMAGE}:latest", stdin=archive.stdout, timeout=600)
    if archive.returncode:
        raise EngineError("tar could not pack the image")


def _call(program: str, *arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 - a program of the system's
        [_program(program), *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        msg = f"{program} failed: {(done.stderr or done.stdout).strip()[-1500:]}"
        raise EngineError(msg)


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        msg = f"there is no {name}"
        raise EngineError(msg)
    return path


def main() -> None:
    """The command."""
    try:
        made = make()
    except EngineError as error:
        sys.exit(f"{error}")
    sys.stdout.write(f"{IMAGE}: {'made' if made else 'is there'}\n")


if __name__ == "__main__":
    main()

__all__ = ("SUITE", "main", "make")
