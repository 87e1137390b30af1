#include "launch/binding.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <optional>
#include <set>
#include <tuple>

#include <nlohmann/json.hpp>
#include <sched.h>

#include <penstock/error.hpp>

#include "base/cores.hpp"

namespace penstock {
namespace {

using Json = nlohmann::json;

[[nodiscard]] std::size_t cores_of(const Machine& machine) {
    return std::accumulate(machine.nodes.begin(), machine.nodes.end(), std::size_t{0},
                           [](std::size_t sum, const NumaNode& node) { return sum + node.cores.size(); });
}

void sort_unique(std::vector<int>& numbers) {
    std::ranges::sort(numbers);
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
}

/// The cores that nobody has been given yet.
class FreeCores {
public:
    explicit FreeCores(const Machine& machine) : machine_{machine}, used_(machine.nodes.size()) {}

    /// From one node if there is one that has so many left, else from several.
    [[nodiscard]] Binding take(std::size_t cores) {
        Binding binding;
        std::size_t from = 0;
        while (from < used_.size() && left(from) < cores) ++from;
        for (std::size_t node = from < used_.size() ? from : 0; cores > 0; ++node) {
            for (; cores > 0 && left(node) > 0; --cores) take_one(node, binding);
        }
        std::ranges::sort(binding.cpus);
        sort_unique(binding.nodes);
        return binding;
    }

private:
    [[nodiscard]] std::size_t left(std::size_t node) const { return machine_.nodes[node].cores.size() - used_[node]; }
    void take_one(std::size_t node, Binding& binding) {
        const std::vector<int>& core = machine_.nodes[node].cores[used_[node]++];
        binding.cpus.insert(binding.cpus.end(), core.begin(), core.end());
        binding.nodes.push_back(machine_.nodes[node].number);
    }

    const Machine& machine_;
    std::vector<std::size_t> used_;  // by node
};

[[nodiscard]] std::vector<Binding> bind_to_cores(const Machine& machine, const std::vector<int>& threads) {
    const auto needed = static_cast<std::size_t>(std::accumulate(threads.begin(), threads.end(), 0));
    if (needed > cores_of(machine)) {
        throw Error{Errc::invalid_input,
                    "the instances of this host have " + std::to_string(needed) + " threads, but it has " +
                        std::to_string(cores_of(machine)) +
                        " cores for them; ask for fewer instances or threads, or take --bind numa or none"};
    }
    FreeCores free{machine};
    std::vector<Binding> all;
    for (const int mine : threads) all.push_back(free.take(static_cast<std::size_t>(mine)));
    return all;
}

/// Each node gets as large a share of the threads as it has of the cores.
[[nodiscard]] std::vector<Binding> bind_to_nodes(const Machine& machine, const std::vector<int>& threads) {
    const auto all_threads = static_cast<double>(std::accumulate(threads.begin(), threads.end(), 0));
    const auto all_cores = static_cast<double>(cores_of(machine));
    std::vector<Binding> all;
    double before = 0;
    for (const int mine : threads) {
        Binding binding;
        const double middle = (before + mine / 2.0) / all_threads * all_cores;
        before += mine;
        double end = 0;
        for (const NumaNode& node : machine.nodes) {
            end += static_cast<double>(node.cores.size());
            if (mine == 0 || middle >= end) continue;
            for (const std::vector<int>& core : node.cores)
                binding.cpus.insert(binding.cpus.end(), core.begin(), core.end());
            std::ranges::sort(binding.cpus);
            binding.nodes = {node.number};
            break;
        }
        all.push_back(std::move(binding));
    }
    return all;
}

/// What the processes of a host may run on together.
struct Host {
    std::vector<int> cpus;
    std::vector<int> threads;   ///< By process.
    std::size_t self = 0;       ///< Which of them asks.
    bool is_launchers = false;  ///< Somebody has given them different processors.
};

[[nodiscard]] Host host_of(const std::vector<CpuOffer>& offers, Rank rank) {
    Host host;
    std::set<std::vector<int>> different;
    for (Rank other = 0; other < offers.size(); ++other) {
        if (offers[other].host != offers[rank].host) continue;
        if (other == rank) host.self = host.threads.size();
        host.threads.push_back(offers[other].threads);
        host.cpus.insert(host.cpus.end(), offers[other].cpus.begin(), offers[other].cpus.end());
        different.insert(offers[other].cpus);
    }
    sort_unique(host.cpus);
    host.is_launchers = different.size() > 1;
    return host;
}

}  // namespace

std::string CpuOffer::encode() const {
    return Json{host, cpus, threads}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

CpuOffer CpuOffer::decode(const std::string& text) {
    CpuOffer offer;
    try {
        std::tie(offer.host, offer.cpus, offer.threads) =
            Json::parse(text).get<std::tuple<std::string, std::vector<int>, int>>();
    } catch (const Json::exception&) {
        throw Error{Errc::internal, "a broken list of processors"};
    }
    return offer;
}

std::vector<Binding> bindings(const Machine& machine, Bind bind, const std::vector<int>& threads) {
    switch (bind) {
        case Bind::core: return bind_to_cores(machine, threads);
        case Bind::automatic:
        case Bind::numa: return bind_to_nodes(machine, threads);
        case Bind::none: break;
    }
    return std::vector<Binding>(threads.size());
}

Placement place_process(Bind bind, const std::vector<CpuOffer>& offers, Rank rank) {
    const Host host = host_of(offers, rank);
    Placement placement{.is_crowded = host.threads.size() > host.cpus.size()};
    if (bind == Bind::none) {
        placement.reason = "as asked for";
        return placement;
    }
    if (bind == Bind::automatic && host.is_launchers) {
        placement.reason = "what started the processes has placed them";
        return placement;
    }
    if (bind == Bind::automatic && !has_several_numa_nodes()) {
        placement.reason = "all memory is equally near";
        return placement;
    }
    std::optional<Machine> machine;
    try {
        machine = Machine::here(host.cpus);
    } catch (const Error& error) {
        if (bind != Bind::automatic) throw;
        placement.reason = error.what();
        return placement;
    }
    placement.binding = bindings(*machine, bind, host.threads)[host.self];
    placement.reason = bind == Bind::core ? "cores of its own" : "a share of the cores of each NUMA node";
    return placement;
}

void bind_thread(const std::vector<int>& cpus) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        throw Error{Errc::failed, "cannot be bound to the processors " + cpu_list(cpus) + ": " + std::strerror(errno) +
                                      "; take --bind none"};
    }
}

}  // namespace penstock
