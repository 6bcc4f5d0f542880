# Shared by the scripts of this folder; to be sourced.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
[[ $target = /* ]] || target=$root/$target
# Where everything that `ci/up` starts lives: configuration, data, logs, pid files.
run=${FDFS_RUN:-$root/run}
# First three numbers of the loopback addresses in use.
net=${FDFS_NET:-127.0.0}
trackers=(11 12)
# Last number of a storage's address, and its group.
storages=(21:group1 22:group1 23:group2 24:group2)
gateway=$net.10:8080

say() { echo "$*"; }
die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# set_key FILE KEY VALUE...: the key's lines become one line for each value.
set_key() {
    local file=$1 key=$2 value
    shift 2
    local lines=
    for value in "$@"; do lines+="$key = $value"$'\n'; done
    KEY=$key LINES_NEW=$lines awk '
        BEGIN { key = ENVIRON["KEY"]; lines = ENVIRON["LINES_NEW"] }
        { name = $0; sub(/[ \t]*=.*/, "", name) }
        name == key { if (!done) printf "%s", lines; done = 1; next }
        { print }
        END { if (!done) printf "%s", lines }
    ' "$file" >"$file.new"
    mv "$file.new" "$file"
}

# The pid in a file, if that process lives and runs the program.
live() {
    local pid
    pid=$(cat "$1" 2>/dev/null) && [[ -n $pid ]] && [[ $(readlink "/proc/$pid/exe" 2>/dev/null) = "$2"* ]] && echo "$pid"
}

nginx_bin() { command -v nginx || { [[ -x /usr/sbin/nginx ]] && echo /usr/sbin/nginx; }; }
