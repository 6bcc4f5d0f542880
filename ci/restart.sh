#!/bin/sh
# restart.sh PROGRAM [ARGS...]: stops the process that was started with these arguments, and starts it again.
[ $# -gt 0 ] || { echo "Usage: $0 <program> [arguments]" >&2; exit 1; }
"$(dirname "$0")/stop.sh" "$@" || exit $?
exec "$@"
