#!/bin/sh
# stop.sh PROGRAM [ARGS...]: stops the process that was started with exactly these arguments.
# Exit: 1 without arguments, 16 when it does not end.
[ $# -gt 0 ] || { echo "Usage: $0 <program> [arguments]" >&2; exit 1; }

# The daemon's own `stop` knows its pid file.
case $1 in
    */fdfs_trackerd | */fdfs_storaged | fdfs_trackerd | fdfs_storaged)
        "$1" "$2" stop
        code=$?
        # 2: no pid file, nothing to stop.
        [ $code -eq 2 ] && exit 0
        [ $code -eq 0 ] || exit 16
        exit 0
        ;;
esac

want=$(printf '%s\036' "$@")
for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    [ "$pid" = $$ ] && continue
    have=$(tr '\0' '\036' <"$dir/cmdline" 2>/dev/null) || continue
    [ "$have" = "$want" ] || continue
    kill "$pid" || exit 16
    n=0
    while kill -0 "$pid" 2>/dev/null; do
        n=$((n + 1))
        [ $n -le 300 ] || exit 16
        sleep 0.1
    done
done
exit 0
