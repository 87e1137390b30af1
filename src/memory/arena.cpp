#include "memory/arena.hpp"

#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <penstock/error.hpp>

#include "base/system_error.hpp"
#include "memory/doorbell.hpp"

namespace penstock {
namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t huge_page_bytes = 2U << 20U;
constexpr std::size_t most_bytes_cooling = 4U << 20U;
constexpr std::size_t most_blocks_cooling = 4096;

[[nodiscard]] std::string system_text(std::string_view call) {
    return std::string{call} + ": " + std::strerror(errno);  // NOLINT(concurrency-mt-unsafe): one thread owns an arena
}

[[nodiscard]] File make_memfd(const char* name, std::size_t bytes) {
    File file{memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!file) throw Error{Errc::exhausted, system_text("memfd_create")};
    if (ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) throw Error{Errc::exhausted, system_text("ftruncate")};
    return file;
}

/// At a multiple of the size of huge pages, so that those of the file can be mapped as such.
[[nodiscard]] MappedMemory map_file(int fd, std::size_t bytes, int protection) {
    const std::size_t reserved = bytes + huge_page_bytes;
    void* range = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) return MappedMemory{};
    auto* const first = static_cast<std::byte*>(range);
    const std::size_t before = -reinterpret_cast<std::uintptr_t>(first) % huge_page_bytes;
    MappedMemory memory{Mapping{first + before, bytes}};
    if (before != 0) munmap(first, before);
    munmap(first + before + bytes, reserved - before - bytes);
    void* base = mmap(first + before, bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0);
    return base == MAP_FAILED ? MappedMemory{} : std::move(memory);
}

/// Backs that range with pages. @return whether it is; errno says why not.
[[nodiscard]] bool back(std::byte* from, std::size_t bytes) {
    if (madvise(from, bytes, MADV_POPULATE_WRITE) == 0) return true;
    if (errno != EINVAL) return false;
    std::memset(from, 0, bytes);  // kernels before 5.14
    return true;
}

/// Backs it with one huge page: a tenth of the time that small ones take, and a reader's and writer's share of misses
/// in the translation of addresses less. MADV_COLLAPSE needs no permission and no setting of the machine, but a kernel
/// from 6.1 on, and one page that is there already.
[[nodiscard]] bool back_with_huge_page(std::byte* from) {
#if defined(MADV_COLLAPSE)
    constexpr int collapse = MADV_COLLAPSE;
#else
    constexpr int collapse = 25;
#endif
    return madvise(from, page_bytes, MADV_POPULATE_WRITE) == 0 && madvise(from, huge_page_bytes, collapse) == 0;
}

void seal(int fd, int seals) {
    // Old kernels lack some seals; the peers' checks of every length stand without them.
    if (fcntl(fd, F_ADD_SEALS, seals) != 0) fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
}

/// A file that can be shrunk under its readers kills them; what is no memfd has no seals at all.
[[nodiscard]] bool cannot_shrink(int fd) {
    const int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

/// Never waits, whatever another process has under that number: a pipe, a terminal.
[[nodiscard]] File open_of(int pid, int fd, int flags) {
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
    return File{open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
}

/// Into a pipe that does not block: when it is full, its reader has enough to wake up for. Async-signal-safe.
void write_byte(int fd) noexcept {
    const int saved = errno;
    [[maybe_unused]] const auto written = write(fd, "", 1);
    errno = saved;
}

[[nodiscard]] constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) noexcept {
    return (bytes + unit - 1) / unit * unit;
}

/// A process that lacks handles or memory is no reason to believe that the other one is far away.
void fail_if_lacking(std::string_view doing) {
    const int why = errno;
    if (errc_of(why) != Errc::exhausted) return;
    throw Error{Errc::exhausted, std::string{doing} + ": " + std::strerror(why) + "; " + remedy_of(why)};
}

}  // namespace

void FileTraits::release(Handle handle) noexcept {
    close(handle);
}

void MappingTraits::release(Handle handle) noexcept {
    munmap(handle.base, handle.size_bytes);
}

Arena::Arena(std::size_t limit_bytes)
    : file_{make_memfd("penstock-arena", round_up(limit_bytes, page_bytes))},
      doorbell_file_{make_memfd("penstock-doorbell", page_bytes)},
      memory_{map_file(file_.get(), round_up(limit_bytes, page_bytes), PROT_READ | PROT_WRITE)},
      doorbell_memory_{map_file(doorbell_file_.get(), page_bytes, PROT_READ | PROT_WRITE)},
      pool_{round_up(limit_bytes, page_bytes)},
      cooling_{most_blocks_cooling} {
    if (!memory_ || !doorbell_memory_) {
        const int why = errno;
        throw Error{Errc::exhausted, system_text("mmap of an arena") + "; " + remedy_of(why)};
    }
    seal(file_.get(), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
    seal(doorbell_file_.get(), F_SEAL_SHRINK | F_SEAL_GROW);
    address_.pid = getpid();
    address_.arena_fd = file_.get();
    address_.doorbell_fd = doorbell_file_.get();
    std::array<int, 2> pipe{};
    if (pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
        const int why = errno;
        throw Error{Errc::exhausted, system_text("pipe") + "; " + remedy_of(why)};
    }
    bell_pipe_reading_ = File{pipe[0]};
    bell_pipe_writing_ = File{pipe[1]};
    address_.bell_pipe_fd = pipe[1];
    address_.size_bytes = memory_.get().size_bytes;
    if (getrandom(address_.nonce.data(), sizeof address_.nonce, 0) != static_cast<ssize_t>(sizeof address_.nonce)) {
        throw Error{Errc::exhausted, system_text("getrandom")};
    }
    new (doorbell()) Doorbell;
    const auto head = allocate(sizeof address_.nonce);
    if (!head) throw Error{Errc::invalid_input, "an arena needs at least 4096 bytes"};
    std::memcpy(base(), address_.nonce.data(), sizeof address_.nonce);
}

void Arena::write_to_bell_pipe() const noexcept {
    write_byte(bell_pipe_writing_.get());
}

void Arena::empty_bell_pipe() const noexcept {
    std::array<char, 64> bytes;
    while (read(bell_pipe_reading_.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())) {
    }
}

std::optional<Block> Arena::allocate(std::size_t bytes) {
    auto block = pool_.allocate(bytes);
    if (!block && !cooling_.empty()) {
        while (!cooling_.empty()) reuse_oldest();
        block = pool_.allocate(bytes);
    }
    if (block) {
        const std::size_t end = block->offset + bytes;
        if (end > populated_) {
            try {
                populate(end);
            } catch (...) {
                pool_.release(*block);
                throw;
            }
        }
    }
    return block;
}

void Arena::release(Block block) noexcept {
    if (cooling_.size() == most_blocks_cooling) reuse_oldest();
    cooling_.push(block);
    cooling_bytes_ += pool_.size_bytes(block);
    while (cooling_bytes_ > std::min(most_bytes_cooling, limit_bytes() / 8)) reuse_oldest();
}

void Arena::reuse_oldest() noexcept {
    const Block oldest = cooling_.pop();
    cooling_bytes_ -= pool_.size_bytes(oldest);
    pool_.release(oldest);
}

void Arena::populate(std::size_t up_to) {
    while (populated_ < up_to) {
        const std::size_t step = std::min(huge_page_bytes, limit_bytes() - populated_);
        std::byte* const from = base() + populated_;
        if ((step < huge_page_bytes || !back_with_huge_page(from)) && !back(from, step)) {
            throw Error{Errc::exhausted, system_text("no memory to back the arena; lower --arena-mib, madvise")};
        }
        populated_ += step;
    }
}

std::optional<RemoteArena> RemoteArena::map(const ArenaAddress& address, std::string& why) {
    if (address.size_bytes < page_bytes || address.size_bytes > (std::uint64_t{1} << 46U)) {
        why = "its arena has an impossible size";
        return std::nullopt;
    }
    const File file = open_of(address.pid, address.arena_fd, O_RDONLY);
    const File bell = open_of(address.pid, address.doorbell_fd, O_RDWR);
    if (!file || !bell) {
        fail_if_lacking("cannot open the memory of another process");
        why = "its memory cannot be opened here: " + std::string{std::strerror(errno)};
        return std::nullopt;
    }
    struct stat status {};
    if (!cannot_shrink(file.get()) || !cannot_shrink(bell.get())) {
        why = "another process has its number here";
        return std::nullopt;
    }
    if (fstat(file.get(), &status) != 0 || static_cast<std::uint64_t>(status.st_size) != address.size_bytes ||
        fstat(bell.get(), &status) != 0 || status.st_size != static_cast<off_t>(page_bytes)) {
        why = "another process has its number here";
        return std::nullopt;
    }
    RemoteArena remote;
    remote.pid_ = address.pid;
    remote.bell_pipe_fd_ = address.bell_pipe_fd;
    remote.memory_ = map_file(file.get(), address.size_bytes, PROT_READ);
    remote.doorbell_memory_ = map_file(bell.get(), page_bytes, PROT_READ | PROT_WRITE);
    if (!remote.memory_ || !remote.doorbell_memory_) {
        fail_if_lacking("cannot map the memory of another process");
        why = system_text("its memory cannot be mapped");
        return std::nullopt;
    }
    if (std::memcmp(remote.base(), address.nonce.data(), sizeof address.nonce) != 0) {
        why = "another process has its number here";
        return std::nullopt;
    }
    return remote;
}

void RemoteArena::write_to_bell_pipe() noexcept {
    if (bell_pipe_fd_ >= 0) bell_pipe_ = open_of(pid_, std::exchange(bell_pipe_fd_, -1), O_WRONLY);
    if (bell_pipe_) write_byte(bell_pipe_.get());
}

const std::byte* RemoteArena::view(std::uint64_t offset, std::uint64_t bytes) {
    if (offset > size_bytes() || bytes > size_bytes() - offset) return nullptr;
    const std::size_t end = offset + bytes;
    if (end > populated_) {
        const std::size_t step_end = std::min(round_up(end, huge_page_bytes), size_bytes());
        auto* from = const_cast<std::byte*>(base()) + populated_;
        // Only saves the faults that reading would take one by one; on failure those happen instead.
        madvise(from, step_end - populated_, MADV_POPULATE_READ);
        populated_ = step_end;
    }
    return base() + offset;
}

}  // namespace penstock
