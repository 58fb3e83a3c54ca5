// BrokerProcess: a process that serves an object for as long as anybody can reach it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>

#include "api/bytes.h"
#include "core/fd.h"

namespace crucible {

/// The creator's and its forks' hold on a broker. The broker is forked twice, so that it is nobody's child, and holds
/// no descriptor but its own; the standard ones are /dev/null. It ignores SIGINT, and the family's deaths but that of
/// its last member are nothing to it.
class BrokerProcess {
 public:
  /// The broker's side.
  class Duty {
   public:
    Duty(Fd family, Fd creator) noexcept : family_(std::move(family)), creator_(std::move(creator)) {}
    /// To be called once: the broker can be reached there. Before, an exception is the creator's.
    void report(const std::string& address);
    bool has_reported() const noexcept { return has_reported_; }
    /// Polls readable when a process of the family tells something, and once none holds on any more.
    int family() const noexcept { return family_.get(); }
    /// The next thing told. False: there is none.
    bool hear(Bytes& word, Fd& descriptor);
    bool has_family() const;
    /// Polls readable when the creator, which has let go, asks whether the broker stays; tells it so, if it does.
    int creator() const noexcept { return creator_.get(); }
    /// False: the creator is gone.
    bool answer(bool stays) noexcept;
    /// The creator wants it to end, whoever else is there.
    bool is_told_to_end() const noexcept { return is_told_to_end_; }

   private:
    Fd family_;
    Fd creator_;
    bool has_reported_ = false;
    bool is_told_to_end_ = false;
  };

  /// Runs `body` in a process called `name` (at most 15 characters) and waits until it reports. Throws what it threw
  /// before, std::system_error (fork, descriptors), Broken (it ended).
  BrokerProcess(const char* name, const std::function<void(Duty&)>& body);
  BrokerProcess(const BrokerProcess&) = delete;
  BrokerProcess& operator=(const BrokerProcess&) = delete;
  ~BrokerProcess() { let_go(); }

  const std::string& address() const noexcept { return address_; }
  /// Tells the broker something of at most kLongestWord bytes, which comes by Duty::family(), with a descriptor. False:
  /// it has much to read already, or has died. Does not wait.
  bool tell(ByteView word, int descriptor) noexcept;
  static constexpr std::size_t kLongestWord = 64;
  /// Whether it has died.
  bool is_gone() const;
  /// Ends this process's hold. In the creator, if nobody else has one, the broker has ended on return, unless it takes
  /// longer than a second. Idempotent.
  void let_go() noexcept;
  /// In the creator: the broker has ended on return, whoever else holds on; by a signal if it does not in `patience`.
  /// Idempotent.
  void end(std::chrono::milliseconds patience) noexcept;
  /// Of the broker; in the creator.
  pid_t pid() const noexcept { return pid_; }
  /// In a forked child: what is the creator's alone.
  void become_copy() noexcept;

 private:
  Fd family_;   // nothing is ever sent: the kernel tells either side when the other is gone
  Fd broker_;   // in the creator: the other end of Duty's
  Fd process_;  // and a pidfd
  pid_t pid_ = 0;
  std::string address_;
};

}  // namespace crucible
