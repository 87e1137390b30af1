include(GoogleTest)

# penstock_test(<name> SOURCES <file>... [RANKS <n>...] [LIBRARIES <target>...])
#
# Builds one test program. Without RANKS: one ctest entry per TEST().
# With RANKS: one ctest entry per rank count, "<name>.ranks<n>", under mpiexec.
function(penstock_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;RANKS;LIBRARIES")
    add_executable(${name} ${arg_SOURCES})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(${name} PRIVATE penstock::penstock penstock_warnings GTest::gmock ${arg_LIBRARIES})
    if(NOT arg_RANKS)
        target_link_libraries(${name} PRIVATE GTest::gmock_main)
        gtest_discover_tests(${name} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60 PROPERTIES LABELS unit TIMEOUT 60)
        return()
    endif()
    target_link_libraries(${name} PRIVATE penstock_mpi_main)
    foreach(ranks IN LISTS arg_RANKS)
        add_test(NAME ${name}.ranks${ranks}
                 COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} ${MPIEXEC_PREFLAGS} $<TARGET_FILE:${name}>)
        set_tests_properties(${name}.ranks${ranks} PROPERTIES PROCESSORS ${ranks} TIMEOUT 120 LABELS mpi
                             ENVIRONMENT "${PENSTOCK_MPI_TEST_ENVIRONMENT}")
    endforeach()
endfunction()
