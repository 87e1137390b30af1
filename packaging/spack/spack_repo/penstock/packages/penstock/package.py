import pathlib

from spack_repo.builtin.build_systems.cmake import CMakePackage

from spack.package import *

# Each is a variant of its name and an option PENSTOCK_<NAME> of the build.
FEATURES = {
    "mpi": ("mpi", "MPI launch and transport"),
    "pmix": ("pmix@3.1:", "Jobs joined through PMIx, without MPI"),
    "ucx": ("ucx@1.12:", "UCX transport"),
    "ofi": ("libfabric@1.11:", "libfabric transport"),
    "kokkos": ("kokkos@3.4:", "Kokkos kernels"),
    "http": ("cpp-httplib", "HTTP view of a run"),
    "hdf5": ("hdf5@1.10.5:", "HDF5 files; shared ones with mpi"),
    "hwloc": ("hwloc@2.1:", "Processes bound to cores"),
    "lz4": ("lz4@1.9:", "Channels compressed by LZ4"),
    "zstd": ("zstd@1.4:", "Channels compressed by Zstandard"),
    "zlib": ("zlib-api", "Channels compressed by zlib"),
}


class Penstock(CMakePackage):
    """HPC streaming: pipelines whose stages stream payloads at the speed of memory and fabric."""

    # The repository that this file lies in.
    git = pathlib.Path(__file__).resolve().parents[6].as_uri()

    license("Apache-2.0")

    version("main", branch="main")

    variant("shared", default=True, description="Build a shared library")
    for _feature, (_dependency, _description) in FEATURES.items():
        variant(_feature, default=True, description=_description)
        depends_on(_dependency, when=f"+{_feature}")
    depends_on("hdf5+mpi", when="+hdf5+mpi")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("fmt")
    depends_on("spdlog")
    depends_on("nlohmann-json@3.10:")
    depends_on("cli11@2.1:")

    generator("ninja")

    # C++20 as g++ 12 and clang 14 take it.
    conflicts("%gcc@:11")
    conflicts("%clang@:13")

    def cmake_args(self):
        return [
            self.define_from_variant("BUILD_SHARED_LIBS", "shared"),
            self.define("PENSTOCK_TESTS", False),
            self.define("PENSTOCK_BENCH", False),
            self.define("PENSTOCK_HDF5_MPI", self.spec.satisfies("+hdf5+mpi")),
            *(self.define_from_variant(f"PENSTOCK_{feature.upper()}", feature) for feature in FEATURES),
        ]
