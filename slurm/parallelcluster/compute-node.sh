#!/bin/bash
# Makes Penstock run on a node, when the node is up: compute-node.sh PREFIX, where head-node.sh has installed it.
set -euo pipefail

modulefiles=${MODULEFILES:-/usr/share/modules/modulefiles}
devices=${INFINIBAND_DEVICES:-/sys/class/infiniband} # those of EFA, too

fail() {
    echo "compute-node.sh: $*" >&2
    exit 1
}

[ $# = 1 ] || fail "usage: compute-node.sh PREFIX"
prefix=$1
[ -s "$prefix/packages" ] || fail "\"$prefix/packages\" is missing; is it shared, and has head-node.sh come to its end?"
mapfile -t packages <"$prefix/packages"

export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 -qq update
apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends "${packages[@]}"

mkdir -p "$modulefiles"
ln -sfn "$prefix/share/modulefiles/penstock" "$modulefiles/penstock"
"$prefix/bin/penstock" --version || fail "\"$prefix/bin/penstock\" does not run here"

# The node is of use without it, but slow: whoever reads the log shall know.
if [ -z "$(ls -A "$devices" 2>/dev/null)" ]; then
    echo "compute-node.sh: no EFA device in \"$devices\"; payloads go over TCP" >&2
fi
