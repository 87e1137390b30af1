#include "operators/hdf5/commit_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

#include "base/quote.hpp"

namespace penstock::hdf5 {
namespace {

constexpr haddr_t page_bytes = 4096;
constexpr haddr_t largest_address = static_cast<haddr_t>(1) << 62U;
/// Between two pieces of metadata, so that the library cannot make the last one longer where it stands.
constexpr haddr_t gap_bytes = 8;

// --- the driver: C functions around a CommitFile ---

/// What the library calls a file. It must begin with the library's own part.
struct DriverFile {
    H5FD_t library{};
    CommitFile* file = nullptr;
};

CommitFile& file_of(const H5FD_t* driver_file) noexcept {
    return *reinterpret_cast<const DriverFile*>(driver_file)->file;
}

extern "C" {
static H5FD_t* driver_open(const char*, unsigned, hid_t access, haddr_t) {
    const auto* info = static_cast<CommitFile* const*>(H5Pget_driver_info(access));
    auto* opened = new (std::nothrow) DriverFile;
    if (info == nullptr || opened == nullptr) return nullptr;
    opened->file = *info;
    return &opened->library;
}
static herr_t driver_close(H5FD_t* file) {
    file_of(file).close();
    delete reinterpret_cast<DriverFile*>(file);
    return 0;
}
static int driver_compare(const H5FD_t* a, const H5FD_t* b) {
    return a == b ? 0 : (std::less<>{}(a, b) ? -1 : 1);
}
static herr_t driver_query(const H5FD_t*, unsigned long* flags) {
    if (flags != nullptr) *flags = 0;
    return 0;
}
static haddr_t driver_allocate(H5FD_t* file, H5FD_mem_t type, hid_t, hsize_t size) {
    return file_of(file).allocate(type, size);
}
static haddr_t driver_allocated(const H5FD_t* file, H5FD_mem_t) {
    return file_of(file).end_of_allocations();
}
static herr_t driver_set_allocated(H5FD_t* file, H5FD_mem_t, haddr_t end) {
    file_of(file).set_end_of_allocations(end);
    return 0;
}
static haddr_t driver_end(const H5FD_t* file, H5FD_mem_t) {
    return file_of(file).end_of_file();
}
static herr_t driver_read(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t size, void* into) {
    return file_of(file).read(address, {static_cast<std::byte*>(into), size}) ? 0 : -1;
}
static herr_t driver_write(H5FD_t* file, H5FD_mem_t type, hid_t, haddr_t address, size_t size, const void* from) {
    try {
        return file_of(file).write(type, address, {static_cast<const std::byte*>(from), size}) ? 0 : -1;
    } catch (const std::bad_alloc&) {
        return -1;
    }
}
}

/// Once in a process; the library keeps it.
hid_t driver() {
    static const hid_t id = [] {
        static H5FD_class_t description{};
        description.name = "penstock_commit";
#if H5_VERSION_GE(1, 13, 0)
        description.version = H5FD_CLASS_VERSION;
        description.value = 0x70656e73 % H5FD_MAX;
#endif
        description.maxaddr = largest_address;
        description.fc_degree = H5F_CLOSE_STRONG;
        description.fapl_size = sizeof(CommitFile*);
        description.open = driver_open;
        description.close = driver_close;
        description.cmp = driver_compare;
        description.query = driver_query;
        description.alloc = driver_allocate;
        description.get_eoa = driver_allocated;
        description.set_eoa = driver_set_allocated;
        description.get_eof = driver_end;
        description.read = driver_read;
        description.write = driver_write;
        return H5FDregister(&description);
    }();
    if (id < 0) throw Error{Errc::internal, "HDF5 does not take a file driver"};
    return id;
}

bool is_object_header(std::span<const std::byte> bytes) noexcept {
    return bytes.size() >= 4 &&
           (std::memcmp(bytes.data(), "OHDR", 4) == 0 || std::memcmp(bytes.data(), "OCHK", 4) == 0);
}

}  // namespace

void DescriptorTraits::release(int handle) noexcept {
    ::close(handle);
}

CommitFile::CommitFile(std::string path, Start start) : path_{std::move(path)}, new_path_{path_ + ".new"} {
    struct stat there {};
    const bool is_there = stat(path_.c_str(), &there) == 0;
    if (is_there && !S_ISREG(there.st_mode)) {
        throw Error{Errc::invalid_input,
                    "cannot write " + path_in_quotes(path_) +
                        ": it is no regular file, which HDF5 needs; set \"output\" to another name"};
    }
    published_ = is_there && start == Start::go_on;
    constexpr mode_t mode = 0644;
    const int how = published_ ? 0 : O_CREAT | (start == Start::anew ? O_TRUNC : 0);
    file_ = UniqueHandle<DescriptorTraits>{::open(current_path().c_str(), O_RDWR | O_CLOEXEC | how, mode)};
    if (!file_) {
        const int reason = errno;
        const bool full = reason == ENOSPC || reason == EDQUOT;
        throw Error{full ? Errc::exhausted : Errc::invalid_input,
                    "cannot " + std::string{published_ ? "go on with" : "create"} + " the output file " +
                        path_in_quotes(path_) + ": " + std::strerror(reason) +
                        "; set \"output\" to a file in a folder that can be written"};
    }
    if (start == Start::anew) return;
    refuse_others();
    if (!published_) {
        if (ftruncate(file_.get(), 0) != 0) error_ = errno;
        return;
    }
    // What lies behind the end that the superblock names was written by a process that was killed; nobody finds it.
    if (fstat(file_.get(), &there) != 0) error_ = errno;
    file_end_ = end_ = committed_end_ = static_cast<haddr_t>(there.st_size);
}

/// By a lock that keeps no reader out, as HDF5 takes locks of another kind.
void CommitFile::refuse_others() const {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
#if defined(F_OFD_SETLK)
    const int taken = fcntl(file_.get(), F_OFD_SETLK, &lock);
#else
    const int taken = fcntl(file_.get(), F_SETLK, &lock);
#endif
    if (taken == 0 || (errno != EAGAIN && errno != EACCES)) return;  // a file system without locks is taken as it is
    throw Error{Errc::invalid_input, "the output file " + path_in_quotes(path_) +
                                         " is being written by another stage or run; set \"output\" to another one"};
}

CommitFile::~CommitFile() {
    if (!published_) unlink(new_path_.c_str());
}

Id CommitFile::create() {
    const Id creation = made(H5Pcreate(H5P_FILE_CREATE), "HDF5 file properties");
    check(H5Pset_file_space_strategy(creation.get(), H5F_FSPACE_STRATEGY_NONE, false, 1), "HDF5 file space");
    // Everything about the root group stays in its header, which changes in one write.
    check(H5Pset_attr_phase_change(creation.get(), 64, 48), "HDF5 attributes");
    check(H5Pset_link_phase_change(creation.get(), 64, 48), "HDF5 links");
    Id file = made(H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, creation.get(), access().get()),
                   "cannot create the HDF5 file " + path_in_quotes(path_));
    check(H5Fset_libver_bounds(file.get(), H5F_LIBVER_V110, H5F_LIBVER_LATEST), "HDF5 format bounds");
    return file;
}

Id CommitFile::open() {
    Id file = made(H5Fopen(path_.c_str(), H5F_ACC_RDWR, access().get()),
                   "cannot open the HDF5 file " + path_in_quotes(path_));
    check(H5Fset_libver_bounds(file.get(), H5F_LIBVER_V110, H5F_LIBVER_LATEST), "HDF5 format bounds");
    return file;
}

Id CommitFile::access() const {
    Id access = made(H5Pcreate(H5P_FILE_ACCESS), "HDF5 file properties");
    const CommitFile* const self = this;
    check(H5Pset_driver(access.get(), driver(), &self), "HDF5 file driver");
    check(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), "HDF5 file properties");
    // The superblock of 1.8 has no marks that a killed writer would leave behind; the datasets are to have the
    // indexes of 1.10, which grow without moving what they have.
    check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_LATEST), "HDF5 format bounds");
    return access;
}

void CommitFile::commit() {
    if (!apply()) throw_failure();
}

void CommitFile::publish() {
    if (rename(new_path_.c_str(), path_.c_str()) != 0) {
        throw Error{Errc::invalid_input, "cannot give the output file " + path_in_quotes(path_) +
                                             " its name: " + std::strerror(errno) + "; set \"output\" to another name"};
    }
    published_ = true;
}

void CommitFile::sync() {
    if (error_ == 0 && fdatasync(file_.get()) != 0 && errno != EINVAL && errno != EROFS) error_ = errno;
    throw_failure();
}

void CommitFile::throw_failure() const {
    if (error_ == 0) return;
    throw Error{Errc::exhausted, "cannot write the output file " + path_in_quotes(path_) + ": " +
                                     std::strerror(error_) +
                                     "; it keeps what was settled; free space, or set \"output\" to a file elsewhere, "
                                     "and run again"};
}

bool CommitFile::read(haddr_t address, std::span<std::byte> bytes) noexcept {
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t got =
            pread(file_.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(address + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return false;
        if (got == 0) break;
        done += static_cast<std::size_t>(got);
    }
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(done), bytes.end(), std::byte{0});
    const haddr_t to = address + bytes.size();
    auto at = pending_.upper_bound(address);
    if (at != pending_.begin()) --at;
    for (; at != pending_.end() && at->first < to; ++at) {
        const haddr_t first = std::max(at->first, address);
        const haddr_t last = std::min<haddr_t>(at->first + at->second.size(), to);
        if (first < last) std::memcpy(&bytes[first - address], &at->second[first - at->first], last - first);
    }
    return true;
}

bool CommitFile::write(H5FD_mem_t type, haddr_t address, std::span<const std::byte> bytes) {
    if (error_ != 0 || bytes.empty()) return true;
    if (type == H5FD_MEM_DRAW) {
        carve(address, address + bytes.size());
        return write_through(address, bytes);
    }
    const auto same = pending_.find(address);
    if (same != pending_.end() && same->second.size() == bytes.size()) {
        std::copy(bytes.begin(), bytes.end(), same->second.begin());
        return true;
    }
    carve(address, address + bytes.size());
    pending_.insert_or_assign(address, std::vector<std::byte>(bytes.begin(), bytes.end()));
    return true;
}

void CommitFile::release(haddr_t address, hsize_t size) {
    released_.emplace_back(size, address);
}

/// Takes a range out of what waits.
void CommitFile::carve(haddr_t from, haddr_t to) {
    auto at = pending_.upper_bound(from);
    if (at != pending_.begin()) --at;
    while (at != pending_.end() && at->first < to) {
        const haddr_t first = at->first;
        const haddr_t last = first + at->second.size();
        if (last <= from) {
            ++at;
            continue;
        }
        std::vector<std::byte> bytes = std::move(at->second);
        at = pending_.erase(at);
        const auto cut = [&](haddr_t a, haddr_t b) {
            return std::vector<std::byte>(bytes.begin() + static_cast<std::ptrdiff_t>(a - first),
                                          bytes.begin() + static_cast<std::ptrdiff_t>(b - first));
        };
        if (first < from) pending_.emplace(first, cut(first, from));
        if (last > to) pending_.emplace(to, cut(to, last));
    }
}

haddr_t CommitFile::allocate(H5FD_mem_t type, hsize_t size) noexcept {
    const bool metadata = type != H5FD_MEM_DRAW;
    if (const auto free = metadata ? reusable_.end() : reusable_.find(size); free != reusable_.end()) {
        const haddr_t address = free->second;
        reusable_.erase(free);
        return address;
    }
    const haddr_t into_page = end_ % page_bytes;
    const bool across = into_page + size > page_bytes;
    const bool align = into_page != 0 && (metadata ? across : size >= page_bytes);
    const haddr_t address = align ? end_ - into_page + page_bytes : end_;
    if (size > largest_address - address) return HADDR_UNDEF;
    end_ = address + size + (metadata ? gap_bytes : 0);
    return address;
}

haddr_t CommitFile::end_of_file() const noexcept {
    if (pending_.empty()) return file_end_;
    const auto& last = *pending_.rbegin();
    return std::max<haddr_t>(file_end_, last.first + last.second.size());
}

void CommitFile::close() noexcept {
    try {
        if (!apply()) return;
    } catch (const std::bad_alloc&) {  // for the list of reusable space, which nobody needs any more
    }
    if (ftruncate(file_.get(), static_cast<off_t>(end_)) != 0 && error_ == 0) error_ = errno;
}

int CommitFile::turn_of(const Pending::value_type& extent) const noexcept {
    if (extent.first >= committed_end_) return 0;
    if (extent.first == 0) return 1;
    return is_object_header(extent.second) ? 3 : 2;
}

bool CommitFile::apply() {
    if (error_ != 0) return false;
    for (int turn = 0; turn < 4; ++turn) {
        if (turn == 1 && file_end_ < end_) {
            // A file that ends before its superblock says is refused.
            if (ftruncate(file_.get(), static_cast<off_t>(end_)) != 0) {
                error_ = errno;
                return false;
            }
            file_end_ = end_;
        }
        for (const auto& extent : pending_) {
            if (turn_of(extent) == turn && !write_through(extent.first, extent.second)) return false;
        }
    }
#if defined(__linux__)
    // The storage may begin with what is there; nobody waits for it. A file system that cannot does it later.
    constexpr haddr_t worth_it = 4U << 20U;
    if (end_ - committed_end_ >= worth_it)
        sync_file_range(file_.get(), static_cast<off_t>(committed_end_), static_cast<off_t>(end_ - committed_end_),
                        SYNC_FILE_RANGE_WRITE);
#endif
    committed_end_ = end_;
    pending_.clear();
    reusable_.insert(released_.begin(), released_.end());
    released_.clear();
    return true;
}

bool CommitFile::write_through(haddr_t address, std::span<const std::byte> bytes) noexcept {
    while (!bytes.empty()) {
        const ssize_t written = pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(address));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            error_ = written < 0 ? errno : ENOSPC;
            return false;
        }
        address += static_cast<haddr_t>(written);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
        file_end_ = std::max(file_end_, address);
    }
    return true;
}

}  // namespace penstock::hdf5
