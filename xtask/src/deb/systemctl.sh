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
    set -a
    # shellcheck disable=SC2046 # a list of assignments
    export $(values "$1" Environment)
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
    enter_environment "$1"
    for folder in $(values "$1" StateDirectory); do install -d -m 750 -o "$user" -g "$user" "/var/lib/$folder"; done
    for folder in $(values "$1" RuntimeDirectory); do
        install -d -m 700 -o "$user" "/run/$folder"
        export RUNTIME_DIRECTORY="/run/$folder"
    done
    export CREDENTIALS_DIRECTORY="/run/credentials/$1"
    install -d -m 500 -o "$user" "$CREDENTIALS_DIRECTORY"
    for credential in $(values "$1" LoadCredential); do
        install -m 400 -o "$user" "${credential#*:}" "$CREDENTIALS_DIRECTORY/${credential%%:*}"
    done
    local command
    command=$(values "$1" ExecStart)
    eval "exec setpriv --reuid=$user --regid=$user --init-groups $command" >>"/var/log/$1.log" 2>&1 </dev/null &
    echo $! >"$state/$1.pid"
}

stop() {
    if ! is_running "$1"; then return; fi
    local command pid
    pid=$(cat "$state/$1.pid")
    command=$(values "$1" ExecStop)
    if [ -n "$command" ]; then eval "$command"; fi
    kill -TERM "$pid"
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
