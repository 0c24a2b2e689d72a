#!/usr/bin/env bash
# step.sh NAME COMMAND...: run one step of `make test`, saying what it is and how long it took.
set -uo pipefail
name=$1
shift
echo "==> $name"
started=$(date +%s%N)
"$@"
status=$?
tenths=$((($(date +%s%N) - started) / 100000000))
[ "$status" -eq 0 ] && verdict=ok || verdict="FAILED ($status)"
echo "==> $name: $verdict, $((tenths / 10)).$((tenths % 10)) s"
exit "$status"
