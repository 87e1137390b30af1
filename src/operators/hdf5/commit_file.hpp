#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_handle.hpp"
#include "operators/hdf5/handles.hpp"

namespace penstock::hdf5 {

struct DescriptorTraits {
    using Handle = int;
    static Handle null() noexcept { return -1; }
    static void release(Handle handle) noexcept;
};

/// The bytes of an HDF5 file, as a file driver of the library: whatever happens to the process, what is on disk is
/// the file as of the last commit, and any reader can open it.
///
/// Elements go to the disk as they come, into space that no committed metadata names. Metadata wait in memory for
/// `commit`, which writes them so that each single write leaves a readable file: what is new first, then the end of
/// the file, then indexes, and the object headers with the extents of the datasets last. No piece of metadata up to a
/// page in size lies across a page, as the kernel completes the part of a write that falls into one page even when
/// the process is killed. The library's own freed space is not used again, so the old state stays whole while the new
/// one is written.
///
/// After a failed write nothing more reaches the disk, and the library is told that all is well, so that it can close.
class CommitFile {
public:
    enum class Start : std::uint8_t {
        anew,   ///< Whatever has that name is replaced by `publish`.
        go_on,  ///< A file of that name gets more, in space that it does not use yet. Refuses one that another goes on
                ///< with.
    };

    /// A file that is not there yet is created as `path` + ".new"; `publish` gives it its name.
    /// @throws Error{invalid_input} if it cannot be created or opened, Error{exhausted} if there is no room for it.
    explicit CommitFile(std::string path, Start start = Start::anew);
    CommitFile(const CommitFile&) = delete;
    CommitFile& operator=(const CommitFile&) = delete;
    ~CommitFile();

    /// The file was there, and is to be opened; otherwise it is to be created.
    [[nodiscard]] bool is_there() const noexcept { return published_; }
    /// Creates the HDF5 file in it, empty and not yet committed. This object must outlive it.
    [[nodiscard]] Id create();
    /// Opens the HDF5 file in it. Only one that `create` made is as safe as described. REQUIRES: it is one.
    [[nodiscard]] Id open();

    /// Call after H5Fflush. @throws Error{exhausted} if it cannot be written; `throw_failure` gives the same again.
    void commit();
    /// Renames the file. REQUIRES: it is committed.
    void publish();
    /// Waits until the storage has it. @throws Error{exhausted}
    void sync();

    /// Space of elements that nothing will name once the next commit is done; it is used again from then on.
    void release(haddr_t address, hsize_t size);

    /// @throws Error{exhausted} if a write has failed, whatever the library made of it.
    void throw_failure() const;
    /// Runs what uses the library on this file. @throws what the body throws; the disk's reason instead of the
    /// library's, if a write has failed.
    template <class Body>
    void guard(Body&& body) const {
        try {
            body();
        } catch (const Error&) {
            throw_failure();
            throw;
        }
        throw_failure();
    }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    // For the driver. They return false once a write has failed.
    [[nodiscard]] bool read(haddr_t address, std::span<std::byte> bytes) noexcept;
    [[nodiscard]] bool write(H5FD_mem_t type, haddr_t address, std::span<const std::byte> bytes);
    [[nodiscard]] haddr_t allocate(H5FD_mem_t type, hsize_t size) noexcept;
    [[nodiscard]] haddr_t end_of_allocations() const noexcept { return end_; }
    /// Takes no space back: what the library has just freed at the end may still be what a reader finds.
    void set_end_of_allocations(haddr_t end) noexcept { end_ = std::max(end_, end); }
    [[nodiscard]] haddr_t end_of_file() const noexcept;
    /// The library has closed the file: commits what it wrote last.
    void close() noexcept;

private:
    using Pending = std::map<haddr_t, std::vector<std::byte>>;

    [[nodiscard]] bool apply();
    [[nodiscard]] int turn_of(const Pending::value_type& extent) const noexcept;
    [[nodiscard]] bool write_through(haddr_t address, std::span<const std::byte> bytes) noexcept;
    void carve(haddr_t from, haddr_t to);
    void refuse_others() const;
    [[nodiscard]] Id access() const;
    [[nodiscard]] const std::string& current_path() const noexcept { return published_ ? path_ : new_path_; }

    std::string path_;
    std::string new_path_;
    bool published_ = false;
    UniqueHandle<DescriptorTraits> file_;
    Pending pending_;
    std::vector<std::pair<hsize_t, haddr_t>> released_;  // until the commit
    std::multimap<hsize_t, haddr_t> reusable_;           // by size
    haddr_t end_ = 0;                                    // of the space given to the library
    haddr_t committed_end_ = 0;                          // beyond it lies nothing that a reader can find
    haddr_t file_end_ = 0;
    int error_ = 0;  // errno of the first failed write
};

}  // namespace penstock::hdf5
