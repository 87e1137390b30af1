# `cpack -G DEB --config build/release/CPackConfig.cmake`: a Debian package of what `cmake --install` puts below /usr.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The Penstock developers <penstock@localhost>" CACHE STRING "Who answers for a package")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "streams payloads through pipelines of processes on HPC machines")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "A pipeline, a graph of stages described in a JSON file or in C++, runs as one job; its stages
stream payloads at the speed of memory and fabric. The package has the program, the library, its headers and CMake package,
manual pages and completion.")
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR})
if(PENSTOCK_HAS_MPI)
    set(CPACK_DEBIAN_PACKAGE_RECOMMENDS openmpi-bin)
endif()
# What a program of somebody's own is built against; a static library asks for all of it.
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "cmake, libfmt-dev, libspdlog-dev")
# A package is in /usr, where no module is needed to find it.
set(CPACK_COMPONENTS_ALL Unspecified)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_INCLUDE_TOPLEVEL_DIRECTORY OFF)
include(CPack)
