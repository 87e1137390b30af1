#include "transports/shm/shm_transport.hpp"

#include <cstring>
#include <map>
#include <new>
#include <optional>
#include <utility>

#include <unistd.h>

#include "base/process_space.hpp"
#include "transports/shm/ring.hpp"

namespace penstock {
namespace {

constexpr std::size_t ring_bytes = 256U << 10U;
constexpr std::size_t largest_frame = ring_bytes / 2 - shm::word_bytes;
constexpr std::size_t frames_per_poll = 256;

/// What a process says about itself when the run starts; behind it stands who can open its memory.
struct Announcement {
    ArenaAddress arena;
    std::uint64_t directory_offset;
};

/// Processes with the same text see each other's under /proc, or none of them does. Empty for one that does not know.
[[nodiscard]] std::string neighbourhood() {
    const std::string space = process_space();
    return space == "unknown" ? "" : space + " " + std::to_string(geteuid());
}

}  // namespace

/// One process's page of contents, in its arena: an entry per rank.
struct ShmTransport::Directory {
    struct Entry {
        alignas(64) std::atomic<std::uint64_t> outbox{0};    ///< Offset of my ring to that rank; 0 before `connect`.
        alignas(64) std::atomic<std::uint64_t> consumed{0};  ///< How far I have read that rank's ring to me.
    };
    Entry entries[1];  // as many as there are ranks

    [[nodiscard]] static std::size_t bytes(Rank ranks) noexcept { return sizeof(Entry) * ranks; }
};

struct ShmTransport::Peer {
    Rank rank;
    Announcement announced;
    std::optional<RemoteArena> arena = {};    // mapped when it is first needed
    const Directory::Entry* entry = nullptr;  // of that process, about us
    Doorbell* doorbell = nullptr;
    Block outbox_block{};
    shm::RingWriter outbox;
    shm::RingReader inbox;
    bool connected = false;
    bool refused = false;  // a reservation; what the reader frees since then ends a wait
    bool wants_room = false;
    bool open = false;
    bool lost = false;
};

ShmTransport::ShmTransport(Bootstrap& bootstrap, Arena& arena) : arena_{arena}, self_{bootstrap.rank()} {
    const Rank ranks = bootstrap.size();
    capabilities_ = {.maps = true,
                     .native_read = true,
                     .device_memory = false,
                     .can_block = true,
                     .max_frame_bytes = largest_frame,
                     .inline_bytes = 256};
    const auto block = arena.allocate(Directory::bytes(ranks));
    if (!block) throw Error{Errc::exhausted, "the arena is too small for the directory of the run; raise --arena-mib"};
    directory_block_ = *block;
    directory_ = reinterpret_cast<Directory*>(arena.at(block->offset));
    for (Rank rank = 0; rank < ranks; ++rank) new (&directory_->entries[rank]) Directory::Entry;

    const Announcement mine{arena.address(), block->offset};
    find_peers(bootstrap.allgather(std::string{reinterpret_cast<const char*>(&mine), sizeof mine} + neighbourhood()));
}

void ShmTransport::find_peers(const std::vector<std::string>& announcements) {
    const auto ranks = static_cast<Rank>(announcements.size());
    peers_.resize(ranks);
    reasons_.resize(ranks);
    // One of each neighbourhood is mapped, and speaks for all of it: each process would map hundreds otherwise. The one
    // that follows this rank, so that not all try the same.
    std::map<std::string, Rank> tried;
    for (Rank step = 1; step <= ranks; ++step) {
        const Rank rank = (self_ + step) % ranks;
        const std::string& text = announcements[rank];
        Announcement theirs{};
        if (text.size() < sizeof theirs) {
            reasons_[rank] = "it announced no arena";
            continue;
        }
        std::memcpy(&theirs, text.data(), sizeof theirs);
        std::unique_ptr<Peer> peer{new Peer{.rank = rank, .announced = theirs, .outbox = {}, .inbox = {}}};
        const std::string neighbours = text.substr(sizeof theirs);
        const auto [spokesman, is_first] = tried.emplace(neighbours, rank);
        if (is_first || neighbours.empty()) {
            reasons_[rank] = map(*peer);
        } else {
            reasons_[rank] = reasons_[spokesman->second];
        }
        if (reasons_[rank].empty()) peers_[rank] = std::move(peer);
    }
}

std::string ShmTransport::map(Peer& peer) const {
    std::string why;
    auto remote = RemoteArena::map(peer.announced.arena, why);
    if (!remote) return why;
    const auto ranks = static_cast<Rank>(peers_.size());
    const auto* entries = remote->view(peer.announced.directory_offset, Directory::bytes(ranks));
    if (entries == nullptr) return "its directory lies outside its arena";
    peer.arena = std::move(remote);
    peer.entry = &reinterpret_cast<const Directory*>(entries)->entries[self_];
    peer.doorbell = reinterpret_cast<Doorbell*>(peer.arena->doorbell());
    return {};
}

ShmTransport::Peer& ShmTransport::mapped(Rank rank) {
    Peer& peer = *peers_[rank];
    if (peer.arena) return peer;
    const std::string why = map(peer);
    if (why.empty()) return peer;
    throw Error{Errc::disconnected, "the shared memory of rank " + std::to_string(rank) +
                                        ", which is on the same node, cannot be mapped: " + why};
}

ShmTransport::~ShmTransport() {
    for (const Peer* peer : connected_) arena_.release(peer->outbox_block);
    arena_.release(directory_block_);
}

void ShmTransport::ring(Peer& peer) noexcept {
    if (peer.doorbell->ring(sleepers_fence_)) peer.arena->write_to_bell_pipe();
}

void ShmTransport::connect(Rank rank) {
    if (!reaches(rank))
        throw Error{Errc::unsupported, "no shared memory with rank " + std::to_string(rank) + ": " + reasons_[rank]};
    Peer& peer = mapped(rank);
    if (peer.connected) return;
    const auto block = arena_.allocate(shm::RingHead::bytes(ring_bytes));
    if (!block) throw Error{Errc::exhausted, "the arena is too small for a ring per peer; raise --arena-mib"};
    peer.outbox_block = *block;
    auto* head = new (arena_.at(block->offset)) shm::RingHead;
    peer.outbox = shm::RingWriter{head, ring_bytes, &peer.entry->consumed};
    peer.connected = true;
    connected_.push_back(&peer);
    directory_->entries[rank].outbox.store(block->offset, std::memory_order_release);
    ring(peer);
}

std::span<std::byte> ShmTransport::reserve(Rank rank, std::size_t bytes) {
    Peer& peer = *peers_[rank];
    const auto room = peer.outbox.reserve(bytes);
    if (room.empty()) {
        peer.refused = peer.wants_room = true;
    } else if (std::exchange(peer.wants_room, false)) {
        peer.outbox.want_nothing();
    }
    return room;
}

void ShmTransport::commit(Rank rank) {
    Peer& peer = *peers_[rank];
    peer.outbox.commit();
    ring(peer);
}

bool ShmTransport::drained() const {
    for (const Peer* peer : connected_) {
        if (!peer->lost && !peer->outbox.drained()) return false;
    }
    return true;
}

void ShmTransport::forget(Rank rank) {
    peers_[rank]->lost = true;
}

void ShmTransport::open_inbox(Peer& peer) {
    const std::uint64_t offset = peer.entry->outbox.load(std::memory_order_acquire);
    if (offset == 0) return;
    const std::byte* ring = offset % 64 == 0 ? peer.arena->view(offset, shm::RingHead::bytes(ring_bytes)) : nullptr;
    peer.open = true;
    peer.lost = ring == nullptr;
    if (peer.lost) return;
    peer.inbox = shm::RingReader{reinterpret_cast<const shm::RingHead*>(ring), ring_bytes,
                                 &directory_->entries[peer.rank].consumed};
}

std::size_t ShmTransport::poll_peer(Peer& peer, TransportEvents& events) {
    if (peer.lost) return 0;
    if (!peer.open) {
        open_inbox(peer);
        if (!peer.open) return 0;
    }
    std::size_t count = 0;
    if (peer.lost || peer.inbox.read(frames_per_poll, count, [&](std::span<const std::byte> frame) {
            events.on_frame(peer.rank, frame);
        }) == shm::RingReader::Result::broken) {
        peer.lost = true;
        events.on_lost(peer.rank, "its ring in shared memory is broken");
        return count + 1;
    }
    if (count != 0) {
        Doorbell::fence(sleepers_fence_);
        if (peer.inbox.has_room_wanted()) ring(peer);
    }
    return count;
}

std::size_t ShmTransport::poll(TransportEvents& events) {
    std::size_t count = 0;
    for (Peer* peer : connected_) count += poll_peer(*peer, events);
    if (!fetched_.empty()) {
        const auto done = std::exchange(fetched_, {});
        for (const Fetched& fetch : done) events.on_fetched(fetch.token, fetch.error);
        count += done.size();
    }
    return count;
}

bool ShmTransport::something_waits() {
    if (!fetched_.empty()) return true;
    for (Peer* peer : connected_) {
        if (peer->lost) continue;
        if (peer->refused && peer->outbox.has_new_room()) {
            peer->refused = false;  // said once; whoever still wants the room asks again
            return true;
        }
        if (!peer->open ? peer->entry->outbox.load(std::memory_order_acquire) != 0 : !peer->inbox.empty()) return true;
    }
    return false;
}

void ShmTransport::wait(std::chrono::nanoseconds timeout) {
    auto* bell = reinterpret_cast<Doorbell*>(arena_.doorbell());
    bell->arm();
    if (!something_waits() && !woken_.load(std::memory_order_relaxed)) bell->sleep(timeout);
    bell->disarm();
    woken_.store(false, std::memory_order_relaxed);
}

void ShmTransport::wake() noexcept {
    woken_.store(true, std::memory_order_relaxed);
    if (reinterpret_cast<Doorbell*>(arena_.doorbell())->wake()) arena_.write_to_bell_pipe();
}

int ShmTransport::arm(std::chrono::nanoseconds& timeout) {
    reinterpret_cast<Doorbell*>(arena_.doorbell())->arm(Doorbell::asleep_on_pipe);
    if (something_waits() || woken_.exchange(false, std::memory_order_relaxed)) timeout = {};
    return arena_.bell_pipe();
}

void ShmTransport::disarm() {
    // Who has rung may not have written yet; that ends the next sleep early, once.
    auto& word = reinterpret_cast<Doorbell*>(arena_.doorbell())->word;
    if (word.exchange(Doorbell::awake, std::memory_order_relaxed) == Doorbell::awake) arena_.empty_bell_pipe();
}

const std::byte* ShmTransport::map(const BlobRef& blob) {
    const bool is_known = blob.owner < peers_.size() && reaches(blob.owner);
    const std::byte* bytes = is_known ? mapped(blob.owner).arena->view(blob.offset, blob.bytes) : nullptr;
    if (bytes == nullptr) {
        throw Error{Errc::invalid_input, "rank " + std::to_string(blob.owner) + " named a blob outside its arena"};
    }
    return bytes;
}

void ShmTransport::fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) {
    std::string error;
    try {
        std::memcpy(into.data(), map(blob), into.size());
    } catch (const Error& failure) {
        error = failure.what();
    }
    fetched_.push_back({token, std::move(error)});
}

}  // namespace penstock
