#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/fifo.hpp"
#include "base/unique_handle.hpp"
#include "memory/block_pool.hpp"

namespace penstock {

struct FileTraits {
    using Handle = int;
    static Handle null() noexcept { return -1; }
    static void release(Handle handle) noexcept;
};
using File = UniqueHandle<FileTraits>;

struct Mapping {
    std::byte* base = nullptr;
    std::size_t size_bytes = 0;
    friend bool operator==(const Mapping&, const Mapping&) = default;
};
struct MappingTraits {
    using Handle = Mapping;
    static Handle null() noexcept { return {}; }
    static void release(Handle handle) noexcept;
};
using MappedMemory = UniqueHandle<MappingTraits>;

/// How another process finds and proves an arena: all of it is public within a run.
struct ArenaAddress {
    std::int32_t pid = 0;
    std::int32_t arena_fd = -1;      ///< In process `pid`; reachable through /proc while it lives.
    std::int32_t doorbell_fd = -1;   ///< Likewise.
    std::int32_t bell_pipe_fd = -1;  ///< Likewise: the end to write to.
    std::uint64_t size_bytes = 0;
    std::array<std::uint64_t, 2> nonce{};  ///< Random; stands at the start of the arena, which proves the mapping.
};

/// The shared memory an instance owns and publishes from: one sealed memfd, written by its owner alone.
///
/// It is reserved at its full size and backed by pages as it is first used, in steps of 2 MiB that are faulted in
/// before anybody touches them, as huge pages where the kernel has them. A released block is reused when 4 MiB or 4096
/// blocks were released after it, or when nothing else is free: until then it is in the cache of the core that read it,
/// and writing it would mean to fetch it from there. Not thread-safe. The kernel frees it with the last process that
/// maps it, however those processes end.
class Arena {
public:
    /// @param limit_bytes  Rounded up to whole pages. @throws Error{exhausted} if the kernel has no such memory.
    explicit Arena(std::size_t limit_bytes);

    [[nodiscard]] const ArenaAddress& address() const noexcept { return address_; }
    [[nodiscard]] std::byte* base() const noexcept { return memory_.get().base; }
    [[nodiscard]] std::size_t limit_bytes() const noexcept { return memory_.get().size_bytes; }
    [[nodiscard]] std::size_t used_bytes() const noexcept { return pool_.used_bytes() - cooling_bytes_; }

    /// Aligned to 64 bytes. Nothing when it is full; ask again when blocks were released.
    /// @throws Error{exhausted} if the machine has no memory left to back it.
    [[nodiscard]] std::optional<Block> allocate(std::size_t bytes);
    void release(Block block) noexcept;
    [[nodiscard]] std::byte* at(std::uint64_t offset) const noexcept { return base() + offset; }

    /// The word other processes ring to wake this one; see `Doorbell`.
    [[nodiscard]] std::byte* doorbell() const noexcept { return doorbell_memory_.get().base; }
    /// What becomes readable when somebody has rung while the doorbell said `asleep_on_pipe`.
    [[nodiscard]] int bell_pipe() const noexcept { return bell_pipe_reading_.get(); }
    void write_to_bell_pipe() const noexcept;
    void empty_bell_pipe() const noexcept;

private:
    void populate(std::size_t up_to);
    void reuse_oldest() noexcept;

    File file_;
    File doorbell_file_;
    File bell_pipe_reading_;
    File bell_pipe_writing_;
    MappedMemory memory_;
    MappedMemory doorbell_memory_;
    BlockPool pool_;
    Fifo<Block> cooling_;  // released, but not to be reused yet
    std::size_t cooling_bytes_ = 0;
    std::size_t populated_ = 0;
    ArenaAddress address_;
};

/// Another process's arena, mapped read-only, and its doorbell page.
class RemoteArena {
public:
    /// Nothing when it cannot be mapped or does not carry the nonce: the process is on another node, or not ours.
    /// @param why  Receives the reason in words when nothing is returned.
    [[nodiscard]] static std::optional<RemoteArena> map(const ArenaAddress& address, std::string& why);

    [[nodiscard]] const std::byte* base() const noexcept { return memory_.get().base; }
    [[nodiscard]] std::size_t size_bytes() const noexcept { return memory_.get().size_bytes; }
    [[nodiscard]] std::byte* doorbell() const noexcept { return doorbell_memory_.get().base; }

    /// Opens the pipe when it is first needed. Where it cannot be, its owner wakes by its own time limits.
    void write_to_bell_pipe() noexcept;

    /// The bytes of a blob, its pages mapped in. Nothing if it does not lie inside the arena.
    [[nodiscard]] const std::byte* view(std::uint64_t offset, std::uint64_t bytes);

private:
    RemoteArena() = default;
    std::int32_t pid_ = 0;
    std::int32_t bell_pipe_fd_ = -1;  // there; -1 after it was opened, or could not be
    File bell_pipe_;
    MappedMemory memory_;
    MappedMemory doorbell_memory_;
    std::size_t populated_ = 0;
};

}  // namespace penstock
