#include "transports/ucx/blobs.hpp"

#include <utility>

namespace penstock::ucx {
namespace {

constexpr std::size_t usual = 256;

template <class Item>
[[nodiscard]] Item& take(std::deque<Item>& items, std::vector<std::uint32_t>& free) {
    if (free.empty()) {
        free.reserve(items.size() + 1);
        free.push_back(static_cast<std::uint32_t>(items.size()));
        items.emplace_back();
    }
    Item& item = items[free.back()];
    item.number = free.back();
    free.pop_back();
    return item;
}

}  // namespace

Blobs::Blobs(Wire& wire, const Arena& arena, ucp_mem_h registered, Peers& peers)
    : wire_{wire}, arena_{arena}, registered_{registered}, peers_{peers} {
    free_fetches_.reserve(usual);
    free_replies_.reserve(usual);
    ended_.reserve(usual);
}

void Blobs::fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) {
    Fetch& fetch = take(fetches_, free_fetches_);
    fetch.blobs = this;
    fetch.blob = blob;
    fetch.into = into;
    fetch.token = token;
    if (under_way_ < most_under_way() && waiting_.empty()) {
        start(fetch.number);
    } else {
        waiting_.push(fetch.number);
    }
}

void Blobs::start(std::uint32_t number) {
    Fetch& fetch = fetches_[number];
    fetch.is_asked = true;
    ++under_way_;
    Peer& owner = *peers_[fetch.blob.owner];
    if (fetch.into.empty()) return end(fetch, {});
    if (owner.gone()) return end(fetch, "its owner is gone");
    const std::uint64_t tag = random_();
    receive(fetch, tag);
    if (fetch.is_asked) owner.demand(tag, fetch.blob.offset, fetch.into.size());
}

void Blobs::receive(Fetch& fetch, std::uint64_t tag) {
    ucp_tag_recv_info_t info{};
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_RECV_INFO;
    param.cb.recv = &Blobs::on_receive;
    param.user_data = &fetch;
    param.recv_info.tag_info = &info;
    if (lies_in_arena(fetch.into.data(), fetch.into.size())) {
        param.op_attr_mask |= UCP_OP_ATTR_FIELD_MEMH;
        param.memh = registered_;
    }
    const ucs_status_ptr_t request =
        ucp_tag_recv_nbx(wire_.worker(), fetch.into.data(), fetch.into.size(), tag, ~std::uint64_t{0}, &param);
    if (UCS_PTR_IS_PTR(request)) {
        fetch.request = request;
    } else {
        on_received(fetch, UCS_PTR_RAW_STATUS(request), info.length);
    }
}

void Blobs::on_receive(void* request, ucs_status_t status, const ucp_tag_recv_info_t* info, void* fetch) noexcept {
    auto& ended = *static_cast<Fetch*>(fetch);
    ended.request = nullptr;
    ucp_request_free(request);
    ended.blobs->on_received(ended, status, info->length);
}

void Blobs::on_received(Fetch& fetch, ucs_status_t status, std::size_t bytes) {
    if (!fetch.is_asked) return put_back(fetch);  // told already
    if (status != UCS_OK && status != UCS_ERR_MESSAGE_TRUNCATED) return end(fetch, text_of(status));
    if (status == UCS_OK && bytes == fetch.into.size()) return end(fetch, {});
    end(fetch, status == UCS_OK && bytes == 0
                   ? std::string{"its owner refused it: it lies outside the owner's arena"}
                   : "its owner sent " + (status == UCS_OK ? std::to_string(bytes) : std::string{"more"}) +
                         " bytes instead of " + std::to_string(fetch.into.size()));
}

void Blobs::end(Fetch& fetch, std::string error) {
    fetch.is_asked = false;
    --under_way_;
    ended_.push_back({fetch.token, std::move(error)});
    put_back(fetch);
}

void Blobs::put_back(Fetch& fetch) {
    if (fetch.request == nullptr) free_fetches_.push_back(fetch.number);
}

void Blobs::give_up(Rank owner, const std::string& reason) {
    for (Fetch& fetch : fetches_) {
        if (!fetch.is_asked || fetch.blob.owner != owner) continue;
        end(fetch, reason);
        // What is on its way already cannot be stopped; then UCX ends it with the connection.
        if (fetch.request != nullptr) ucp_request_cancel(wire_.worker(), fetch.request);
    }
}

std::size_t Blobs::deliver(TransportEvents& events) {
    while (!waiting_.empty() && under_way_ < most_under_way()) start(waiting_.pop());
    std::size_t count = 0;
    while (told_ < ended_.size()) {
        const Ended one = std::move(ended_[told_++]);
        ++count;
        events.on_fetched(one.token, one.error);
    }
    ended_.clear();
    told_ = 0;
    return count;
}

bool Blobs::lies_in_arena(const std::byte* at, std::size_t bytes) const noexcept {
    const auto offset = static_cast<std::uint64_t>(at - arena_.base());
    return offset <= arena_.limit_bytes() && bytes <= arena_.limit_bytes() - offset;
}

void Blobs::answer(const Head& demand) {
    Peer& peer = *peers_[demand.from];
    const ucp_ep_h to = peer.state == Peer::State::here ? peer.endpoint.get() : nullptr;
    if (to == nullptr) return;
    Reply& reply = take(replies_, free_replies_);
    reply.blobs = this;
    const std::uint64_t limit = arena_.limit_bytes();
    const bool is_ours = demand.offset <= limit && demand.bytes <= limit - demand.offset;
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    param.cb.send = &Blobs::on_sent;
    param.user_data = &reply;
    if (is_ours) {
        param.op_attr_mask |= UCP_OP_ATTR_FIELD_MEMH;
        param.memh = registered_;
    }
    const ucs_status_ptr_t request = ucp_tag_send_nbx(to, is_ours ? arena_.at(demand.offset) : nullptr,
                                                      is_ours ? demand.bytes : 0, demand.tag, &param);
    if (UCS_PTR_IS_PTR(request)) return;
    free_replies_.push_back(reply.number);
    ++answered_;
    if (UCS_PTR_IS_ERR(request)) {
        wire_.add({.kind = Kind::broken, .head = {.from = demand.from}, .status = UCS_PTR_STATUS(request)});
    }
}

void Blobs::on_sent(void* request, ucs_status_t, void* reply) noexcept {
    // A failure is one of the connection, which says so; the receiver misses the blob, and reports.
    auto& sent = *static_cast<Reply*>(reply);
    sent.blobs->free_replies_.push_back(sent.number);
    ++sent.blobs->answered_;
    ucp_request_free(request);
}

}  // namespace penstock::ucx
