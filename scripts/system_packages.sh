#!/usr/bin/env bash
# system_packages.sh venv|chromium|node|sshd|postgresql|docker: make sure that what pip cannot install is there.
# As root on Debian and its relatives it is installed; elsewhere a message says what is missing.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1; }

case "${1:-}" in
venv)
    python=${2:-python3}
    have "$python" || { echo "There is no $python. Say which: make PYTHON=/path/to/python" >&2; exit 1; }
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        { echo "$python is older than 3.10. Choose another: make PYTHON=/path/to/python" >&2; exit 1; }
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then exit 0; fi
    packages="python3-venv"
    ;;
chromium)
    if have chromium || have chromium-browser || have google-chrome; then exit 0; fi
    packages="chromium"
    ;;
node)
    if have node && have npm; then exit 0; fi
    packages="nodejs npm"
    ;;
sshd)
    if PATH=$PATH:/usr/sbin have sshd && have sudo; then exit 0; fi
    packages="openssh-server sudo"  # sudo: what machines in a cloud have
    ;;
postgresql)
    if have initdb || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; then exit 0; fi
    packages="postgresql"
    ;;
docker)
    if PATH=$PATH:/usr/sbin have dockerd && have docker && PATH=$PATH:/usr/sbin have debootstrap; then exit 0; fi
    packages="docker.io docker-cli debootstrap"
    # Before Debian 13 the command line is part of docker.io.
    if ! apt-cache show docker-cli >/dev/null 2>&1; then packages="docker.io debootstrap"; fi
    ;;
*)
    echo "usage: system_packages.sh venv [PYTHON] | chromium | node | sshd | postgresql | docker" >&2
    exit 2
    ;;
esac

if [ "$(id -u)" -ne 0 ] || ! have apt-get; then
    echo "Please install: $packages (as root on Debian or Ubuntu this happens by itself)" >&2
    exit 1
fi
echo "==> apt-get install $packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
if [ "$packages" = postgresql ]; then
    # Tests start servers of their own: without this, Debian sets one up for the whole machine.
    settings=/etc/postgresql-common/createcluster.d
    mkdir -p "$settings"
    echo "create_main_cluster = false" >"$settings/multiplespawner-tests.conf"
    trap 'rm -f "$settings/multiplespawner-tests.conf"' EXIT
fi
# shellcheck disable=SC2086 # several packages
apt-get install -qq -y --no-install-recommends $packages >/dev/null
