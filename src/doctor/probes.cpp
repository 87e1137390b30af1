#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <penstock/error.hpp>

#include "doctor/system.hpp"
#include "launch/child_command.hpp"
#include "memory/arena.hpp"

namespace penstock::doctor {
namespace {

[[nodiscard]] std::optional<Space> space_of(const std::string& path) {
    struct statvfs about {};
    if (::statvfs(path.c_str(), &about) != 0) return std::nullopt;
    return Space{.total_bytes = std::uint64_t{about.f_blocks} * about.f_frsize,
                 .free_bytes = std::uint64_t{about.f_bavail} * about.f_frsize};
}

/// Only a write shows that there is no quota in the way and no server that refuses root.
[[nodiscard]] std::string write_to(const std::string& folder) {
    std::string path = folder + "/.penstock-doctor-XXXXXX";
    const File file{::mkostemp(path.data(), O_CLOEXEC)};
    if (!file) return std::strerror(errno);
    std::string why;
    if (::write(file.get(), "x", 1) != 1) why = std::strerror(errno);
    if (::unlink(path.c_str()) != 0 && why.empty()) why = std::strerror(errno);
    return why;
}

[[nodiscard]] std::string make_memory_file() {
    constexpr std::size_t bytes = 4096;
    const File file{::memfd_create("penstock-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!file || ::ftruncate(file.get(), bytes) != 0) return std::strerror(errno);
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (memory == MAP_FAILED) return std::strerror(errno);
    ::munmap(memory, bytes);
    return "";
}

[[nodiscard]] std::optional<std::string> ask_slurm() {
    constexpr std::chrono::milliseconds longest{1000};
    try {
        const CommandAnswer answer = answer_of({"srun", "--mpi=list"}, "", longest);
        return answer.out + answer.err;  // old ones write it there
    } catch (const Error&) {
        return std::nullopt;
    }
}

}  // namespace

Probes Probes::real() {
    return {.space = space_of,
            .may_read_and_write = [](const std::string& path) { return ::access(path.c_str(), R_OK | W_OK) == 0; },
            .try_file = write_to,
            .try_memory_file = make_memory_file,
            .slurm_mpi_types = ask_slurm};
}

}  // namespace penstock::doctor
