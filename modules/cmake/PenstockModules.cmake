# Parts of the program that are loaded when they are needed, as the libraries behind them would make each start slower.
# The library has them like all others; the program has functions in their place that load them (src/base/module.hpp).

# Adds files of the calling folder to the library, and to the module of that name.
function(penstock_module_sources module)
    target_sources(penstock PRIVATE ${ARGN})
    foreach(file IN LISTS ARGN)
        file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${file})
        set_property(GLOBAL APPEND PROPERTY penstock_module_${module} ${path})
    endforeach()
endfunction()

# What the module has for the program, and what the program has in place of its files.
function(penstock_module module entry stand_in)
    set_property(GLOBAL APPEND PROPERTY penstock_modules ${module})
    set_property(GLOBAL PROPERTY penstock_module_${module}_entry ${CMAKE_CURRENT_SOURCE_DIR}/${entry})
    set_property(GLOBAL PROPERTY penstock_module_${module}_stand_in ${CMAKE_CURRENT_SOURCE_DIR}/${stand_in})
endfunction()

# Makes the modules, and links the program without what is in them. Where the library is a shared one, or its files are
# compiled several at once, the program has all.
function(penstock_load_modules program)
    get_property(modules GLOBAL PROPERTY penstock_modules)
    get_target_property(type penstock TYPE)
    get_target_property(several_at_once penstock UNITY_BUILD)
    if(NOT modules OR NOT type STREQUAL STATIC_LIBRARY OR several_at_once)
        return()
    endif()
    file(RELATIVE_PATH from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR}/penstock)
    target_compile_definitions(${program} PRIVATE PENSTOCK_MODULES_FROM_BIN="${from_bin}"
                                                  PENSTOCK_MODULES_DIR="${CMAKE_INSTALL_FULL_LIBDIR}/penstock")
    target_sources(${program} PRIVATE ${PROJECT_SOURCE_DIR}/src/base/module.cpp)
    set(in_modules "")
    foreach(module IN LISTS modules)
        foreach(what IN ITEMS "" _entry _stand_in)
            get_property(files${what} GLOBAL PROPERTY penstock_module_${module}${what})
        endforeach()
        list(TRANSFORM files REPLACE "[.]" "[.]")
        list(JOIN files "|" objects)
        add_library(penstock_${module} MODULE ${files_entry} $<FILTER:$<TARGET_OBJECTS:penstock>,INCLUDE,${objects}>)
        target_include_directories(penstock_${module} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
        target_compile_features(penstock_${module} PRIVATE cxx_std_20)
        # What both have is its own here; the rest is the program's.
        target_link_options(penstock_${module} PRIVATE LINKER:--as-needed LINKER:-Bsymbolic-functions)
        target_link_libraries(penstock_${module} PRIVATE penstock_warnings Threads::Threads fmt::fmt spdlog::spdlog
                                                         nlohmann_json::nlohmann_json)
        penstock_use_dependencies(penstock_${module})
        set_target_properties(penstock_${module} PROPERTIES
            UNITY_BUILD OFF PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin/${from_bin})
        install(TARGETS penstock_${module} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/penstock)
        target_sources(${program} PRIVATE ${files_stand_in})
        add_dependencies(${program} penstock_${module})
        list(APPEND in_modules ${files})
    endforeach()
    list(JOIN in_modules "|" objects)
    target_sources(${program} PRIVATE $<FILTER:$<TARGET_OBJECTS:penstock>,EXCLUDE,${objects}>)
    target_link_options(${program} PRIVATE LINKER:--as-needed)
    set_target_properties(${program} PROPERTIES ENABLE_EXPORTS ON UNITY_BUILD OFF)
endfunction()
