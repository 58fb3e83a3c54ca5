// ComposedQueue: a Queue over any mechanism's connections. README.md in this folder explains how.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "api/capabilities.h"
#include "api/listener.h"
#include "api/queue.h"
#include "compose/broker_process.h"
#include "compose/message_store.h"
#include "compose/queue_link.h"

namespace crucible {

/// The mechanism that carries a composed queue.
struct QueueCarrier {
  std::string_view mechanism;
  std::string_view scheme;
  Capabilities pipe;
  std::size_t pipe_bytes;  ///< PipeOptions::capacity_bytes of its connections
  bool tells_news;         ///< Connection::has_news() knows
  std::unique_ptr<Listener> (*listen)(const std::string& address, const DoorOptions& options);
  std::unique_ptr<Connection> (*connect)(const std::string& address, const DoorOptions& options, Deadline deadline);
};

class ComposedQueue final : public Queue {
 public:
  static constexpr std::uint64_t kDefaultStorage = 1ULL << 20;

  /// What follows from a mechanism's pipe.
  static constexpr Capabilities capabilities(const Capabilities& pipe) noexcept {
    return {.cross_host = pipe.cross_host,
            .local_names = pipe.local_names,
            .outlives_sender = true,  // a put returns when the broker has said that it has the message
            .total_order = true,
            .survives_kill = pipe.survives_kill,
            .max_message_bytes = pipe.max_message_bytes - wire::kHeader,
            .storage_bytes = kDefaultStorage};
  }

  /// As QueueForm.
  static std::unique_ptr<ComposedQueue> create(const QueueCarrier& carrier, const std::string& address,
                                               const QueueOptions& options);
  static std::unique_ptr<ComposedQueue> open(const QueueCarrier& carrier, const std::string& address,
                                             const QueueOptions& options, Deadline deadline);
  ~ComposedQueue() override;

  Status put_bytes(ByteView message, Deadline deadline = Deadline::never()) override;
  Status put_many(std::span<const ByteView> messages, std::size_t& put, Deadline deadline = Deadline::never()) override;
  Status get_bytes(Bytes& message, Deadline deadline = Deadline::never()) override;
  Status get_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline = Deadline::never(),
                        Bytes* too_long = nullptr) override;
  Status get_many(std::vector<Bytes>& messages, std::size_t most, Deadline deadline = Deadline::never()) override;
  Status count(std::size_t& count) override;
  Status check_full(bool& is_full) override;
  Status task_done() override;
  Status join_until(Deadline deadline) override;
  void close() noexcept override;
  bool closed() const noexcept override { return closed_.load(std::memory_order_acquire); }
  std::size_t maxsize() const noexcept override { return static_cast<std::size_t>(bounds_.maxsize); }
  const std::string& address() const noexcept override { return address_; }
  std::string_view mechanism() const noexcept override { return carrier_.mechanism; }
  std::string_view form() const noexcept override { return "composed"; }
  /// Before main, so that a fork takes its mutexes behind the family's (core/fork_order.h).
  static void register_with_forks();

 private:
  using Links = std::vector<std::unique_ptr<QueueLink>>;
  template <class, class>
  friend class ForkRegistry;
  class Registry;

  ComposedQueue(const QueueCarrier& carrier, std::string address, DoorOptions door);
  template <class Call>
  Status with_link(Deadline deadline, const Call& call);
  Status take_link(std::unique_ptr<QueueLink>& link, Deadline deadline);
  Status ask(wire::Request request, std::uint64_t& number);
  Status connect(std::unique_ptr<QueueLink>& link, Deadline deadline);
  void give_back(std::unique_ptr<QueueLink> link, bool is_well) noexcept;
  std::unique_ptr<QueueLink> make_link(std::unique_ptr<Connection> connection) const;
  void await_users() noexcept;
  void before_fork() { mutex_.lock(); }
  void after_fork_in_parent() { mutex_.unlock(); }
  bool after_fork_in_child();

  const QueueCarrier& carrier_;
  const std::uint64_t longest_;
  const std::string address_;  // that others open; empty: none
  std::string door_;           // that the broker listens at
  DoorOptions door_options_;
  wire::QueueId id_ = {};  // zeros until the broker has told it
  QueueBounds bounds_;
  std::unique_ptr<BrokerProcess> broker_;  // nothing in a process that opened the queue
  std::atomic<bool> closed_ = false;
  std::atomic<bool> broken_ = false;

  std::mutex mutex_;  // guards what follows; held across fork
  Links idle_;
  std::vector<QueueLink*> busy_;
  std::size_t connecting_ = 0;  // threads that are making a link
  std::size_t leaving_ = 0;     // or closing one
};

}  // namespace crucible
