#!/usr/bin/env bash
# Sources the bash completion of the program in $1 and asks it what a user would.
set -uo pipefail  # compopt fails outside a completion

program=$1
source <("$program" completion bash)
cd "$(mktemp -d)"
trap 'rm -r "$PWD"' EXIT
touch job.json notes.txt
mkdir runs

failures=0
# expect "WORDS TYPED SO FAR" "COMPLETIONS"
expect() {
    local IFS=' '
    read -ra COMP_WORDS <<<"penstock $1"
    [[ $1 == *' ' || -z $1 ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _penstock
    if [[ ${COMPREPLY[*]} != "$2" ]]; then
        echo "penstock $1: expected '$2', got '${COMPREPLY[*]}'"
        failures=$((failures + 1))
    fi
}

expect "va" "validate"
expect "pl" "plan"
expect "run --la" "--launch"
expect "run --launch " "auto local mpi pmix tcp"
expect "run --runs-dir r" "runs"
expect "run " "runs job.json"
expect "lint jo" "job.json"
expect "operators rec" "records"
expect "completion " "bash zsh fish"
expect "run --stall-timeout " ""
exit $((failures > 0))
