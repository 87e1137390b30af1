# Targets `format` (rewrites) and `check-format` (fails on a difference), for every C++ file git knows or would add.
find_program(CLANG_FORMAT NAMES clang-format-14)
mark_as_advanced(CLANG_FORMAT)
find_package(Git QUIET)
if(NOT CLANG_FORMAT OR NOT Git_FOUND)
    return()  # the version is pinned: another one formats differently
endif()

function(penstock_format_target name options)
    set(files "'${GIT_EXECUTABLE}' ls-files -z --cached --others --exclude-standard -- '*.cpp' '*.hpp'")
    add_custom_target(${name} COMMAND sh -c "${files} | xargs -0 -r '${CLANG_FORMAT}' ${options}"
                      WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)
endfunction()
penstock_format_target(format "-i")
penstock_format_target(check-format "--dry-run --Werror")
