#!/bin/bash
# What `systemctl` does, as far as the operator's guide goes, in a root where systemd does not run: starts what a unit names,
# as its user, with its environment, folders and credentials. Confines nothing.
set -euo pipefail

units=/usr/lib/systemd/system
state=/run/units
mkdir -p "$state"

# Every value of a key in a unit, continued lines in one.
values() {
    sed -e ':again; /\\$/ { N; s/\\\n//; b again }' "$units/$1.service" | sed -n "s/^$2=//p"
}

is_running() {
    [ -e "$state/$1.pid" ] && kill -0 "$(cat "$state/$1.pid")" 2>/dev/null
}

enter_environment() {
    local assignment file
    set -a
    for assignment in $(values "$1" Environment); do export "${assignment?}"; done
    for file in $(values "$1" EnvironmentFile); do
        # shellcheck disable=SC1090 # named by the unit
        if [ -e "${file#-}" ]; then . "${file#-}"; fi
    done
    set +a
}

start() {
    if is_running "$1"; then return; fi
    local user folder credential
    user=$(values "$1" User)
    for folder in $(values "$1" StateDirectory); do install -d -m 750 -o "$user" -g "$user" "/var/lib/$folder"; done
    for folder in $(values "$1" RuntimeDirectory); do install -d -m 700 -o "$user" "/run/$folder"; done
    install -d -m 500 -o "$user" "/run/credentials/$1"
    for credential in $(values "$1" LoadCredential); do
        install -m 400 -o "$user" "${credential#*:}" "/run/credentials/$1/${credential%%:*}"
    done
    run "$1" "$user" >>"/var/log/$1.log" 2>&1 </dev/null &
    echo $! >"$state/$1.pid"
}

# In a process of its own, so that no unit sees the environment of another.
run() {
    enter_environment "$1"
    RUNTIME_DIRECTORY="/run/$(values "$1" RuntimeDirectory)"
    CREDENTIALS_DIRECTORY="/run/credentials/$1"
    export RUNTIME_DIRECTORY CREDENTIALS_DIRECTORY
    eval "exec setpriv --reuid=$2 --regid=$2 --init-groups $(values "$1" ExecStart)"
}

stop() {
    if ! is_running "$1"; then return; fi
    local command pid
    pid=$(cat "$state/$1.pid")
    command=$(values "$1" ExecStop)
    if [ -n "$command" ]; then eval "$command"; fi
    kill -TERM "$pid" 2>/dev/null || true
    while is_running "$1"; do sleep 0.1; done
    rm "$state/$1.pid"
}

verb=$1
shift
for unit in "$@"; do
    case "$verb $unit" in
        *--now) continue ;;
    esac
    unit=${unit%.service}
    case "$verb" in
        enable | start) start "$unit" ;;
        disable | stop) stop "$unit" ;;
        restart)
            stop "$unit"
            start "$unit"
            ;;
        reload) kill -HUP "$(cat "$state/$unit.pid")" ;;
        *)
            echo "systemctl $verb is not known here" >&2
            exit 1
            ;;
    esac
done
