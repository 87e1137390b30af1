# What `cmake --install` puts where, and the package that find_package(penstock) finds.
set(penstock_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/penstock)

get_target_property(penstock_type penstock TYPE)
string(COMPARE EQUAL ${penstock_type} STATIC_LIBRARY PENSTOCK_STATIC)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/penstockConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/penstockConfig.cmake INSTALL_DESTINATION ${penstock_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/penstockConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS penstock EXPORT penstockTargets FILE_SET HEADERS)
install(EXPORT penstockTargets NAMESPACE penstock:: DESTINATION ${penstock_package_dir})
install(FILES ${PROJECT_BINARY_DIR}/penstockConfig.cmake ${PROJECT_BINARY_DIR}/penstockConfigVersion.cmake
        DESTINATION ${penstock_package_dir})

# The program finds a shared library next to it, wherever the tree is moved to.
file(RELATIVE_PATH penstock_lib_from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(penstock_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${penstock_lib_from_bin}"
                      RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
install(TARGETS penstock_cli)

install(FILES ${PROJECT_SOURCE_DIR}/jobs/pipeline.schema.json DESTINATION ${CMAKE_INSTALL_DATADIR}/penstock)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Completion is written by the program itself, so that it cannot disagree with it.
if(NOT CMAKE_CROSSCOMPILING)
    foreach(shell_file IN ITEMS bash:bash-completion/completions/penstock zsh:zsh/site-functions/_penstock
                                fish:fish/vendor_completions.d/penstock.fish)
        string(REPLACE ":" ";" pair ${shell_file})
        list(GET pair 0 shell)
        list(GET pair 1 file)
        set(script ${PROJECT_BINARY_DIR}/completion/${file})
        get_filename_component(script_dir ${script} DIRECTORY)
        file(MAKE_DIRECTORY ${script_dir})
        add_custom_command(OUTPUT ${script} COMMAND penstock_cli completion ${shell} > ${script}
                           DEPENDS penstock_cli VERBATIM)
        list(APPEND penstock_completions ${script})
        get_filename_component(destination ${CMAKE_INSTALL_DATADIR}/${file} DIRECTORY)
        install(FILES ${script} DESTINATION ${destination})
    endforeach()
    add_custom_target(penstock_completion ALL DEPENDS ${penstock_completions})

    # So are the manual pages: the stamp stands for as many as there are commands.
    set(man_dir ${PROJECT_BINARY_DIR}/man)
    add_custom_command(OUTPUT ${man_dir}.stamp
                       COMMAND ${CMAKE_COMMAND} -E rm -rf ${man_dir}
                       COMMAND ${CMAKE_COMMAND} -E make_directory ${man_dir}
                       COMMAND penstock_cli man --output-dir ${man_dir}
                       COMMAND ${CMAKE_COMMAND} -E touch ${man_dir}.stamp
                       DEPENDS penstock_cli VERBATIM)
    add_custom_target(penstock_man ALL DEPENDS ${man_dir}.stamp)
    install(DIRECTORY ${man_dir}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ
                                                                                            WORLD_READ)
endif()

# The prefix is known when it is installed.
set(PENSTOCK_MODULE_PREREQS "" CACHE STRING "Modules that the module \"penstock\" asks for, such as openmpi/4.1")
configure_file(${CMAKE_CURRENT_LIST_DIR}/PenstockModulefiles.cmake.in ${PROJECT_BINARY_DIR}/PenstockModulefiles.cmake @ONLY)
install(SCRIPT ${PROJECT_BINARY_DIR}/PenstockModulefiles.cmake COMPONENT modulefiles)
if(PROJECT_IS_TOP_LEVEL)
    include(PenstockPackage)
endif()
