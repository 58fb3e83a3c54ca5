#include "support/death.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/deadline.h"
#include "api/status.h"
#include "support/inherited.h"
#include "support/payload.h"
#include "support/sleep.h"
#include "support/worker.h"

namespace crucible::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBytes = 64;
constexpr std::size_t kFillBytes = 4096;  // fills the largest buffers in a moment
constexpr auto kPatience = 1s;            // of a call; whoever notices at all does so in a tenth of it
constexpr std::int64_t kMillisecond = 1'000'000;

using Counter = std::atomic<std::uint64_t>;
std::shared_ptr<Counter[]> shared_counter() {
  return make_inherited<Counter>(1, [](Counter* at) { new (at) Counter(0); });
}

/// The process at the other end, which does `act` until it is killed.
class Victim {
 public:
  Victim(ConnectionPair& ends, const std::function<void(Connection&)>& act) {
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ < 0) throw_errno("fork");
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(EXIT_FAILURE);
      ends.first.reset();
      act(*ends.second);
      while (true) pause();
    }
    ends.second.reset();
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  ~Victim() {
    if (killer_.joinable()) killer_.join();
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  /// Kills it from another thread once `moment` has returned there.
  void kill_after(std::function<void()> moment) {
    killer_ = std::thread([this, moment = std::move(moment)] {
      moment();
      killed_ns_ = Deadline::now_ns();
      ::kill(pid_, SIGKILL);
    });
  }
  /// When the signal was sent; far in the future before that.
  std::int64_t killed_ns() const noexcept { return killed_ns_; }

 private:
  pid_t pid_ = -1;
  std::atomic<std::int64_t> killed_ns_ = INT64_MAX;
  std::thread killer_;
};

/// What Crucible's objects are called where names outlive processes.
std::set<std::string> names() {
  std::set<std::string> found;
  for (const char* directory : {"/dev/shm", "/tmp"}) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
      if (!entry.path().filename().string().starts_with("crucible") || entry.is_directory(error)) continue;
      found.insert(entry.path());
    }
  }
  return found;
}

/// Whether some process of another run has it mapped or listens at it.
bool in_use(const std::string& name) {
  const auto mentions = [&name](const std::filesystem::path& file) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
      if (line.find(name) != std::string::npos) return true;
    }
    return false;
  };
  if (mentions("/proc/net/unix")) return true;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string pid = entry.path().filename();
    if (std::isdigit(static_cast<unsigned char>(pid.front())) != 0 && mentions(entry.path() / "maps")) return true;
  }
  return false;
}

/// What a survivor found out.
struct Account {
  bool noticed = false;
  std::int64_t notice_ns = 0;
  std::uint64_t sent = 0, received = 0, after_death = 0;
};

/// One kill, from the survivor's side: a process of its own, since it may never come back from a call.
class Scene {
 public:
  explicit Scene(ConnectionPair ends) : ends_(std::move(ends)), payload_(kBytes), buffer_(kBytes) {}

  Account kill_while_receiving(std::int64_t settle_ns) {
    Victim victim(ends_, [this](Connection& end) { (void)send(end, 1); });
    if (receive(1) != Status::kOk) return {};
    victim.kill_after([settle_ns] { sleep_until(Deadline::now_ns() + settle_ns); });
    const bool noticed = receive(2) != Status::kTimeout;
    return {.noticed = noticed, .notice_ns = Deadline::now_ns() - victim.killed_ns()};
  }

  Account kill_while_streaming(std::int64_t delay_ns) {
    const auto sent = shared_counter();
    Victim victim(ends_, [&](Connection& end) {
      while (send(end, sent[0] + 1) == Status::kOk) ++sent[0];
    });
    victim.kill_after([delay_ns] { sleep_until(Deadline::now_ns() + delay_ns); });
    Account account;
    Status status = Status::kOk;
    while ((status = receive(account.received + 1)) == Status::kOk) {
      ++account.received;
      if (Deadline::now_ns() > victim.killed_ns()) ++account.after_death;
    }
    account.noticed = status != Status::kTimeout;
    account.sent = sent[0];
    return account;
  }

  Account kill_while_sending() {
    Counter passed = 0;
    Victim victim(ends_, [](Connection&) {});
    victim.kill_after([&] { wait_until_still(passed); });
    const std::vector<std::byte> message(kFillBytes);
    Status status = Status::kOk;
    while (status == Status::kOk) {
      status = ends_.first->send_bytes(message, Deadline::after(kPatience));
      ++passed;
    }
    return {.noticed = status != Status::kTimeout, .notice_ns = Deadline::now_ns() - victim.killed_ns()};
  }

 private:
  static void wait_until_still(const Counter& passed) {
    constexpr std::int64_t kStillNs = 10 * kMillisecond;
    constexpr int kMostLooks = 50;
    std::uint64_t seen = 0;
    for (int look = 0; look < kMostLooks; ++look) {
      sleep_until(Deadline::now_ns() + kStillNs);
      if (std::exchange(seen, passed.load()) == seen && seen > 0) return;
    }
  }
  Status send(Connection& end, std::uint64_t sequence) const {
    std::array<std::byte, kBytes> message;
    payload_.fill(message);
    payload_.stamp(message, sequence);
    return end.send_bytes(message);
  }
  Status receive(std::uint64_t sequence) const {
    std::size_t received = 0;
    const Status status = ends_.first->recv_bytes_into(buffer_.span(), received, Deadline::after(kPatience));
    if (status == Status::kOk) payload_.verify(buffer_.span(), received, sequence);
    return status;
  }

  ConnectionPair ends_;
  const Payload payload_;
  const Buffer buffer_;
};

class Study {
 public:
  explicit Study(const std::function<ConnectionPair()>& make) : make_(make), before_(names()) {}

  void round(int number) {
    // Long enough until naps have become as long as they will, and at no fixed phase of them.
    const std::int64_t settle_ns = 60 * kMillisecond + number * 61 * kMillisecond % (40 * kMillisecond);
    const std::int64_t delay_ns = 2 * kMillisecond + static_cast<std::int64_t>(random_() % (4 * kMillisecond));
    if (const auto told = survive([=](Scene& scene) { return scene.kill_while_receiving(settle_ns); })) {
      notices_.push_back(static_cast<double>(told->notice_ns));
    }
    if (const auto told = survive([=](Scene& scene) { return scene.kill_while_streaming(delay_ns); })) {
      sent_ += told->sent;
      after_death_ += told->after_death;
      // One more may have arrived, whose send had not returned yet.
      lost_ += told->sent - std::min(told->sent, told->received);
    }
    if (const auto told = survive([](Scene& scene) { return scene.kill_while_sending(); })) {
      sender_notices_.push_back(static_cast<double>(told->notice_ns));
    }
  }

  Json found() const {
    std::uint64_t left_over = 0;
    for (const std::string& name : names()) left_over += before_.contains(name) || in_use(name) ? 0 : 1;
    Json figures = {{"sent", sent_},   {"received_after_death", after_death_},
                    {"lost", lost_},   {"left_over", left_over},
                    {"stuck", stuck_}, {"samples", kills_}};
    if (!notices_.empty()) {
      figures["notice_p50_ns"] = median(notices_);
      figures["notice_max_ns"] = *std::max_element(notices_.begin(), notices_.end());
    }
    if (!sender_notices_.empty()) figures["notice_sender_p50_ns"] = median(sender_notices_);
    return {{"metrics", std::move(figures)},
            {"fairness", {{"signal", "SIGKILL"}, {"situations", "receiving, streaming, sending"}}}};
  }

 private:
  /// What the survivor tells; nothing if it is stuck, and then it is killed as well.
  template <class Play>
  std::optional<Account> survive(Play play) {
    constexpr int kStuckMs = 2500;  // filling or settling, the patience of a call, and some more
    ++kills_;
    const auto account = make_inherited<Account>(1, [](Account* at) { new (at) Account; });
    Worker survivor(std::nullopt, [&](Post& post) {
      (void)post.next_block();
      Scene scene(make_());
      account[0] = play(scene);
      post.answer();
    });
    survivor.order(1);
    pollfd slot{.fd = survivor.descriptor(), .events = POLLIN, .revents = 0};
    if (poll(&slot, 1, kStuckMs) == 1) {
      (void)survivor.await();
      if (account[0].noticed) return account[0];
    } else {
      survivor.abandon();
    }
    ++stuck_;
    return std::nullopt;
  }

  const std::function<ConnectionPair()>& make_;
  const std::set<std::string> before_;
  std::mt19937_64 random_{Duel::kSeed};
  std::vector<double> notices_, sender_notices_;
  std::uint64_t sent_ = 0, after_death_ = 0, lost_ = 0, stuck_ = 0, kills_ = 0;
};

}  // namespace

Json study_death(const std::function<ConnectionPair()>& make, int kills) {
  Study study(make);
  for (int number = 0; number < kills; ++number) study.round(number);
  return study.found();
}

}  // namespace crucible::bench
