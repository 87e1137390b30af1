#include "runtime/signals.hpp"

#include <atomic>
#include <thread>

namespace penstock {
namespace {

// A signal handler can reach nothing but globals.
std::atomic<Reactor*> to_wake{nullptr};
std::atomic<int> first_signal{0};
std::atomic<int> signal_count{0};
std::atomic<int> handlers{0};  // that use the reactor, on other threads

void wake_reactor() noexcept {
    handlers.fetch_add(1);
    if (Reactor* reactor = to_wake.load()) reactor->wake();
    handlers.fetch_sub(1);
}

extern "C" void on_stop_signal(int number) {
    int none = 0;
    first_signal.compare_exchange_strong(none, number);
    signal_count.fetch_add(1);
    wake_reactor();
}

extern "C" void on_child_signal(int) {
    wake_reactor();
}

}  // namespace

SignalWatch::SignalWatch(Reactor& reactor, bool ignore_interrupt) {
    first_signal = 0;
    signal_count = 0;
    to_wake = &reactor;
    struct sigaction action {};
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_stop_signal;
    sigaction(SIGTERM, &action, &old_terminate_);
    sigaction(SIGHUP, nullptr, &old_hangup_);
    if (old_hangup_.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup
    sigaction(SIGUSR1, &action, &old_user_);
    sigset_t user;
    sigemptyset(&user);
    sigaddset(&user, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &user, nullptr);
    if (ignore_interrupt) action.sa_handler = SIG_IGN;
    sigaction(SIGINT, &action, &old_interrupt_);
    action.sa_handler = on_child_signal;
    action.sa_flags = SA_NOCLDSTOP | SA_RESTART;
    sigaction(SIGCHLD, &action, &old_child_);
    action.sa_handler = SIG_IGN;  // a file larger than allowed is an error of the call that writes it
    action.sa_flags = 0;
    sigaction(SIGXFSZ, &action, &old_file_size_);
}

SignalWatch::~SignalWatch() {
    sigaction(SIGINT, &old_interrupt_, nullptr);
    sigaction(SIGTERM, &old_terminate_, nullptr);
    sigaction(SIGHUP, &old_hangup_, nullptr);
    sigaction(SIGUSR1, &old_user_, nullptr);
    sigaction(SIGXFSZ, &old_file_size_, nullptr);
    sigaction(SIGCHLD, &old_child_, nullptr);
    to_wake = nullptr;
    while (handlers.load() != 0) std::this_thread::yield();  // bounded: they wait for nobody
}

int SignalWatch::received() noexcept {
    return first_signal.load();
}

int SignalWatch::count() noexcept {
    return signal_count.load();
}

}  // namespace penstock
