#!/usr/bin/env bash
# docker_engine.sh: make sure that a Docker engine answers. One that runs is left as it is.
# As root an engine is started where none does, and goes on; elsewhere a message says what is missing.
set -euo pipefail

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

if answers; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! PATH=$PATH:/usr/sbin command -v dockerd >/dev/null 2>&1; then
    echo "No Docker engine answers. Please start one (as root on Debian or Ubuntu this happens by itself)." >&2
    exit 1
fi
echo "==> dockerd"
log=/var/log/multiplespawner-dockerd.log
PATH=$PATH:/usr/sbin setsid dockerd >"$log" 2>&1 </dev/null &
for _ in $(seq 100); do
    if answers; then exit 0; fi
    sleep 0.3
done
echo "The Docker engine does not start; the end of $log:" >&2
tail -n 20 "$log" >&2
exit 1
