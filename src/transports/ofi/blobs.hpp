#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/fifo.hpp"
#include "memory/arena.hpp"
#include "transports/ofi/peer.hpp"
#include "transports/ofi/watch.hpp"
#include "transports/ofi/wire.hpp"
#include "transports/transport.hpp"

namespace penstock::ofi {

/// Fetches blobs from others and sends ours to those who ask.
///
/// A blob is fetched in parts, a few at a time over all blobs, and a long one on all rails at once. Where the device
/// reads remote memory, a part is one read. Otherwise the owner is asked: to send the part under a tag, for which its
/// place in the destination is posted as a buffer; or, where the provider has no tags or the destination is not
/// registered, to send it in chunks, for which there are buffers, and which are copied to their places. So nothing is
/// sent that has no buffer waiting for it.
class Blobs {
public:
    using Peers = std::vector<std::unique_ptr<Peer>>;

    /// @param reads  Whether the devices of all read remote memory.
    Blobs(Wire& wire, const Arena& arena, Peers& peers, const RemoteArenas& arenas, bool reads);
    Blobs(const Blobs&) = delete;
    Blobs& operator=(const Blobs&) = delete;

    [[nodiscard]] bool reads() const noexcept { return reads_; }
    /// REQUIRED before the first fetch; nothing may be under way.
    void use(const Thresholds& thresholds);

    enum class How : std::uint8_t {
        best,
        try_reads,   ///< On all rails, however short it is.
        try_owners,  ///< Likewise, and the owner is asked even where the device could read.
    };
    /// `into` stays valid until the fetch has ended.
    void fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token, How how = How::best);
    /// A peer asks for a part of a blob. @return false if it may not.
    [[nodiscard]] bool on_demand(const Head& demand);
    /// @return false if it is no chunk of anything that its sender could have been asked for.
    [[nodiscard]] bool on_chunk(const Head& head, std::span<const std::byte> bytes);
    /// Of a read, or of what was sent or received under a tag.
    void on_completed(const Completion& completion);
    /// Begins what waits, as far as there is room.
    void go_on();
    /// Ends the fetches from a peer that is gone, and does not answer it any more; `deliver` says so.
    void give_up(Rank owner, const std::string& reason);
    /// Tells of the fetches that have ended. @return how many.
    std::size_t deliver(TransportEvents& events);

    [[nodiscard]] bool has_news() const noexcept { return !ended_.empty(); }
    /// How many bytes were sent to those who asked, as far as libfabric has taken them.
    [[nodiscard]] std::uint64_t answered_bytes() const noexcept { return answered_bytes_; }
    /// On which rails parts are under way, as far as there are several.
    [[nodiscard]] std::string rails_in_use() const;
    [[nodiscard]] bool answering() const noexcept { return !replies_.empty() || sends_.size() != free_sends_.size(); }

private:
    static constexpr std::uint32_t nobody = ~std::uint32_t{0};

    struct Fetch {
        BlobRef blob{};
        std::span<std::byte> into;
        std::uint64_t token = 0;
        std::size_t asked = 0;    ///< Bytes.
        std::uint32_t parts = 0;  ///< Under way.
        How how = How::best;
        bool is_open = false;
        bool is_waiting = false;  ///< It is in the queue, and its number is not free.
    };
    /// Each has a number, which is also the lower byte of its tag and says on which rail it is.
    struct Part {
        Operation operation;
        std::uint32_t fetch = nobody;
        std::uint32_t turn = 0;    ///< How often it was used: what comes for an earlier use is told by its tag.
        std::uint64_t offset = 0;  ///< In the owner's arena.
        std::span<std::byte> into;
        std::size_t got = 0;
        bool is_under_way = false;  ///< libfabric has the operation.
        bool is_to_ask = false;     ///< The receive is posted, but its owner could not be asked yet.
    };
    struct Ended {
        std::uint64_t token = 0;
        std::string error;  ///< Empty, and without memory of its own, if all is well.
    };
    /// A demand of somebody else, being answered.
    struct Reply {
        Rank to = 0;
        std::uint32_t rail = 0;
        bool tagged = false;
        std::uint64_t tag = 0;
        std::span<const std::byte> bytes;
        std::size_t sent = 0;
    };

    static constexpr std::size_t most_replies_to_one = 64;

    [[nodiscard]] bool lies_in_arena(std::span<const std::byte> bytes) const noexcept;
    [[nodiscard]] std::size_t share_of_a_rail(const Fetch& fetch) const noexcept;
    [[nodiscard]] bool may_use_directly(const Fetch& fetch) const noexcept;
    /// Begins the next part of a fetch. @return false: try again later.
    [[nodiscard]] bool begin_part(std::uint32_t fetch);
    [[nodiscard]] bool begin_read(const Fetch& fetch, Part& part);
    [[nodiscard]] bool begin_tagged(const Fetch& fetch, Part& part);
    [[nodiscard]] bool ask(Part& part, Kind kind);
    [[nodiscard]] std::uint64_t tag_of(const Part& part) const noexcept;
    void end_part(Part& part);
    void free_part(Part& part);
    void free_fetch(std::uint32_t number);
    void note_outcome(const Completion& completion);
    void on_received(Part& part, const Completion& completion);
    void end(std::uint32_t fetch, std::string error);
    /// @return whether it is answered in full.
    [[nodiscard]] bool go_on(Reply& reply);
    [[nodiscard]] bool send_tagged(const Reply& reply);

    Wire& wire_;
    const Arena& arena_;
    Peers& peers_;
    const RemoteArenas& arenas_;
    bool reads_;
    std::size_t longest_part_ = 0;
    std::size_t longest_chunk_;
    std::uint32_t chunks_;  // of a part
    std::deque<Fetch> fetches_;
    std::vector<std::uint32_t> free_fetches_;
    Fifo<std::uint32_t> waiting_;     // fetches with something not asked for yet
    std::deque<Part> parts_;          // a deque: libfabric keeps addresses into it
    Fifo<std::uint32_t> free_parts_;  // in turn, so that what follows each other is on different rails
    std::vector<Reply> replies_;
    std::deque<Operation> sends_;  // under a tag
    std::vector<std::uint32_t> free_sends_;
    std::uint64_t answered_bytes_ = 0;
    std::vector<Ended> ended_;
    std::size_t told_ = 0;  // of those
};

}  // namespace penstock::ofi
