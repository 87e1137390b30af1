#!/bin/bash
# Builds and installs Penstock, when the head node is up: head-node.sh SOURCE PREFIX
#
# SOURCE is an archive of the repository (git archive --format tar.gz), in S3 or a file. PREFIX is a folder that the
# compute nodes see; compute-node.sh installs there what PREFIX/packages names.
set -euo pipefail

# Those of bootstrap.sh but for MPI and UCX: MPI is the one that comes with EFA, and UCX would take TCP, as it has no EFA.
packages=(build-essential cmake ninja-build pkg-config libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev
          libhdf5-dev liblz4-dev libzstd-dev zlib1g-dev libhwloc-dev)
optional_packages=(libtrilinos-kokkos-dev libcpp-httplib-dev)
mpi=${MPI_HOME:-/opt/amazon/openmpi}
libfabric=${LIBFABRIC_HOME:-/opt/amazon/efa}
modulefiles=${MODULEFILES:-/usr/share/modules/modulefiles}

fail() {
    echo "head-node.sh: $*" >&2
    exit 1
}

[ $# = 2 ] || fail "usage: head-node.sh SOURCE PREFIX"
source=$1
prefix=$2
[ -x "$mpi/bin/mpicc" ] || fail "there is no MPI in \"$mpi\"; name its folder in MPI_HOME"

export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 -qq update
for package in "${optional_packages[@]}"; do
    if apt-cache show "$package" >/dev/null 2>&1; then
        packages+=("$package")
    else
        echo "head-node.sh: this release has no package \"$package\"; going on without it" >&2
    fi
done
apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends "${packages[@]}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $source in
    s3://*) aws s3 cp --only-show-errors "$source" "$work/penstock.tar.gz" ;;
    *) cp "$source" "$work/penstock.tar.gz" ;;
esac
mkdir -p "$prefix/source"
tar -xzf "$work/penstock.tar.gz" -C "$prefix/source"

export PKG_CONFIG_PATH=$libfabric/lib/pkgconfig:$libfabric/lib64/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
cd "$prefix/source"
cmake --preset release -B "$work/build" -DMPI_HOME="$mpi" -DPENSTOCK_MPI=ON -DPENSTOCK_UCX=OFF -DPENSTOCK_HDF5=ON \
    -DPENSTOCK_HDF5_MPI=OFF -DCMAKE_INSTALL_RPATH_USE_LINK_PATH=ON -DPENSTOCK_MODULE_PREREQS=openmpi
cmake --build "$work/build" -j "$(nproc)"
cmake --install "$work/build" --prefix "$prefix"

packaging/runtime-packages "$prefix/bin/penstock" >"$work/packages"
[ -s "$work/packages" ] || fail "no package is known for any library of $prefix/bin/penstock"
mv "$work/packages" "$prefix/packages"
chmod -R a+rX "$prefix"

mkdir -p "$modulefiles"
ln -sfn "$prefix/share/modulefiles/penstock" "$modulefiles/penstock"
"$prefix/bin/penstock" transports
