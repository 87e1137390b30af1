#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include <unistd.h>

#include <penstock/error.hpp>
#include <penstock/operator.hpp>

#include "support/fake_runtime.hpp"

namespace {

using namespace penstock;

constexpr std::size_t arena_bytes = 4U << 20U;
constexpr int most_payloads = 32;

Params completed(std::int64_t rows) {
    const Registry registry = Registry::with_builtins();
    return registry.complete(
        *registry.find("hdf5_source"),
        test::params(
            {{"input", ParamValue{std::string{"?"}}}, {"rows", ParamValue{rows}}, {"payloads", ParamValue{false}}}),
        {});
}

void read(const std::string& path, std::int64_t rows) {
    static const Registry registry = Registry::with_builtins();
    static Params given = completed(0);
    given.set("input", ParamValue{path});
    given.set("rows", ParamValue{rows});
    test::FakeContext context;
    test::FakeOutput out{arena_bytes};
    try {
        const auto source = std::get<std::unique_ptr<Source>>(registry.make("hdf5_source", given, context));
        for (int i = 0; i < most_payloads && source->produce(out); ++i) out.emitted.clear();
    } catch (const Error& error) {
        if (error.code() == Errc::internal) __builtin_trap();
    } catch (const std::bad_optional_access&) {  // what the test's arena says when it is too small
    }
}

}  // namespace

/// A broken file can make the library ask for more memory than there is; it reports that it gets none.
extern "C" const char* __asan_default_options() {
    return "allocator_may_return_null=1";
}
/// The library does not free everything when it refuses a broken file.
extern "C" const char* __lsan_default_suppressions() {
    return "leak:libhdf5";
}

// Without the table: HDF5 1.10 loops without end over a damaged heap, where everything of variable length is.
// Whatever stands where an HDF5 file should, the source reads it or says why not. The first byte is the rows to read.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    std::string path = (std::filesystem::temp_directory_path() / "penstock-fuzz-XXXXXX").string();
    const int file = mkstemp(path.data());
    if (file < 0 || write(file, data + 1, size - 1) != static_cast<ssize_t>(size - 1)) __builtin_trap();
    read(path, data[0]);
    unlink(path.c_str());
    close(file);
    return 0;
}
