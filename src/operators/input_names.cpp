#include "operators/input_names.hpp"

#include <memory>

#include <glob.h>
#include <unistd.h>

#include <penstock/error.hpp>

#include "base/quote.hpp"

namespace penstock {

std::vector<std::string> input_names(const std::string& input) {
    if (input.empty()) throw Error{Errc::invalid_input, "\"input\" is empty; set it to the name of a file"};
    const bool is_pattern = input.find_first_of("*?[") != std::string::npos;
    if (!is_pattern || access(input.c_str(), F_OK) == 0) return {input};  // a name may have these letters as well
    glob_t found = {};
    const int result = glob(input.c_str(), GLOB_ERR, nullptr, &found);
    const std::unique_ptr<glob_t, decltype(&globfree)> owner{&found, globfree};
    if (result != 0) {
        throw Error{Errc::invalid_input, "the input pattern " + path_in_quotes(input) +
                                             (result == GLOB_NOMATCH ? " matches no file" : " cannot be followed") +
                                             "; set \"input\" to files that can be read"};
    }
    return {found.gl_pathv, found.gl_pathv + found.gl_pathc};
}

}  // namespace penstock
